"""roar's sign-in state in `auth.json` (protocol.md §5): read and changed without displaying it."""

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import NoReturn

from msgspec import Struct

from roar_publisher.auth.secret import Secret
from roar_publisher.state.errors import NeedsUser
from roar_publisher.state.reasons import Reason

CLIENT_ID = "roar-cli"
LOG_IN = "run `roar login`"
"""The remedy for a missing or unusable sign-in."""
REFRESH_LEEWAY_S = 300.0
"""roar-cli's own value: a bearer this close to its expiry is refreshed before use."""
MAX_LIFETIME_S = 10 * 365 * 86400.0
_TOKENS = ("access_token", "refresh_token", "id_token")


class TokenState(Enum):
    """Whether a bearer can be used now."""

    VALID = "valid"
    DUE = "to be refreshed first"
    EXPIRED = "expired, and cannot be refreshed"


class SignIn(Struct, frozen=True):
    """The signed-in user and the credentials.

    expires_at: Unix seconds; None if unknown.
    sub, db_user_id: the user's ids at TReqs and at GLaaS; empty if the state does not contain them (for
    `ROAR_ACCESS_TOKEN` neither is known).
    issuer: as in the state, often empty.
    """

    access_token: Secret
    refresh_token: Secret | None = None
    expires_at: float | None = None
    provider: str = ""
    sub: str = ""
    db_user_id: str = ""
    issuer: str = ""

    @property
    def digest(self) -> str:
        """An irreversible digest that identifies this sign-in and does not change when it is refreshed.

        Without a user, it is computed from the token, and therefore changes with each refresh.
        """
        facts = [self.provider, self.issuer, self.sub, self.db_user_id]
        if not self.sub and not self.db_user_id:
            facts.append(self.access_token.reveal())
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def token_state(self, now: float) -> TokenState:
        """Return whether the bearer can be used at `now` (Unix seconds)."""
        if self.expires_at is None:
            return TokenState.VALID
        if self.refresh_token is not None:
            return TokenState.DUE if now >= self.expires_at - REFRESH_LEEWAY_S else TokenState.VALID
        return TokenState.EXPIRED if now >= self.expires_at else TokenState.VALID


class Document(dict[str, object]):
    """A JSON object that contains credentials: `auth.json`, or a refresh request or reply. Its repr shows nothing."""

    def __repr__(self) -> str:
        return "<secret document>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret document is neither pickled nor copied")

    @classmethod
    def parse(cls, content: bytes) -> "Document | None":
        """Return the document in `content`, or None if it is not a JSON object."""
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            return None
        return cls(document) if isinstance(document, dict) else None

    def serialised(self) -> Secret:
        """Return the file's content, in the same form as roar-cli writes it."""
        return Secret(json.dumps(self, indent=2) + "\n")

    def sign_in(self) -> SignIn:
        """Return the sign-in. Raises `NeedsUser`, naming the invalid field, if it cannot be used."""
        user = self.get("user") or {}
        if not isinstance(user, Mapping):
            raise _unusable("user is not an object")
        access_token = _token(self, "access_token")
        if access_token is None:
            raise _unusable("access_token is missing")
        expires_at = _text(self, "expires_at")
        expiry = _unix_seconds(expires_at) if expires_at else None
        if expires_at and expiry is None:
            raise _unusable("expires_at is not a time")
        return SignIn(
            access_token,
            _token(self, "refresh_token"),
            expiry,
            _text(self, "provider"),
            _text(user, "sub"),
            _text(user, "db_user_id"),
            _text(self, "issuer"),
        )

    def refreshed(self, answer: Mapping[str, object], now: float) -> "Document":
        """Return this document with the tokens of the reply of `POST /auth/refresh`. All other fields stay.

        A refresh never changes the user or the issuer; see `subjects.names_different_user`. The expiry is counted from
        `now` (Unix seconds); it is unknown if the reply does not contain it.
        """
        new = Document(self)
        tokens = Document({field: answer[field] for field in _TOKENS if _sendable(answer.get(field))})
        new.update(tokens)
        if _text(answer, "refresh_expires_at"):
            new["refresh_expires_at"] = answer["refresh_expires_at"]
        if "access_token" in tokens:
            new["expires_at"] = _expiry(answer, now)
        return new


def environment_sign_in(token: Secret) -> SignIn:
    """Return the sign-in with the token of `ROAR_ACCESS_TOKEN`. Raises `NeedsUser` if the value cannot be a token."""
    if not _sendable(token.reveal()):
        raise NeedsUser("ROAR_ACCESS_TOKEN is not a token", next_step="unset ROAR_ACCESS_TOKEN", reason=Reason.AUTH)
    return SignIn(token)


def _expiry(answer: Mapping[str, object], now: float) -> str | None:
    try:
        seconds = float(_text(answer, "expires_in"))
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= MAX_LIFETIME_S:
        at = _unix_seconds(_text(answer, "expires_at"))
        seconds = math.nan if at is None else at - now
    try:
        return datetime.fromtimestamp(now + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except ValueError:  # NaN, or the last moment of the year 9999, with which some servers say "never"
        return None


def _unix_seconds(text: str) -> float | None:
    """Return an ISO time as Unix seconds, in UTC if it has no zone; None if it is invalid."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def _text(table: Mapping[str, object], key: str) -> str:
    """Return a field as a stripped string, empty for null. Like roar-cli, accepts numbers."""
    value = table.get(key)
    return "" if value is None else str(value).strip()


def _token(table: Mapping[str, object], key: str) -> Secret | None:
    if not _text(table, key):
        return None
    if not _sendable(_text(table, key)):
        raise _unusable(f"{key} is not a token")
    return Secret(_text(table, key))


def _sendable(token: object) -> bool:
    """Return whether a value is a string that is valid in a header."""
    return isinstance(token, str) and token != "" and token.isascii() and token.isprintable() and " " not in token


def _unusable(what: str) -> NeedsUser:
    return NeedsUser(f"roar's sign-in state (auth.json) is unusable: {what}", next_step=LOG_IN, reason=Reason.AUTH)
