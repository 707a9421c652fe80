"""The journal's data about a publish: the frozen plan, what the steps learned, and the history."""

from enum import StrEnum
from typing import Any, Literal, TypedDict

from msgspec import Struct, field

from roar_publisher.state.debts import Debt
from roar_publisher.state.machine import State
from roar_publisher.state.reasons import Reason, reason_of

NAMED_BY = "registry_named_by"
"""In the intent of a plan: the `NamedBy` of its registry."""
ALLOWED_FOLDERS = "grounds"
"""In the intent of an imported plan: the folders that it may read and write, the project first."""
LOCAL_SETTINGS = frozenset({NAMED_BY, ALLOWED_FOLDERS})
"""The parts of an intent that apply to this machine only: they do not distinguish publishes, and are not exported."""


PROVEN, DIFFERS, UNCHECKED = "proven", "differs", "unchecked"
"""Values of `outcome` in `Progress.verification`, beside `why`, `differences` and, of a put, `objects`."""


class NamedBy(StrEnum):
    """The source of a registry's address. The plan of a publish stores the value (`NAMED_BY`)."""

    OPTION = "--registry"
    ENVIRONMENT = "GLAAS_URL"
    USER = "the user's configuration"
    DEFAULT = "the default"
    PROJECT = "the project"
    BUNDLE = "a bundle"


NAMED_BY_USER = (NamedBy.OPTION, NamedBy.ENVIRONMENT, NamedBy.USER, NamedBy.DEFAULT)
"""Sources that the user controls. A project or a bundle is not one."""


class Plan(Struct, frozen=True, kw_only=True):
    """What is frozen before the first write.

    id: eight hex digits, which name the publish's folder.
    created_at: Unix seconds, before the first read of roar.db. What roar wrote later is not in the plan.
    project, roar_db: paths. target: what the user named; None for the active session.
    registry: its address, as `net.address.registry_address` returns it.
    intent: what decides about visibility and credential (`planning.plans.PublishRequest.intent`). LOCAL_SETTINGS are
    the keys that apply to this machine alone.
    digest: identifies exactly what is sent. fingerprint: identifies what was asked for; the same request resumes by it.
    local_session: the id of the session in roar.db.
    jobs, inputs, outputs, artifacts, labels: how many are sent. Links count distinct digests per job and kind.
    provisional: by identity, the hash from which the remote uids follow (protocol.md §6). Its keys are the identities
    that the plan was made for. published: by identity, the hash of what is sent; empty in a plan of an older release.
    redactions: how many secrets of each shape were cut out.
    destination: where a put stores its objects, as a URL; None for a publish of lineage alone.
    tags: the git tags of a put, as [name, commit, remote, its address]. If a tag is not pushed, the last two are empty,
    or missing in a plan of an older release.
    """

    id: str
    created_at: float
    project: str
    roar_db: str
    target: str | None
    registry: str
    intent: dict[str, Any]
    digest: str
    local_session: int
    git_repo: str | None
    git_commit: str | None
    git_branch: str | None
    jobs: int
    inputs: int
    outputs: int
    artifacts: int
    labels: int
    provisional: dict[str, str]
    redactions: dict[str, int]
    fingerprint: str
    destination: str | None = None
    tags: list[list[str]] = field(default_factory=list)
    published: dict[str, str] = field(default_factory=dict)


class Progress(Struct, frozen=True, kw_only=True):
    """What the steps have learned so far.

    state: as the last checkpoint left it. updated_at: Unix seconds of that, or of the latest `note`.
    epoch: how often the registration session was lost; part of the id under which the next one is requested.
    recounts: how often everything was staged again because the counts differed.
    reason, detail: why the publish stopped last (a code, perhaps of a newer release, and a sentence); empty while it
    runs, but for the reason of a wait.
    capabilities: what the registry can do, since PROBE (the keys are in `engine.run`).
    credential, identity, why, scope_request: what AUTH_SELECT chose: the value of an `auth.choice.Decision`, who
    publishes, why it was that one, and the scope that finalize has to ask for (protocol.md §5), None for none.
    remote_session: the id of the registration session; None before OPEN, without one, and on the legacy path.
    published_elsewhere: the hash under which the registry already has every job; "" once it has said that one is new;
    None while that is unknown.
    binding_prepared: the registry has prepared those jobs for the requested scope. Finalize applies it.
    hash, url: of the published lineage, and of its page if it may be shown; None before that.
    receipt: the registry's reply when it published, or what it says of a lineage that it had before, without empty
    fields and with long values cut; None before that.
    verify: what is published is read back and compared. verification: what that found (`PROVEN`); None before.
    owed: work after finalize that could not be done yet.
    """

    state: State = State.PROBE
    updated_at: float = 0.0
    epoch: int = 0
    recounts: int = 0
    reason: str = ""
    detail: str = ""
    capabilities: dict[str, bool | int] = field(default_factory=dict)
    credential: str | None = None
    identity: str | None = None
    why: str | None = None
    scope_request: dict[str, Any] | None = None
    remote_session: str | None = None
    published_elsewhere: str | None = None
    binding_prepared: bool = False
    hash: str | None = None
    url: str | None = None
    receipt: dict[str, Any] | None = None
    verify: bool = False
    verification: dict[str, Any] | None = None
    owed: tuple[Debt, ...] = ()

    @property
    def published(self) -> bool:
        """Whether the registry has said that it has published the lineage, although work may be left."""
        return self.hash is not None

    @property
    def failure(self) -> Reason:
        """Why a failed publish failed."""
        return reason_of(self.reason, otherwise=Reason.FAILED)

    @property
    def differs(self) -> str:
        """What differs between the plan and what was read back, in words; empty if nothing is known to."""
        found = self.verification or {}
        return str(found.get("why")) if found.get("outcome") == DIFFERS else ""

    @property
    def unconfirmed(self) -> Debt | None:
        """The debt whose outcome the registry's replies did not confirm as expected, if any."""
        return next((debt for debt in self.owed if debt.reason == Reason.RECEIPT), None)


class Learned(TypedDict, total=False):
    """What a step may pass to `Journal.checkpoint` and `Journal.remember`: fields of `Progress`."""

    reason: Reason | Literal[""]
    detail: str
    capabilities: dict[str, bool | int]
    credential: str | None
    identity: str | None
    why: str | None
    scope_request: dict[str, Any] | None
    remote_session: str | None
    published_elsewhere: str | None
    binding_prepared: bool
    hash: str | None
    url: str | None
    receipt: dict[str, Any] | None
    verify: bool
    verification: dict[str, Any] | None
    owed: tuple[Debt, ...]


class Checkpoint(Struct, frozen=True):
    """A row of the history. at: Unix seconds. The texts are values of Event and State, perhaps of a newer release."""

    at: float
    event: str
    source: str
    target: str
    detail: str


class LocalContext(Struct, frozen=True, kw_only=True):
    """What an import replaces in a plan and its progress, because it depends on the machine.

    project, roar_db, local_session, tags: as in `Plan`. ssh_key: the configured key; "" without one.
    url: as in `Progress`, if the registry itself shows it. allowed_folders: `ALLOWED_FOLDERS`.
    """

    project: str
    roar_db: str
    local_session: int
    ssh_key: str
    tags: list[list[str]]
    url: str | None
    allowed_folders: list[str]
