"""What probes and the endpoints for writers reply, for the OpenAPI document.

The tests compare real replies with these models (`tests/support/registry/conformance.py`).
"""

from typing import Any, Literal

from pydantic import BaseModel

Document = dict[str, Any]


class ErrorReply(BaseModel):
    """Any error. `detail` is one sentence for the user."""

    detail: str


class Probed(BaseModel):
    """Whether the process lives, or can serve."""

    status: str


class HealthReply(BaseModel):
    """What this registry can do."""

    status: Literal["healthy"]
    features: Document


class SessionOpened(BaseModel):
    """A registration session. The token is that of an anonymous one."""

    registration_session_id: str
    registration_session_token: str | None = None
    created: bool
    status: Literal["active", "closed"]
    mode: str


class JobsStaged(BaseModel):
    """Jobs that were added or were there."""

    job_ids: list[str]
    errors: list[str | None]
    created_count: int
    existing_count: int
    already_registered_session_hashes: list[str] = []
    existing_binding_prepared: bool = False


class JobStaged(BaseModel):
    """One job that was added or was there."""

    id: str
    job_uid: str
    created: bool


class ArtifactsStaged(BaseModel):
    """How many artifacts were new."""

    created: int
    updated: int
    errors: int


class ArtifactsAdded(BaseModel):
    """How many artifacts were new."""

    created: int
    existing: int
    errors: list[str | None]


class ArtifactAdded(BaseModel):
    """An artifact, and whether it was new."""

    hash: str
    created: bool


class LinksStaged(BaseModel):
    """How many links of a job were taken."""

    job_uid: str
    inputs_linked: int | None = None
    outputs_linked: int | None = None


class LinkBatchStaged(BaseModel):
    """How many links of several jobs were taken. `errors` is positional, and empty without any."""

    inputs_linked: int
    outputs_linked: int
    errors: list[str | None]


class ViewEdgesStaged(BaseModel):
    """How many view edges were taken."""

    job_uid: str | None = None
    view_edges_linked: int


class SessionFinalized(BaseModel):
    """The receipt of a finalize."""

    hash: str
    url: str
    created: bool
    status: Literal["closed"]
    canonical_version: int | str
    visibility: str | None
    staged_counts: dict[str, int]


class LabelsWritten(BaseModel):
    """How many labels were written. `errors` is positional, and empty without any."""

    created: int
    updated: int
    errors: list[str | None]


class LegacyOpened(BaseModel):
    """A lineage under the hash that the client chose."""

    hash: str
    url: str
    created: bool
