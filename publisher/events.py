"""The events of a publish: what `on_progress` and `watch` yield, and what `roar publish --json` writes as lines.

Every event is a frozen dataclass. `as_dict` returns the object of its JSON line.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseEvent:
    """What all events have in common. name: the value of "event" in the JSON line."""

    name: ClassVar[str]

    def as_dict(self) -> dict[str, Any]:
        """Return the event as `--json` writes it."""
        return {"event": self.name, **{each.name: getattr(self, each.name) for each in fields(self)}}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedEvent(BaseEvent):
    """The plan is frozen; everything up to here can be resumed. resumed: it was frozen by an earlier run.

    target: None for the whole session. destination: of a put. redactions: what was redacted, with its number.
    """

    name = "planned"
    publish_id: str
    resumed: bool
    registry: str
    target: str | None
    destination: str | None
    jobs: int
    inputs: int
    outputs: int
    artifacts: int
    labels: int
    redactions: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEvent(BaseEvent):
    """The publish is in another state. because: the event that led there; None at the start of a run."""

    name = "state"
    publish_id: str
    state: str
    because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressEvent(BaseEvent):
    """How much of the present state's work is done. unit: `items` of lineage, or `bytes` of files.

    per_second, seconds_left: None while they are not known.
    """

    name = "progress"
    state: str | None
    done: int
    total: int
    unit: str
    per_second: float | None
    seconds_left: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent(BaseEvent):
    """A file of a put is stored and verified. sent: False if it was there already."""

    name = "stored"
    key: str
    bytes: int
    sent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingEvent(BaseEvent):
    """Nothing moves: why (`offline`, `throttled`, `retrying`, `working` …), and for how long at most."""

    name = "waiting"
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryingEvent(BaseEvent):
    """An attempt failed and is repeated after `seconds`. attempt: counts from 1."""

    name = "retrying"
    what: str
    attempt: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteEvent(BaseEvent):
    """Something that the user should know. The publish continues."""

    name = "note"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Published(BaseEvent):
    """The lineage is published: the last event of a publish that succeeded, and what publishing it returns.

    visibility: None if the registry had the lineage already and does not report its visibility.
    owner, project: the registry's ids; None if there is none, or the owner is the user.
    destination, files, bytes: what a put stored; None if no files were to be stored.
    receipt: the file of the receipt; None if nobody signs one, or if it is still to be made.
    verification: `proven`, `differs` or `unchecked`; None if it was not to be verified.
    """

    name = "published"
    hash: str | None
    url: str | None
    jobs: int
    inputs: int
    outputs: int
    publish_id: str
    visibility: str | None
    identity: str
    owner: str | None
    project: str | None
    destination: str | None = None
    files: int | None = None
    bytes: int | None = None
    receipt: str | None = None
    verification: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the event as `--json` writes it: without what a put stored for lineage only."""
        line = BaseEvent.as_dict(self)
        if self.destination is None:
            del line["destination"], line["files"], line["bytes"]
        return line


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachedEvent(BaseEvent):
    """The publish is left to the daemon. watch: the command that follows it."""

    name = "detached"
    publish_id: str
    resumed: bool
    watch: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorEvent(BaseEvent):
    """The command has failed. `--json` alone writes it: in Python, the error is raised.

    what, kept, next: what happened, what is kept, what to do next. publish_id: empty if there is no publish.
    """

    name = "error"
    what: str
    kept: str
    next: str
    reason: str
    exit_code: int
    publish_id: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the event as `--json` writes it: without an empty publish_id."""
        line = BaseEvent.as_dict(self)
        return line if self.publish_id else {key: value for key, value in line.items() if key != "publish_id"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedEvent(BaseEvent):
    """A file of a lineage was fetched and verified. path: below the chosen folder."""

    name = "fetched"
    path: str
    digest: str
    url: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentEvent(BaseEvent):
    """A file of a lineage was there already, with the right content. path: below the chosen folder."""

    name = "present"
    path: str
    digest: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedEvent(BaseEvent):
    """A file of a lineage could not be fetched: why, and what to do next. The others are fetched.

    path: None if the lineage gives it no usable name. url: None if the lineage does not say where it is stored.
    """

    name = "failed"
    path: str | None
    digest: str
    url: str | None
    why: str
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched(BaseEvent):
    """The last event of a fetch, and what fetching returns: how many files were fetched, were there, and failed.

    bytes: of those that were fetched.
    """

    name = "done"
    folder: str
    fetched: int
    present: int
    failed: int
    bytes: int


Event = (
    PlannedEvent
    | StateEvent
    | ProgressEvent
    | StoredEvent
    | WaitingEvent
    | RetryingEvent
    | NoteEvent
    | Published
    | DetachedEvent
    | ErrorEvent
)
"""Any event. In Python, `publish` and `watch` end with `Published`, or raise."""

FetchEvent = FetchedEvent | PresentEvent | FailedEvent | ProgressEvent | WaitingEvent | RetryingEvent | Fetched
"""Any event of a fetch. In Python, `fetch` ends with `Fetched`, or raises."""
