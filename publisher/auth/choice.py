"""The inputs and the result of the choice of a credential (protocol.md §5). `decide` holds the rule itself."""

from enum import Enum, StrEnum

from msgspec import Struct

from roar_publisher.state.errors import NeedsUser
from roar_publisher.state.reasons import Reason


class Flag(Enum):
    """The visibility flag of the command line."""

    NONE = ""
    PUBLIC = "--public"
    PRIVATE = "--private"
    ANONYMOUS = "--anonymous"


class Probe(Enum):
    """The server's answer to the SSH key: 2xx, 401, or anything else (protocol.md §4, `GET /sessions?limit=1`)."""

    NOT_ASKED = "not asked"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    INCONCLUSIVE = "inconclusive"


class Key(Enum):
    """The available SSH key. A named one (`ROAR_SSH_KEY`, `[glaas] key`) is the user's explicit choice."""

    NONE = "none"
    USUAL = "one in ~/.ssh"
    NAMED = "named"
    UNUSABLE = "cannot sign"


class HeldCredentials(Struct, frozen=True):
    """The credentials that this machine can sign with.

    bearer: whether there is one that is valid or can be refreshed.
    key: the SSH key; NONE without a check if it cannot matter.
    bearer_unusable: whether there is an unusable bearer, so the user meant to publish under a name.
    """

    bearer: bool
    key: Key = Key.NONE
    bearer_unusable: bool = False


class Capabilities(Struct, frozen=True):
    """What the server advertises for anonymous publishes (protocol.md §4, `GET /health`).

    An authenticated publish always uses registration sessions (§5).
    """

    anonymous_public: bool
    server_hash: bool


class Decision(StrEnum):
    """How to publish. PROBE_SSH: ask the server whether it accepts the SSH key, then decide again."""

    BEARER = "bearer"
    SSH = "ssh"
    ANONYMOUS_SESSION = "anonymous session"
    LEGACY = "legacy"
    PROBE_SSH = "probe ssh"
    STOP = "stop"


class Choice(Struct, frozen=True):
    """A decision with its reasons.

    row: the rows that applied, as `intent/carrier` or `intent/carrier/route`.
    why: the reason as a sentence without its full stop, for `--dry-run`.
    public: whether everyone may read what is published.
    scope_request: what finalize must carry (None: nothing); for STOP, what it would have carried.
    note: what the user should know without having asked, otherwise empty.
    remedies: for STOP, what the user can do about it; otherwise empty.
    """

    decision: Decision
    row: str
    why: str
    public: bool
    scope_request: dict[str, str] | None
    note: str = ""
    remedies: tuple[str, ...] = ()

    @property
    def needs_confirmation(self) -> bool:
        """Whether the user, or `-y`, must agree first: a publish without a credential is public and has no owner."""
        return self.decision in (Decision.ANONYMOUS_SESSION, Decision.LEGACY)

    def problem(self, details: str = "", remedy: str = "", reason: Reason = Reason.AUTH) -> NeedsUser:
        """Return the error for a STOP.

        details: sentences on why the existing credentials cannot be used.
        remedy: the remedy for that; it comes first.
        """
        *others, last = [*filter(None, [remedy]), *self.remedies]
        remedy = f"{', '.join(others)}, or {last}" if others else last
        return NeedsUser(". ".join(filter(None, [self.why, details])), next_step=remedy, reason=reason)
