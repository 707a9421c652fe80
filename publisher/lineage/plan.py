"""Cuts the lineage of a target into the units that are sent, and summarises it for the plan of a publish."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from roar_publisher.lineage.batches import Sink, UnitWriter
from roar_publisher.lineage.builder import UnitBuilder
from roar_publisher.lineage.database import RoarDatabase, open_database
from roar_publisher.lineage.git.context import GitContext, read_git_context
from roar_publisher.lineage.kept_links import KeptLinks
from roar_publisher.lineage.project import Project
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.rows import SessionRow
from roar_publisher.lineage.selection import ordered_jobs
from roar_publisher.lineage.targets import pick_target


class PlanSummary(Struct, frozen=True):
    """A summary of a plan.

    session_id: the session's row in roar.db.
    inputs, outputs: distinct digests per job and kind, as finalize expects them.
    provisional: the hash of the unredacted lineage by identity, always including `anonymous`.
    published: the hash of what is sent, by identity; the registry computes the same.
    digest: identifies exactly what is sent.
    redactions: the number of redacted secrets, by shape.
    """

    git: GitContext
    session_id: int
    jobs: int
    inputs: int
    outputs: int
    artifacts: int
    labels: int
    provisional: dict[str, str]
    published: dict[str, str]
    digest: str
    redactions: dict[str, int]


def build_plan(
    project: Project, target: str | None, *, cwd: Path, identities: Sequence[str], sink: Sink
) -> PlanSummary:
    """Read the lineage of a target and pass its units, in order and in chunks, to `sink`.

    identities: creator identities (`protocol.md §6`) to compute the provisional hash for, besides `anonymous`.

    The same lineage and configuration give the same units and digest. An error of the sink propagates. Raises
    UsageProblem for a target that cannot be resolved, and LocalProblem for any problem of the project.
    """
    redactor = Redactor(project.config.omit)
    git = published_git_context(project, redactor)
    with open_database(project.database) as database:
        session = pick_target(database, target, cwd, identities)
        return write_units(database, session, git, redactor, identities=identities, sink=sink)


def write_units(
    database: RoarDatabase,
    session: SessionRow,
    git: GitContext,
    redactor: Redactor,
    *,
    identities: Sequence[str],
    sink: Sink,
    put_job: int | None = None,
) -> PlanSummary:
    """Pass the units of the picked jobs to `sink`, as `build_plan` does.

    put_job: the row of the job whose links state the size and source of their artifacts (`protocol.md §9`).
    """
    jobs = ordered_jobs(database)
    database.choose(head.row for head in jobs)
    writer = UnitWriter(sink, [git.repo, git.commit, git.branch])
    with KeptLinks() as links:
        builder = UnitBuilder(database, jobs, git, redactor, writer, links, put_job)
        builder.write_composites()
        provisional, published = builder.write_nodes(identities)
        builder.write_links()
    labels = builder.write_labels(session.id)
    return PlanSummary(
        git=git,
        session_id=session.id,
        jobs=len(jobs),
        inputs=builder.inputs,
        outputs=builder.outputs,
        artifacts=builder.artifacts,
        labels=labels,
        provisional=provisional,
        published=published,
        digest=writer.finish(),
        redactions=redactor.findings(),
    )


def published_git_context(project: Project, redactor: Redactor) -> GitContext:
    """Return the project's git context without credentials, as it is hashed and as finalize sends it.

    It is that of the project's own folder: below it there may be another repository, such as a submodule.
    """
    git = read_git_context(project.root, project.config.git_remote)
    repo = redactor.git_url(git.repo) if git.repo else None
    return GitContext(repo, git.commit, redactor.text(git.branch) if git.branch else git.branch)
