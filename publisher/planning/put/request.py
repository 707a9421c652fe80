"""The request of a `roar put`, its sources, and its tag.

A put takes these steps:

- `sources.resolve_sources`: which files under which keys.
- `prepare.digest_sources`: read each file once.
- `plan.plan_put`: units for the journal, objects for the store, and the record for roar.db.
- The engine uploads the objects and publishes the lineage.
- `record_writer.record_put` and `tags`: record the put in roar.db, make the tag, and push it if the user asks.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct, field

from roar_publisher.auth.choice import Flag
from roar_publisher.lineage.project import Project
from roar_publisher.storage.source import Content


class Snapshot(Struct, frozen=True):
    """Where the content of a source is read, if its own path may hold something else by now.

    path: of the snapshot; a file or a folder. files: of each file below it (of a single file: ""), the size in bytes
    and the modification time in nanoseconds that it must have.
    """

    path: Path
    files: Mapping[str, tuple[int, int]]


class PutRequest(Struct, frozen=True):
    """What the user asks to put, and how.

    sources: as typed; none means all outputs of the active session.
    destination: as typed.
    flag: the visibility that the command line asks for.
    name: the put job's name label.
    dataset: treat every source folder as a dataset, even if its files do not declare one.
    tag: False for `--no-tag`; if True, the configuration still decides (`tags.wanted_tag`).
    push_asked: True for `--tag`: make the tag and push it.
    push_configured: whether the user's own configuration asks to push tags.
    follow_links: also put what leads out of the project.
    snapshots: by source as typed, which must be a path. The lineage names the source's own path.
    commit: the commit that the files come from, if it was established when they were made; otherwise it is the one that
    is checked out, and the work tree must match it.
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
    snapshots: Mapping[str, Snapshot] = field(default_factory=dict)
    commit: str | None = None

    @property
    def read_from(self) -> tuple[str, ...]:
        """The paths that the sources are read from: their snapshots', or their own."""
        return tuple(str(self.snapshots[one].path) if one in self.snapshots else one for one in self.sources)


class Source(Struct, frozen=True):
    """A file to upload.

    path: absolute; a symlink stands for the file that it leads to.
    key: relative to the destination.
    root: the folder that was typed, if the file comes from one.
    digest: the blake3 that the content must have, if a digest was typed.
    named: the path that the lineage names, if `path` is a snapshot of it.
    stamp: the size in bytes and the modification time in nanoseconds that the file must have.
    """

    path: Path
    key: str
    root: Path | None = None
    digest: str | None = None
    named: Path | None = None
    stamp: tuple[int, int] | None = None

    @property
    def recorded(self) -> Path:
        """The path that the lineage names."""
        return self.named or self.path


class Digested(Struct, frozen=True):
    """A source with its content."""

    source: Source
    content: Content


class Tag(Struct, frozen=True):
    """A git tag on a commit. JSON-serialisable.

    remote: the name of the remote that it is pushed to.
    url: the remote's address, without credentials.

    Both are empty for a tag that is not pushed.
    """

    name: str
    commit: str
    remote: str = ""
    url: str = ""
