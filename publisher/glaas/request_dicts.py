"""Requests and their items as a client builds them: dicts, which the models of `wire` and structs of `batches` parse.

Building a job from its model and dumping it takes four times as long as encoding a dict, and a lineage may have a
hundred thousand jobs. The models need pydantic, which takes longer to import than a small publish has.
`tests/unit/glaas/test_request_dicts.py` compares each type here with its model. A key that is not required is absent
if there is nothing to say; a None is sent as null.
"""

from typing import Any, Literal, NotRequired, TypedDict


class HashItem(TypedDict):
    """`batches.Hash`."""

    algorithm: str
    digest: str


class JobItem(TypedDict):
    """`batches.Job`."""

    command: str
    timestamp: float | None
    job_uid: str
    git_commit: str | None
    git_branch: str | None
    duration_seconds: float | None
    exit_code: int | None
    job_type: str | None
    step_number: int | None
    metadata: NotRequired[str]
    parent_job_uid: NotRequired[str]


class ArtifactItem(TypedDict):
    """`batches.Artifact`."""

    hashes: list[HashItem]
    size: int
    source_type: str | None
    metadata: NotRequired[str]


class ComponentItem(TypedDict):
    """`wire.Component`, with fields that a registry keeps unchanged."""

    relative_path: str
    leaf_kind: str
    component_algorithm: str
    component_digest: str
    component_size: int
    component_type: str | None


class CompositeItem(ArtifactItem):
    """`wire.CompositeRequest`."""

    hash: str
    component_count_total: int
    components: list[ComponentItem]
    membership_index: dict[str, Any]


class LabelText(TypedDict):
    """The part of `wire.Label` that every label has. The sender adds the hash of the lineage."""

    metadata: dict[str, Any]
    key_origins: dict[str, str]


class SessionLabel(LabelText):
    entity_type: Literal["dag"]


class JobLabel(LabelText):
    entity_type: Literal["job"]
    job_uid: str


class ArtifactLabel(LabelText):
    entity_type: Literal["artifact"]
    artifact_hash: str


LabelItem = SessionLabel | JobLabel | ArtifactLabel


class OpenBody(TypedDict):
    """`wire.OpenRequest`."""

    client_session_id: str
    mode: NotRequired[Literal["anonymous_public"]]


class CountsBody(TypedDict):
    """`wire.ExpectedCounts`."""

    jobs: int
    inputs: int
    outputs: int


class FinalizeBody(TypedDict):
    """`wire.FinalizeRequest`."""

    git_repo: str | None
    git_commit: str | None
    git_branch: str | None
    scope_request: NotRequired[dict[str, Any]]
    expected: NotRequired[CountsBody]


class LegacySessionBody(TypedDict):
    """`wire.LegacySessionRequest`."""

    hash: str
    git_repo: str | None
    git_commit: str | None
    git_branch: str | None


ListField = Literal["jobs", "artifacts", "links", "labels"]


def wrapped(field: ListField, items: bytes) -> bytes:
    """Return the body of a request whose only field is a list. items: the list as JSON, sent as it is."""
    return b'{"%b":%b}' % (field.encode("ascii"), items)
