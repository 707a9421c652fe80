"""The shapes that travel between a publisher and GLaaS (`protocol.md §2, §4`).

Requests are what a registry accepts: unknown fields are ignored, types are not bent (`"1"` is no number), numbers fit
SQLite, texts hold no NUL.  Replies are what a client believes: unknown fields are ignored, nearly everything may be
absent, for servers differ in age, and a field is accepted in the forms that `lenient` lists.  Both are validated with
pydantic, at the edge only.
"""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    RootModel,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from roar_publisher.glaas import lenient

API_ROOT = "/api/v1"
ANONYMOUS_PUBLIC = "anonymous_public"
"""The `mode` of a registration session that nobody signs for."""
DEFAULT_BODY_LIMIT = 100 * 1024
"""Bytes of a request body that GLaaS reads (`protocol.md §2`)."""

LARGEST_INTEGER = 2**63 - 1
"""What a column of SQLite holds."""

Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Name = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=256)]
"""A uid or a digest: printable ASCII without spaces."""
LineageHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Address = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=2048)]
"""A URL that is shown to people: nothing in it steers a terminal."""
Count = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]
Integer = Annotated[int, Field(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]


T = TypeVar("T")
MOST_ITEMS = 5000
"""Items of one request; more than this many do not fit into `DEFAULT_BODY_LIMIT` bytes."""
Items = Annotated[list[T], Field(max_length=MOST_ITEMS), FailFast()]
"""The first wrong item ends the reading: describing 30,000 of them takes a second."""


class Request(BaseModel):
    """A body that a registry accepts."""

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class OpenRequest(Request):
    """`POST /registration-sessions`.  Repeating a `client_session_id` gets the same session back."""

    client_session_id: Annotated[Text, Field(min_length=1, max_length=256)] | None = None
    mode: Literal["anonymous_public"] | None = None


class Job(Request):
    """A recorded command.  `metadata` is a JSON object as text; `step_number` None sorts before every number."""

    command: Text
    timestamp: float | None = None
    job_uid: Name
    git_commit: Text | None = None
    git_branch: Text | None = None
    duration_seconds: float | None = None
    exit_code: Integer | None = None
    job_type: Text | None = None
    step_number: Count | None = None
    metadata: Text | None = None
    parent_job_uid: Name | None = None


class JobsRequest(Request):
    """`…/jobs/batch`, parents before their children or not: parents are looked up at finalize."""

    jobs: Items[Job]


class Hash(Request):
    """One digest of an artifact."""

    algorithm: Name
    digest: Name


class Artifact(Request):
    """A content-addressed file.  `size` is in bytes; `metadata` a JSON text or an object."""

    hashes: Annotated[Items[Hash], Field(min_length=1)]
    size: Count
    source_type: Text | None = None
    metadata: Text | dict[str, Any] | None = None


class ArtifactsRequest(Request):
    """`…/artifacts/batch` of a registration session."""

    artifacts: Items[Artifact]


class LegacyArtifact(Artifact):
    """An artifact that names its lineage itself."""

    session_hash: LineageHash


class LegacyArtifactsRequest(Request):
    """`POST /artifacts/batch`."""

    artifacts: Items[LegacyArtifact]


class Component(Request):
    """A member of a composite artifact."""

    model_config = ConfigDict(extra="allow")

    relative_path: Text
    component_digest: Name


class CompositeRequest(Artifact):
    """`…/artifacts/composites`: an artifact made of others, some of them listed, all of them counted."""

    hash: Name
    component_count_total: Count
    components: Items[Component] = []
    membership_index: dict[str, Any] | None = None


class LegacyCompositeRequest(CompositeRequest):
    """`POST /artifacts/composites`."""

    session_hash: LineageHash


class Link(Request):
    """A job's input or output, by the artifact's digest."""

    hash: Name
    path: Text
    size: Count | None = None
    source_type: Text | None = None
    metadata: Text | dict[str, Any] | None = None
    byte_ranges: Any = None


class LinksRequest(Request):
    """`…/jobs/:uid/inputs` and `/outputs`."""

    artifacts: Items[Link]


class ViewEdge(Request):
    """A job's use of a part of a composite artifact; what else it says is kept as it came."""

    model_config = ConfigDict(extra="allow")

    relation: Text
    target_hash: Name


class ViewEdgesRequest(Request):
    """`…/jobs/:uid/view-edges`."""

    view_edges: Items[ViewEdge]


class ExpectedCounts(Request):
    """What the client believes it has staged: jobs, and distinct digests per job and kind (`protocol.md §4`)."""

    jobs: Count | None = None
    inputs: Count | None = None
    outputs: Count | None = None


class FinalizeRequest(Request):
    """`…/finalize`."""

    git_repo: Text | None = None
    git_commit: Text | None = None
    git_branch: Text | None = None
    scope_request: dict[str, Any] | None = None
    expected: ExpectedCounts | None = None


class Label(Request):
    """The label document of one entity of a published lineage.

    session_hash: the lineage's; roar-cli up to 0.2.11 sends none with the label of an artifact.
    """

    entity_type: Literal["dag", "job", "artifact"]
    session_hash: LineageHash | None = None
    job_uid: Name | None = None
    artifact_hash: Name | None = None
    metadata: dict[str, Any]
    key_origins: dict[str, str] | None = None

    @property
    def entity(self) -> str | None:
        """What names the entity within its lineage: a uid, a digest, `""` for the lineage itself; None if missing."""
        return {"dag": "", "job": self.job_uid, "artifact": self.artifact_hash}[self.entity_type]


class LabelsRequest(Request):
    """`…/labels/batch` and `POST /labels/sync`."""

    labels: Items[Label]


class LegacySessionRequest(Request):
    """`POST /sessions`: the client names the hash."""

    hash: LineageHash
    git_repo: Text | None = None
    git_commit: Text | None = None
    git_branch: Text | None = None
    scope_request: dict[str, Any] | None = None


class Reply(BaseModel):
    """A success's body, without its envelope (`protocol.md §2`).  A field that is null is absent."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, body: object) -> object:
        if not isinstance(body, dict):
            return body
        return {name: value for name, value in body.items() if value is not None}


def _object_or_nothing(value: object) -> object:
    return value if isinstance(value, dict | BaseModel) else {}


def _is_true(value: object) -> bool:
    return value is True


class RegistrationSessionFeatures(Reply):
    """What a server says about its registration sessions; whatever is absent or no boolean is not supported."""

    authenticated: bool = False
    anonymous_public: bool = False
    finalize_server_authoritative_hash: bool = False
    finalize_expected_counts: bool = False

    _only_true = field_validator("*", mode="before")(_is_true)


class Features(Reply):
    """`features` of `GET /health`; any level may be absent.

    ssh_signature_host: the registry checks which host an SSH signature was made for (`glaas.signature`).
    """

    registration_sessions: RegistrationSessionFeatures = RegistrationSessionFeatures()
    ssh_signature_host: bool = False

    _only_true = field_validator("ssh_signature_host", mode="before")(_is_true)
    _tolerant = field_validator("registration_sessions", mode="before")(_object_or_nothing)


class Health(Reply):
    """`GET /health`."""

    features: Features = Features()

    _tolerant = field_validator("features", mode="before")(_object_or_nothing)

    @classmethod
    def read(cls, body: object) -> Self:
        """The health of a server that answered 2xx with `body`, whatever that is."""
        return cls.model_validate(_object_or_nothing(body))


ClaimedHash = Annotated[str, BeforeValidator(lenient.claimed_hash)]
"""The text that a reply gives as a lineage hash; whether it is one, `steps.receipts` says."""
Yes = Annotated[bool, BeforeValidator(lenient.flag)]
Said = Annotated[int | None, BeforeValidator(lenient.said_count)]
"""A number of items; None where the server does not say."""
Told = Annotated[str | None, BeforeValidator(lenient.text_or_nothing)]
"""A text that nothing depends on."""
_ADDRESS: TypeAdapter[str] = TypeAdapter(Address)


def _address_or_nothing(value: object) -> str | None:
    try:
        return _ADDRESS.validate_python(value)
    except ValidationError:
        return None


ShownAddress = Annotated[Address | None, BeforeValidator(_address_or_nothing)]
"""Where a lineage is shown.  A receipt counts without it."""


class OpenReply(Reply):
    """A registration session.  The token is the only credential of an anonymous one.

    The id goes into paths and the token into a header: neither may hold what ends them.
    created: False where it was there before, and where the server does not say.
    """

    registration_session_id: Annotated[
        str, BeforeValidator(lenient.as_text), Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._~-]{0,255}$")
    ]
    created: Yes = False
    status: Annotated[Literal["active", "closed"], BeforeValidator(lenient.session_status)] = "active"
    registration_session_token: (
        Annotated[str, BeforeValidator(lenient.as_text), Field(pattern=r"^([!-~]{1,4096})?$")] | None
    ) = None


class BatchReply(Reply):
    """What became of a batch of anything; each endpoint fills in what it knows of.

    errors: as the server writes it; `not_taken` reads it.  existing_binding_prepared: every job is registered already,
    and the server has prepared them for the scope that is asked for: finalize carries that out.
    """

    errors: Any = None
    job_ids: Any = None
    created_count: Said = None
    existing_count: Said = None
    created: Said = None
    updated: Said = None
    existing: Said = None
    noops: Said = None
    unchanged: Said = None
    inputs_linked: Said = None
    outputs_linked: Said = None
    already_registered_session_hashes: Annotated[list[str], BeforeValidator(lenient.lineage_hashes)] = []
    existing_binding_prepared: Yes = False

    def not_taken(self, items: int) -> list[lenient.NotTaken]:
        """Which of the `items` that were sent were not taken."""
        return lenient.not_taken(self.errors, items)


class AnyReply(RootModel[Any]):
    """Any JSON: where the status alone is the answer."""


class MeReply(Reply):
    """`GET /auth/me`: who the credential belongs to."""

    model_config = ConfigDict(extra="allow")


class ContextUser(Reply):
    """The user of an access context."""

    id: Told = None
    sub: Told = None
    username: Told = None
    email: Told = None


class AccessContextReply(Reply):
    """`GET /auth/access-context`: who a bearer is."""

    user: ContextUser


class RefreshReply(Reply):
    """`POST /auth/refresh`: new tokens.  Its repr shows none of them."""

    model_config = ConfigDict(extra="allow")

    def __repr__(self) -> str:
        return "RefreshReply(<secret>)"

    __str__ = __repr__


class Receipt(Reply):
    """A published lineage, as the registry says it; `steps.receipts` compares it with what was sent.

    created: False where the hash was published before.  visibility: what the registry made it, None where it does not
    say; a public lineage stays public.  status, canonical_version, staged_counts: as the server writes them.
    """

    hash: ClaimedHash
    url: ShownAddress = None
    status: Any = None
    canonical_version: Any = None
    staged_counts: Any = None
    visibility: Annotated[str | None, BeforeValidator(lenient.visibility)] = None
    created: Annotated[bool, BeforeValidator(lenient.not_denied)] = True


class LegacySessionReply(Reply):
    """A lineage that takes legacy writes.  hash: absent where the server does not repeat it."""

    hash: ClaimedHash | None = None
    url: ShownAddress = None
