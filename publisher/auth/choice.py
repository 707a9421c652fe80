"""What goes into the choice of a credential, and what comes out (protocol.md §5).  The rule itself is `decide`."""

from dataclasses import dataclass
from enum import Enum, StrEnum

from roar_publisher.state.errors import NeedsPerson


class Flag(Enum):
    """What the command line asks for."""

    NONE = ""
    PUBLIC = "--public"
    PRIVATE = "--private"
    ANONYMOUS = "--anonymous"


class Probe(Enum):
    """What the server said to the SSH key: 2xx, 401, or anything else (protocol.md §4, `GET /sessions?limit=1`)."""

    NOT_ASKED = "not asked"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    INCONCLUSIVE = "inconclusive"


class Key(Enum):
    """The SSH key at hand.  One that is named (`ROAR_SSH_KEY`, `[glaas] key`) is the person's explicit choice."""

    NONE = "none"
    USUAL = "one in ~/.ssh"
    NAMED = "named"
    UNUSABLE = "cannot sign"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What this machine can sign with: a bearer that is valid or can be refreshed, an SSH key.

    key: not looked at, and so NONE, where it can't matter.
    lapsed: there is a bearer that is neither, so somebody meant to be named.
    """

    bearer: bool
    key: Key = Key.NONE
    lapsed: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server advertises under `features.registration_sessions` (protocol.md §4, `GET /health`).

    `authenticated` decides nothing: an authenticated publish always uses registration sessions (§5).
    """

    anonymous_public: bool
    server_hash: bool
    authenticated: bool


class Decision(StrEnum):
    """How to publish; PROBE_SSH: ask the server whether it accepts the SSH key, then decide again."""

    BEARER = "bearer"
    SSH = "ssh"
    ANONYMOUS_SESSION = "anonymous session"
    LEGACY = "legacy"
    PROBE_SSH = "probe ssh"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Choice:
    """A decision with its reasons.

    row: the rows that applied, as `intent/carrier` or `intent/carrier/route`.
    why: the same as a sentence without its full stop, for `--dry-run`.
    public: whether anyone may read what is published.
    scope_request: what finalize must carry (None: nothing); for STOP, what it would have carried.
    note: what the person did not ask for but should be told, else empty.
    remedies: for STOP, what a person can do about it; else empty.
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
        """Whether a person, or `-y`, must agree first: what is published without a credential is public and unowned."""
        return self.decision in (Decision.ANONYMOUS_SESSION, Decision.LEGACY)

    def problem(self, details: str = "", mend: str = "", reason: str = "auth") -> NeedsPerson:
        """The error that a STOP is raised as.

        details: sentences on why the credentials at hand can't be used.  mend: what to do about that; it comes first.
        """
        *others, last = [*filter(None, [mend]), *self.remedies]
        remedy = ", ".join(others) + f", or {last}." if others else f"{last}."
        what = f"{sentence(self.why)}. {details}".strip()
        return NeedsPerson(what, next_step=sentence(remedy), reason=reason)


def sentence(text: str) -> str:
    """With a capital letter at the start."""
    return text[:1].upper() + text[1:]
