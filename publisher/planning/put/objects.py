"""The words of a `roar put`: what is asked for, which objects are uploaded, and what the plan of it amounts to.

The order of events: `sources.resolve_sources` (which files under which keys), `digesting.digest_sources` (each file is
read once), `planning.plan_put` (units for the journal, objects for the store, and the record that goes into roar.db
afterwards), the engine's upload and publish, `recording.record_put`, and the tags of `tags` wherever a remote listens.
"""

from dataclasses import dataclass
from pathlib import Path

from roar_publisher.auth.choice import Flag
from roar_publisher.lineage.plan import PlanSummary
from roar_publisher.lineage.project import Project
from roar_publisher.storage.source import Content


@dataclass(frozen=True, slots=True)
class PutRequest:
    """What a person asks to be put, and how.

    sources: as typed; none are all outputs of the active session.  destination: as typed.  flag: the visibility that
    the command line asks for.  name: the put job's name label.  dataset: every source folder is a dataset, even if
    nothing in it says so.  tag: False for `--no-tag`; the configuration is asked all the same (`tags.wanted_tag`).
    push_asked: True for `--tag`: the tag is made and pushed.  push_configured: whether the user's own configuration
    asks for tags to be pushed.  follow_links: what leads out of the project is put, too.
    """

    project: Project
    sources: tuple[str, ...]
    destination: str
    message: str
    flag: Flag = Flag.NONE
    name: str | None = None
    dataset: bool = False
    tag: bool = True
    push_asked: bool = False
    push_configured: bool = False
    follow_links: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A file to upload.

    path: absolute; a symlink stands for the file that it leads to.  key: relative to the destination.  root: the folder
    that was typed, if the file comes from one.  digest: the blake3 that it must have, where a digest was typed.
    """

    path: Path
    key: str
    root: Path | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Digested:
    """A source with its content."""

    source: Source
    content: Content


@dataclass(frozen=True, slots=True)
class Object:
    """One object to upload: every key once.  JSON-serialisable with `dataclasses.asdict`.

    key: relative to the destination.  url: the address that the lineage records.
    """

    key: str
    url: str
    content: Content


@dataclass(frozen=True, slots=True)
class Tag:
    """A git tag on a commit.  JSON-serialisable.

    remote: the name of the remote that it is pushed to.  url: its address, without credentials.  Both are empty for a
    tag that is not pushed.
    """

    name: str
    commit: str
    remote: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class PutSummary:
    """What the plan of a put amounts to.

    lineage: the facts that finalize and the journal's plan need; the put job is counted in.
    fingerprint: the identity of the put, by which one that was interrupted or finished is found again: the digests and
    addresses of its contents, the lineage, the message.  `planning` says what else counts.
    objects: what is to be in the store before finalize.  record: for `recording.record_put`, as JSON text.
    tags: to be made and pushed; empty where none are wanted.
    """

    lineage: PlanSummary
    fingerprint: str
    objects: tuple[Object, ...]
    record: str
    tags: tuple[Tag, ...]
