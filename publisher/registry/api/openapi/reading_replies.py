"""What the endpoints for readers and accounts reply, for the OpenAPI document (`staging_replies`)."""

from typing import Any, Literal

from pydantic import BaseModel

from roar_publisher.registry.accounts.context import AccessContext
from roar_publisher.registry.lineages.job_views import JobView
from roar_publisher.registry.lineages.reading import RecentLineage
from roar_publisher.registry.receipt_keys import ReceiptKey

Document = dict[str, Any]


class LineagePage(BaseModel):
    """A published lineage, with a page of its jobs."""

    hash: str
    url: str
    set_aside: bool
    creator: str
    visibility: Literal["public", "private"]
    git_repo: str | None
    git_commit: str | None
    git_branch: str | None
    published_at: float
    jobs_count: int
    artifacts_count: int
    labels: Document
    jobs: list[JobView]
    offset: int
    next_offset: int | None


class OwnSessions(BaseModel):
    """The caller's newest lineages."""

    sessions: list[RecentLineage]


class ReadbackReply(BaseModel):
    """A page of what the hash of a lineage covers."""

    hash: str
    canonical_version: int | str
    finalized: bool
    creator_identity: str
    git: dict[str, str | None]
    jobs: list[Document]
    next: str | None


class LabelsReadback(BaseModel):
    """A page of the labels of a lineage."""

    hash: str
    labels: list[Document]
    next: str | None


class ReceiptOfLineage(BaseModel):
    """A signed receipt, as a DSSE envelope, and the public key."""

    envelope: Document
    key: str


class ReceiptKeysSent(BaseModel):
    """Public keys, the current one first."""

    keys: list[ReceiptKey]


class ArtifactReply(BaseModel):
    """An artifact."""

    hash: str
    kind: Literal["primitive", "composite"]
    isComposite: bool
    hashes: list[dict[str, str]]
    size: int | None
    source_type: str | None
    path: str | None
    metadata: Any
    original_session_hash: str
    registeredAt: str
    labels: list[Document]
    scope: dict[str, str | None]


class ComponentsReply(BaseModel):
    """The stored components of a composite artifact."""

    hash: str
    componentCount: int
    components: list[Document]


class UpstreamReply(BaseModel):
    """The jobs that led to an artifact, and where their code is."""

    artifact: Document
    is_external: bool
    dag: Document | None
    producedBy: Any
    external_deps: list[Document]
    gitRepo: str | None
    gitCommit: str | None
    gitBranch: str | None
    jobs: list[Document]


class ReproductionReply(BaseModel):
    """All jobs of a lineage, and where their code is."""

    sessionHash: str
    gitRepo: str | None
    gitCommit: str | None
    gitBranch: str | None
    jobs: list[Document]


class LabelDocument(BaseModel):
    """A version of the label document of an entity."""

    entityType: Literal["dag", "job", "artifact"]
    sessionHash: str
    jobUid: str | None = None
    artifactHash: str | None = None
    version: int
    metadata: Document
    keyOrigins: Document


class CurrentLabel(LabelDocument):
    """The newest version, and whether the caller may edit it."""

    canEdit: bool


class LabelHistory(BaseModel):
    """Versions of a label document, oldest first."""

    labels: list[LabelDocument]
    next_before: int | None


class Reconciled(BaseModel):
    """The outcome of each edit."""

    processed: int
    deletedKeys: int
    conflicts: list[Document]
    results: list[Document]


class Me(BaseModel):
    """Who calls."""

    success: Literal[True]
    data: Document


class SignedOut(BaseModel):
    """That the sign-in has ended."""

    success: Literal[True]
    data: dict[str, bool]


class AccessContextSent(BaseModel):
    """What the caller may see."""

    success: Literal[True]
    data: AccessContext


class TokensReply(BaseModel):
    """Tokens of a sign-in, of the registry or an identity service. `expires_in` is in seconds."""

    access_token: str
    refresh_token: str | None = None
    token_type: str | None = None
    expires_in: float | None = None


class DeviceCodesReply(BaseModel):
    """The codes of a program that wants to sign in, of the registry or an identity service. Times are in seconds."""

    device_code: str
    user_code: str
    verification_uri: str
    expires_in: float | None = None
    interval: float | None = None


class FragmentSessionReply(BaseModel):
    """A fragment session."""

    session_id: str
    expires_at: str
    created: bool | None = None


class FragmentStored(BaseModel):
    """A stored batch."""

    stored: Literal[True]
    sequence: int


class FragmentsReply(BaseModel):
    """All batches of a fragment session."""

    fragments: list[Document]
