"""The requests of the protocol (`protocol.md §2, §4`) as pydantic models, by which the registry and imports check them.

`batches` has those that stage jobs, artifacts and links. A publish builds dicts (`request_dicts`), without this module.

Unknown fields are ignored, types are not coerced (`"1"` is not a number), numbers fit into SQLite, and texts contain no
NUL. `replies` holds the replies, `features` the features of a registry.
"""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    model_validator,
    with_config,
)
from typing_extensions import TypedDict  # the one that pydantic needs on Python 3.11

from roar_publisher.glaas.protocol import LARGEST_INTEGER

DEFAULT_BODY_LIMIT = 100 * 1024
"""The size in bytes up to which GLaaS reads a request body (`protocol.md §2`)."""
BATCH_LIMIT = 1024 * 1024
"""The size in bytes up to which our registry reads a batch, which it advertises as `max_body_bytes`."""

TEXT_PATTERN = r"^[^\x00]*$"
NAME_PATTERN = r"^[!-~]+$"
NAME_LENGTH = 256
Text = Annotated[str, Field(pattern=TEXT_PATTERN)]
Name = Annotated[str, Field(pattern=NAME_PATTERN, max_length=NAME_LENGTH)]
"""A uid or a digest: printable ASCII without spaces."""
LineageHash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Address = Annotated[str, Field(pattern=r"^[!-~]+$", max_length=2048)]
"""A URL that is shown to users. It cannot contain control characters for a terminal."""
Count = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]


T = TypeVar("T")
MOST_ITEMS = 5000
"""Items of one request. More do not fit into `DEFAULT_BODY_LIMIT` bytes."""
Items = Annotated[list[T], Field(max_length=MOST_ITEMS), FailFast()]
"""A list whose validation stops at the first invalid item: describing 30,000 of them takes a second."""


def without_null(model: type[BaseModel], sent: Any) -> Any:
    """Return an object as it was sent, without the fields that are null and that a model does not need (§2)."""
    if not isinstance(sent, dict):
        return sent
    optional = {name for name, field in model.model_fields.items() if not field.is_required()}
    return {name: value for name, value in sent.items() if value is not None or name not in optional}


class RequestBody(BaseModel):
    """A body that a registry accepts.

    A registry validates it. A client builds it as a dict (`request_dicts`) without validation, because roar.db may hold
    anything and the registry is the one that judges it.
    """

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, sent: Any) -> Any:
        return without_null(cls, sent)


class OpenRequest(RequestBody):
    """`POST /registration-sessions`. The same `client_session_id` returns the same session."""

    client_session_id: Annotated[Text, Field(min_length=1, max_length=256)] | None = None
    mode: Literal["anonymous_public"] | None = None


@with_config(RequestBody.model_config)
class CompositeHash(TypedDict):
    """One digest of a composite artifact."""

    algorithm: Name
    digest: Name


class Component(RequestBody):
    """A member of a composite artifact."""

    model_config = ConfigDict(extra="allow")

    relative_path: Text
    component_digest: Name


class CompositeRequest(RequestBody):
    """`…/artifacts/composites`: an artifact made of others. It lists some of them and counts all of them."""

    hashes: Annotated[Items[CompositeHash], Field(min_length=1)]
    size: Count
    source_type: Text | None = None
    metadata: Text | dict[str, Any] | None = None
    hash: Name
    component_count_total: Count
    components: Items[Component] = []
    membership_index: dict[str, Any] | None = None


class LegacyCompositeRequest(CompositeRequest):
    """`POST /artifacts/composites`."""

    session_hash: LineageHash


class ViewEdge(RequestBody):
    """A job's use of a part of a composite artifact. Extra fields are kept unchanged."""

    model_config = ConfigDict(extra="allow")

    relation: Text
    target_hash: Name


class ViewEdgesRequest(RequestBody):
    """`…/jobs/:uid/view-edges`."""

    view_edges: Items[ViewEdge]


class ExpectedCounts(RequestBody):
    """The client's counts of what it staged: jobs, and distinct digests per job and kind (`protocol.md §4`)."""

    jobs: Count | None = None
    inputs: Count | None = None
    outputs: Count | None = None


class FinalizeRequest(RequestBody):
    """`…/finalize`."""

    git_repo: Text | None = None
    git_commit: Text | None = None
    git_branch: Text | None = None
    scope_request: dict[str, Any] | None = None
    expected: ExpectedCounts | None = None


class Label(RequestBody):
    """The label document of one entity of a published lineage.

    session_hash: of the lineage. roar-cli up to 0.2.11 does not send it with an artifact's label.
    """

    entity_type: Literal["dag", "job", "artifact"]
    session_hash: LineageHash | None = None
    job_uid: Name | None = None
    artifact_hash: Name | None = None
    metadata: dict[str, Any]
    key_origins: dict[str, str] | None = None

    @property
    def entity(self) -> str | None:
        """The entity's name within its lineage: a uid, a digest, or `""` for the lineage itself; None if missing."""
        return {"dag": "", "job": self.job_uid, "artifact": self.artifact_hash}[self.entity_type]


class LabelsRequest(RequestBody):
    """`…/labels/batch` and `POST /labels/sync`."""

    labels: Items[Label]


class LegacySessionRequest(RequestBody):
    """`POST /sessions`: the client supplies the hash."""

    hash: LineageHash
    git_repo: Text | None = None
    git_commit: Text | None = None
    git_branch: Text | None = None
    scope_request: dict[str, Any] | None = None
