"""Define models of the rows of an imported journal: types, lengths, enumerations, hashes, addresses.

They refuse values that another process on this machine could not handle, would send to a wrong path or would show as
something else. All models raise pydantic's ValidationError, a ValueError.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Json, StrictBool

from roar_publisher.auth.choice import Decision, Flag
from roar_publisher.auth.scope import Mode
from roar_publisher.glaas.protocol import LARGEST_INTEGER
from roar_publisher.glaas.wire import Address, Count, LineageHash
from roar_publisher.state.machine import LIVE, Event, State
from roar_publisher.state.units import Kind
from roar_publisher.storage.addresses import parse_destination
from roar_publisher.storage.store import check_key

LINE_LIMIT = 4_096
DETAIL_LIMIT = 100_000
LATEST_TIME = 1e11
"""The latest Unix time accepted, far in the future."""


def _absolute(path: str) -> str:
    if not path.startswith("/") or "\0" in path or ".." in path.split("/"):
        raise ValueError("not an absolute path, or one that holds .. or NUL")
    return path


def _destination(url: str) -> str:
    parse_destination(url)
    return url


SingleLine = Annotated[str, Field(max_length=LINE_LIMIT, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A single line of text without control characters, so that it cannot control a terminal."""
Detail = Annotated[str, Field(max_length=DETAIL_LIMIT, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
SafeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,255}$")]
"""A segment of a request's path: it cannot end the path or lead out of it."""
HexHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Path = Annotated[str, Field(max_length=LINE_LIMIT), AfterValidator(_absolute)]
Number = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
Time = Annotated[float, Field(ge=0, le=LATEST_TIME)]
Bit = Literal[0, 1]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Remote = Annotated[str, Field(max_length=255, pattern=r"^([A-Za-z0-9_][A-Za-z0-9._/-]*)?$")]
DestinationText = Annotated[str, Field(max_length=LINE_LIMIT), AfterValidator(_destination)]
ObjectKey = Annotated[str, AfterValidator(check_key)]
TagName = Annotated[str, Field(pattern=r"^roar/[0-9a-f]{4,64}$")]


class StrictRow(BaseModel):
    """A strict model: values are not coerced, and extra fields are forbidden."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ScopeFields(StrictRow):
    """`auth.scope.RepoScope`."""

    mode: Annotated[Mode, Field(strict=False)]
    owner_id: SingleLine
    owner_type: Literal["", "user", "organization"]
    project_id: SingleLine | None
    visibility: Literal["public", "private"]
    public_by_default: StrictBool


class IntentFields(StrictRow):
    """What decides about visibility and credential (`plans.PublishRequest.intent`)."""

    flag: Annotated[Flag, Field(strict=False)]
    scope: ScopeFields
    ssh_key: SingleLine


class PlanRow(StrictRow):
    """`state.record.Plan`."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    created_at: Time
    project: Path
    roar_db: Path
    target: Detail | None
    registry: Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=2048)]
    intent: Json[IntentFields]
    digest: HexHash
    local_session: Count
    git_repo: SingleLine | None
    git_commit: SingleLine | None
    git_branch: SingleLine | None
    jobs: Count
    inputs: Count
    outputs: Count
    artifacts: Count
    labels: Count
    provisional: Json[Annotated[dict[SingleLine, LineageHash], Field(max_length=100)]]
    published: Json[Annotated[dict[SingleLine, LineageHash], Field(max_length=100)]]
    redactions: Json[Annotated[dict[SingleLine, Count], Field(max_length=10_000)]]
    fingerprint: HexHash
    destination: DestinationText | None
    tags: Json[list[tuple[TagName, Commit] | tuple[TagName, Commit, Remote, SingleLine]]]


class ScopeRequest(StrictRow):
    """What finalize asks for (`protocol.md §4`)."""

    owner_resolution: Literal["current_user"] | None = None
    owner_id: SingleLine | None = None
    owner_type: Literal["user", "organization"]
    project_id: SingleLine | None = None
    visibility: Literal["public", "private"]


class ProgressRow(StrictRow):
    """`state.record.Progress` of a publish that has not ended."""

    id: str
    state: Annotated[State, Field(strict=False), AfterValidator(lambda state: _one_of(state, LIVE))]
    updated_at: Time
    epoch: Annotated[int, Field(ge=0, le=1_000_000)]
    recounts: Annotated[int, Field(ge=0, le=1_000)]
    reason: Annotated[SingleLine, Field(max_length=64)]
    detail: Detail
    capabilities: Json[Annotated[dict[SingleLine, StrictBool | Count], Field(max_length=100)]]
    credential: Annotated[Decision, Field(strict=False)] | None
    identity: Annotated[SingleLine, Field(max_length=256)] | None
    why: Detail | None
    scope_request: Json[ScopeRequest | None] | None
    remote_session: SafeName | None
    published_elsewhere: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] | None
    hash: LineageHash | None
    url: Address | None
    receipt: Json[Annotated[dict[SingleLine, object], Field(max_length=20)]] | None
    verify: Bit
    verification: Json[None] | None
    marks_owed: Bit | None
    owed: Json[Annotated[list[object], Field(max_length=0)]]
    binding_prepared: Bit


class QueueRow(StrictRow):
    """`state.queue.Queued`."""

    detached_at: Time | None
    agreed: Bit
    most_uploads: Annotated[int, Field(ge=1, le=64)] | None
    upload_rate: Number | None
    attempts: Count
    next_attempt: Time | None
    parked: Bit
    told: Bit | None


class EventRow(StrictRow):
    """`state.record.Checkpoint`."""

    id: Number
    at: Time
    event: Annotated[Event, Field(strict=False)]
    source: Annotated[State, Field(strict=False)]
    target: Annotated[State, Field(strict=False)]
    detail: Detail


class UnitRow(StrictRow):
    """`state.units.Unit`, and whether it is acknowledged. `bodies` checks the body."""

    seq: Number
    part: Count
    kind: Annotated[Kind, Field(strict=False)]
    job_uid: SafeName | None
    items: Annotated[int, Field(ge=1, le=1_000)]
    after: Count
    body: bytes
    acked: Bit


class FileStampFields(StrictRow):
    """`storage.source.FileStamp`."""

    size: Count
    mtime_ns: Annotated[int, Field(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
    inode: Annotated[int, Field(ge=0, le=2**64 - 1)]
    ctime_ns: Annotated[int, Field(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]


class ContentFields(StrictRow):
    """`storage.source.Content`."""

    path: Path
    fence: FileStampFields
    blake3: HexHash
    part_bytes: Number
    part_blake3s: Annotated[list[HexHash], Field(min_length=1, max_length=10_000)]
    md5: Annotated[str, Field(pattern=r"^([0-9a-f]{32})?$")]


class ObjectFields(StrictRow):
    """`state.objects.ObjectRow`, and whether it is stored."""

    seq: Number
    key: ObjectKey
    url: Annotated[str, Field(max_length=3 * LINE_LIMIT)]
    size: Count
    content: Json[ContentFields]
    stored: Bit
    tag: Annotated[SingleLine, Field(max_length=1_024)]


def _one_of(state: State, states: tuple[State, ...]) -> State:
    if state not in states:
        raise ValueError("not a state in which a publish is exported")
    return state
