"""Compute the hashes of a lineage in bounded memory.

`LineageHashes` computes two of one lineage, as captured and as sent. The remote job uids are derived from the first,
unredacted one (`protocol.md §6`). The registry hashes what it received, so the lineage is published under the second.
They differ if a secret was redacted. `session_hashes` computes what `roar session hash` prints.
"""

import heapq
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Self

from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.lineage.canonical import LineageHasher
from roar_publisher.lineage.database import RoarDatabase
from roar_publisher.lineage.git.context import GitContext
from roar_publisher.lineage.items import canonical_key, sendable
from roar_publisher.lineage.rows import LinkStream, SessionRow
from roar_publisher.lineage.selection import ordered_jobs
from roar_publisher.lineage.sorting import ExternalSort, Key


class LineageHashes:
    """Computes both hashes, job by job, in any order.

    Use as a context manager: leaving it removes temporary files.
    """

    def __init__(self, git: GitContext, identities: Iterable[str]) -> None:
        names = tuple(identities)
        self._captured = LineageHasher(git.repo, git.commit, git.branch, names)
        self._sent = LineageHasher(git.repo, git.commit, git.branch, names)
        self._same, self._before, self._after = ExternalSort(), ExternalSort(), ExternalSort()
        self._differ = False
        self._files = ExitStack()

    def __enter__(self) -> Self:
        for sorter in (self._same, self._before, self._after):
            self._files.enter_context(sorter)
        return self

    def __exit__(self, *_error: object) -> None:
        self._files.close()

    def add(self, captured: Key, sent: Key | None = None) -> None:
        """Add a job. sent: the job as sent, if that differs from what was captured."""
        if sent is None:
            self._same.add(captured)
            return
        self._differ = True
        self._before.add(captured)
        self._after.add(sent)

    def digests(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the hash as captured and the hash as sent, each by identity. Call once."""
        streams = (
            _tagged(self._same, captured=True, sent=self._differ),
            _tagged(self._before, captured=True, sent=False),
            _tagged(self._after, captured=False, sent=True),
        )
        for key, captured, sent in heapq.merge(*streams):
            if captured:
                self._captured.add(key[2])
            if sent:
                self._sent.add(key[2])
        captured_hashes = self._captured.digests()
        return captured_hashes, self._sent.digests() if self._differ else dict(captured_hashes)


def session_hashes(database: RoarDatabase, session: SessionRow, identities: Iterable[str]) -> set[str]:
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
            sides = sendable(inputs.of(job.seq)), sendable(outputs.of(job.seq))
            sorter.add(canonical_key(head, parent_step, job, *sides))
        for key in sorter.sorted():
            hasher.add(key[2])
    return set(hasher.digests().values())


def _tagged(sorter: ExternalSort, *, captured: bool, sent: bool) -> Iterator[tuple[Key, bool, bool]]:
    return ((key, captured, sent) for key in sorter.sorted())
