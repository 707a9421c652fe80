"""A submitted checkpoint, as the file that journals it holds it."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from roar_publisher.state.record import NamedBy

VERSION = 1


class End(StrEnum):
    """How a checkpoint ended."""

    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    """A newer one was submitted before it was its turn, and it was not pinned."""
    FULL = "full"
    """It would have exceeded `max_pending_bytes`."""
    CHANGED = "changed"
    """Its files were rewritten in place or removed before they were read."""
    FAILED = "failed"
    """Its publish was cancelled or removed; or it failed, and may be retried as long as the snapshot stays."""


class HeldSource(Struct, frozen=True):
    """A file or folder of a checkpoint.

    typed: its path, relative to the project if it is inside. files: of each file below it (of a single file: ""), the
    size in bytes and the modification time in nanoseconds.
    """

    typed: str
    files: dict[str, tuple[int, int]]


class Record(Struct, frozen=True, kw_only=True):
    """One checkpoint, from its submission to its end.

    name: unique in its series, and the last part of its destination, unless that was taken. created_at: Unix seconds.
    worth: the metric that decides which is the best, lower for better; None without one. size: bytes.
    home: the folder of its snapshot (`snapshot`). sources: in the order of the folders in it.
    keep: how many snapshots of published checkpoints stay.
    registry, named_by: where the training publishes, and what named it (`NamedBy`); None in an older record, which
    leaves it to the daemon's environment. commit: that the training started with.
    placed: whether its destination was found to be free. publish_id: once its put is planned. cloned: its put reads
    the clone. end, detail, hash, url: once it has ended.
    """

    name: str
    step: int
    created_at: float
    metrics: dict[str, float]
    pinned: bool
    size: int
    home: str
    sources: tuple[HeldSource, ...]
    destination: str
    message: str
    visibility: str | None
    registry: str | None
    yes: bool
    project: str
    commit: str
    keep: int
    named_by: NamedBy = NamedBy.OPTION
    worth: float | None = None
    placed: bool = False
    publish_id: str = ""
    cloned: bool = False
    end: str = ""
    detail: str = ""
    hash: str = ""
    url: str = ""
    version: int = VERSION

    def as_json(self) -> bytes:
        """Return the record as a file holds it."""
        return json.dumps(self, default=asdict).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Record":
        """Return the record from the text of `as_json`. Raises ValueError, also for one of a newer release."""
        values: Any = json.loads(text)
        if not isinstance(values, dict) or values.get("version") != VERSION:
            raise ValueError("it is of another release")
        values["named_by"] = NamedBy(values.get("named_by", NamedBy.OPTION))
        known = cls.__struct_fields__
        try:
            sources = tuple(
                HeldSource(one["typed"], {name: (int(size), int(time)) for name, (size, time) in one["files"].items()})
                for one in values["sources"]
            )
            return cls(**{name: value for name, value in values.items() if name in known} | {"sources": sources})
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"it lacks {error}") from error

    @property
    def snapshot(self) -> Path:
        """The folder of the snapshot."""
        return Path(self.home)
