"""The request of a `roar put`, its sources, and its tag.

A put takes these steps:

- `sources.resolve_sources`: which files under which keys.
- `prepare.digest_sources`: read each file once.
- `plan.plan_put`: units for the journal, objects for the store, and the record for roar.db.
- The engine uploads the objects and publishes the lineage.
- `record_writer.record_put` and `tags`: record the put in roar.db, make the tag, and push it if the user asks.
"""

from dataclasses import dataclass
from pathlib import Path

from roar_publisher.auth.choice import Flag
from roar_publisher.lineage.project import Project
from roar_publisher.storage.source import Content


@dataclass(frozen=True, slots=True)
class PutRequest:
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

    path: absolute; a symlink stands for the file that it leads to.
    key: relative to the destination.
    root: the folder that was typed, if the file comes from one.
    digest: the blake3 that the content must have, if a digest was typed.
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
class Tag:
    """A git tag on a commit. JSON-serialisable.

    remote: the name of the remote that it is pushed to.
    url: the remote's address, without credentials.

    Both are empty for a tag that is not pushed.
    """

    name: str
    commit: str
    remote: str = ""
    url: str = ""
