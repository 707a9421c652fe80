"""The hash that `roar session hash` prints: a local session's canonical hash, which is valid as a target."""

from collections.abc import Iterable

from roar_publisher.lineage.canonical import ANONYMOUS_IDENTITY, LineageHasher
from roar_publisher.lineage.database import Database, SessionRow
from roar_publisher.lineage.items import canonical_key, travelling
from roar_publisher.lineage.links import LinkStream
from roar_publisher.lineage.selection import ordered_jobs
from roar_publisher.lineage.sorting import ExternalSort


def session_hashes(database: Database, session: SessionRow, identities: Iterable[str]) -> set[str]:
    """Return the canonical hashes of the picked jobs, one for each identity.

    Like roar, takes the repository from the session and uses no commit or branch, because roar knows only where the
    session began.
    """
    jobs = ordered_jobs(database)
    database.choose(head.row for head in jobs)
    hasher = LineageHasher(session.git_repo, None, None, dict.fromkeys((ANONYMOUS_IDENTITY, *identities)))
    inputs, outputs = LinkStream(database.inputs()), LinkStream(database.outputs())
    with ExternalSort() as sorter:
        for job in database.jobs():
            head = jobs[job.seq]
            parent_step = jobs[head.parent].step if head.parent is not None else None
            sides = travelling(inputs.of(job.seq)), travelling(outputs.of(job.seq))
            sorter.add(canonical_key(head, parent_step, job, *sides))
        for key in sorter.sorted():
            hasher.add(key[2])
    return set(hasher.digests().values())
