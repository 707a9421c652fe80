"""Who is asking: the one place that reads `Authorization` (`protocol.md §2, §3, §5`).

- `Bearer`: the authority vouches for it, the registry's own accounts or a TReqs service.
- `Signature`: an SSH key that the accounts know has signed this very request, within `WINDOW` of now, and never before.
  Most keys sign the same request in the same second with the same bytes, so an honest client that repeats one looks
  like a thief.  It is answered 425 (RFC 8470), not 401: the credential is good, and a later signature will do.
- `RegistrationSession`: a token of one anonymous session.  It is derived from the server's secret and the session's id,
  so nothing secret is stored and opening a session again can return it again.
- Nothing: nobody is asking.

What the caller may do is decided where it is done: `sessions.find_session`, `scope`.
"""

import hashlib
import hmac
import re
import sqlite3
from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING

from publisher.glaas.signature import signing_payload
from publisher.lineage.canonical import ANONYMOUS
from publisher.registry.accounts import User
from publisher.registry.authority import Authority, Run
from publisher.registry.keys import is_signature, key_holder
from publisher.registry.refusals import Refusal

if TYPE_CHECKING:
    from publisher.registry.store import Store

ANONYMOUS_OWNER = ""
"""Owner of what nobody signed for; ids of users are never empty."""
WINDOW = 300
"""Seconds that a signature's timestamp may be away from the registry's clock, on either side."""
_SIGNATURE = re.compile(r'keyid="(SHA256:[A-Za-z0-9+/]{43})" ts="(\d{1,12})" sig="([A-Za-z0-9+/=]{1,8192})"', re.ASCII)
_TOKEN = re.compile(r"[!-~]{1,8192}")


class Credential(Enum):
    """What a caller has shown."""

    NOTHING = "nothing"
    BEARER = "bearer"
    SSH = "ssh"
    SESSION_TOKEN = "session token"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request.

    user: None but for a bearer or an SSH key.  token: the bearer, or the token of a registration session; the latter is
    not checked yet, for which session it opens is not known here.
    """

    credential: Credential = Credential.NOTHING
    user: User | None = None
    token: str = field(default="", repr=False)

    @property
    def owner(self) -> str:
        """The id that owns what the request makes."""
        return ANONYMOUS_OWNER if self.user is None else self.user.id

    @property
    def identity(self) -> str:
        """Whom a lineage hash names (`protocol.md §6`): one person by another name under another credential."""
        if self.user is None:
            return ANONYMOUS
        return f"treqs:user:{self.user.sub}" if self.credential is Credential.BEARER else f"glaas:user:{self.user.id}"


NOBODY = Caller()


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request a signature speaks of.  path: as on the request line, with its query.  body: reads it."""

    method: str
    path: str
    body: Callable[[], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    """Tells callers apart.  clock: Unix seconds."""

    store: "Store"
    authority: Authority
    run: Run
    clock: Callable[[], float]

    async def identify(self, authorization: str | None, asked: Asked) -> Caller:
        """The caller that an `Authorization` header speaks of.

        Raises `Refusal`: 401 where the credential cannot be accepted, 425 where it was used up, 503 where nobody can
        tell now, and what reading the body raises.  Each signature counts once, whatever came of it.
        """
        if authorization is None:
            return NOBODY
        scheme, _, credential = authorization.strip().partition(" ")
        credential = credential.strip()
        match scheme.lower():
            case "registrationsession" if credential:
                return Caller(Credential.SESSION_TOKEN, token=credential)
            case "bearer" if _TOKEN.fullmatch(credential):
                return await self._bearer(credential)
            case "signature" if found := _SIGNATURE.fullmatch(credential):
                keyid, ts, signature = found.groups()
                return await self._signed(keyid, int(ts), signature, asked)
        raise _unaccepted("this registry does not understand this credential")

    async def _bearer(self, token: str) -> Caller:
        user = await self.authority.user_of(token)
        if user is None:
            raise _unaccepted("the bearer token is unknown here, revoked or expired: sign in again")
        return Caller(Credential.BEARER, user, token)

    async def _signed(self, keyid: str, ts: int, signature: str, asked: Asked) -> Caller:
        off = ts - self.clock()
        if abs(off) > WINDOW:
            direction = "ahead of" if off > 0 else "behind"
            raise _unaccepted(f"the signature's timestamp is {abs(off):.0f} s {direction} the registry's clock")
        try:
            blob = b64decode(signature, validate=True)
        except ValueError:
            raise _unaccepted("the signature is no base64") from None
        payload = signing_payload(ts, asked.method, asked.path, await asked.body())
        user = await self.run(lambda: self._verified(keyid, ts, payload, blob))
        return Caller(Credential.SSH, user)

    def _verified(self, keyid: str, ts: int, payload: bytes, blob: bytes) -> User:
        holder = self.store.accounts.read(key_holder, keyid)
        if holder is None:
            raise _unaccepted(f"the key {keyid} is unknown here")
        user, public = holder
        if not is_signature(public, payload, blob):
            raise _unaccepted("the signature is not one of this request by this key, in the namespace glaas")
        # What was signed is remembered, not the signature: of one signature others can be made that are valid too.
        digest = hashlib.sha256(f"{keyid}\n".encode() + payload).digest()
        if not self.store.write(_spend, digest, until=ts + WINDOW, now=self.clock()):
            raise Refusal(HTTPStatus.TOO_EARLY, "this was signed and sent before: sign it anew, a second later")
        return user


def session_token(secret: bytes, session_id: str) -> str:
    """The token of an anonymous registration session: the same each time it is asked for."""
    return hmac.new(secret, f"registration-session\0{session_id}".encode(), hashlib.sha256).hexdigest()


def check_session_token(secret: bytes, session_id: str, caller: Caller) -> None:
    """Raises `Refusal` unless the caller holds the token of this session: 401 without one, 403 with another's."""
    if caller.credential is not Credential.SESSION_TOKEN:
        raise _unaccepted("this registration session needs its RegistrationSession token")
    expected = session_token(secret, session_id)
    if not hmac.compare_digest(expected.encode(), caller.token.encode()):
        raise Refusal(HTTPStatus.FORBIDDEN, "this token belongs to another registration session")


def require_user(caller: Caller) -> User:
    """The signed-in user.  Raises `Refusal` (401) for anybody else."""
    if caller.user is None:
        raise _unaccepted("sign in first: this needs a credential that the registry knows")
    return caller.user


def _spend(connection: sqlite3.Connection, digest: bytes, *, until: float, now: float) -> bool:
    """Remember what was signed until its timestamp is refused anyway; False where it is remembered already."""
    connection.execute("DELETE FROM spent_signatures WHERE until < ?", (now,))
    added = connection.execute(
        "INSERT INTO spent_signatures (digest, until) VALUES (?, ?) ON CONFLICT DO NOTHING", (digest, until)
    )
    return added.rowcount == 1


def _unaccepted(detail: str) -> Refusal:
    return Refusal(HTTPStatus.UNAUTHORIZED, detail)
