"""The words of a `roar put`: what is asked for, which objects are uploaded, and what the plan of it amounts to.

The order of events: `sources.resolve_sources` (which files under which keys), `digesting.digest_sources` (each file is
read once: objects), `planning.plan_put` (units for the journal, and the record that goes into roar.db afterwards),
the engine's upload and publish, `recording.record_put`, and the tags of `tags` wherever a remote listens.
"""

from dataclasses import dataclass

from publisher.lineage.plan import PlanSummary
from publisher.lineage.project import Project
from publisher.storage.source import Content


@dataclass(frozen=True, slots=True)
class PutRequest:
    """What a person asks to be put, and how.

    sources: as typed; none are all outputs of the active session.  Paths are relative to the project's root, as
    roar-cli takes them.  destination: as typed.  name: the put job's name label.  dataset: every source folder is a
    dataset, even if nothing in it says so.  tag: whether git tags are wanted (`--no-tag` is False).
    """

    project: Project
    sources: tuple[str, ...]
    destination: str
    message: str
    name: str | None = None
    dataset: bool = False
    tag: bool = True


@dataclass(frozen=True, slots=True)
class Object:
    """One object to upload: each key once.  JSON-serialisable with `dataclasses.asdict`.

    key: relative to the destination.  url: the address that the lineage records.
    """

    key: str
    url: str
    content: Content


@dataclass(frozen=True, slots=True)
class PutFile:
    """An uploaded file as the lineage knows it.

    artifact: its id in roar.db (a fresh one where roar has not seen the content).  path: absolute.  digest: blake3,
    hex.  size: bytes.
    """

    artifact: str
    path: str
    digest: str
    size: int
    url: str


@dataclass(frozen=True, slots=True)
class Tag:
    """A git tag: `roar/<commit>`.  JSON-serialisable."""

    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class PutRecord:
    """What goes into roar.db once the lineage is published.  JSON-serialisable with `dataclasses.asdict`.

    session: the session's row.  timestamp: Unix seconds.  metadata: the put job's, as JSON text, unredacted.
    source_type: of the destination, None where GLaaS knows none.
    """

    session: int
    job_uid: str
    timestamp: float
    command: str
    step_number: int
    git_repo: str | None
    git_commit: str | None
    git_branch: str | None
    metadata: str
    source_type: str | None
    name: str | None
    files: tuple[PutFile, ...]


@dataclass(frozen=True, slots=True)
class PutSummary:
    """What the plan of a put amounts to.

    lineage: the facts that finalize and the journal's plan need; the put job is counted in.
    objects: what is to be in the store before finalize.  record: for roar.db, afterwards.  tags: to be made and
    pushed; empty where none are wanted.
    """

    lineage: PlanSummary
    objects: tuple[Object, ...]
    record: PutRecord
    tags: tuple[Tag, ...]
