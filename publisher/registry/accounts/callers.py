"""Who is asking: the one place that reads `Authorization` (`protocol.md §2, §3, §5`).

- `Bearer`: the authority vouches for it, the registry's own accounts or a TReqs service.
- `Signature`: an SSH key that the accounts know has signed this very request, just now, and for this registry if the
  signature names a host; see `signatures`.  The same
  signed request may come again.  What it must not do twice it refuses with 425 (RFC 8470, see `replays`), not with 401:
  the credential is good, and a later signature will do.
- `RegistrationSession`: a token of one anonymous session.  It is derived from the server's secret and the session's id,
  so nothing secret is stored and opening a session again can return it again.
- Nothing: nobody is asking.

What the caller may do is decided where it is done: `sessions.find_session`, `scope`.
"""

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus

from roar_publisher.glaas.signature import signing_payload
from roar_publisher.lineage.canonical import ANONYMOUS
from roar_publisher.registry.accounts.authority import Authority
from roar_publisher.registry.accounts.signatures import Signature, Signatures, Signed
from roar_publisher.registry.accounts.users import User
from roar_publisher.registry.http.names import Names
from roar_publisher.registry.http.refusals import Refusal, unaccepted

ANONYMOUS_OWNER = ""
"""Owner of what nobody signed for; ids of users are never empty."""
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
    not checked yet, for which session it opens is not known here.  signed: what an SSH key has signed, else None.
    """

    credential: Credential = Credential.NOTHING
    user: User | None = None
    token: str = field(default="", repr=False)
    signed: Signed | None = None

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
    """What of a request a signature speaks of.

    path: as on the request line, with its query.  body: reads it.  reached_at: as `Names.is_own`; not a header, which
    whoever relays a request writes.
    """

    method: str
    path: str
    body: Callable[[], Awaitable[bytes]]
    reached_at: str = ""


@dataclass(frozen=True, slots=True)
class Gatekeeper:
    """Tells callers apart.  names: what the registry is called; None: it does not know, so no host is its own."""

    authority: Authority
    signatures: Signatures
    names: Names | None = None

    @property
    def knows_its_hosts(self) -> bool:
        """Whether signatures that name their host can be checked: `ssh_signature_host` in `GET /health`."""
        return self.names is not None and self.names.knows_its_own

    async def identify(self, authorization: str | None, asked: Asked) -> Caller:
        """The caller that an `Authorization` header speaks of.

        Raises `Refusal`: 401 where the credential cannot be accepted, 503 where nobody can tell now, and what reading
        the body raises.
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
            case "signature" if signature := Signature.parse(credential):
                return await self._signed(signature, asked)
        raise unaccepted("this registry does not understand this credential")

    async def _bearer(self, token: str) -> Caller:
        user = await self.authority.user_of(token)
        if user is None:
            raise unaccepted("the bearer token is unknown here, revoked or expired: sign in again")
        return Caller(Credential.BEARER, user, token)

    async def _signed(self, signature: Signature, asked: Asked) -> Caller:
        self._check_host(signature, asked)
        payload = signing_payload(signature.ts, asked.method, asked.path, await asked.body(), signature.host)
        signed = Signed(signature, payload)
        return Caller(Credential.SSH, await self.signatures.signer(signed), signed=signed)

    def _check_host(self, signature: Signature, asked: Asked) -> None:
        if signature.host is None:  # roar-cli says none
            return
        if self.names is None or not self.names.is_own(signature.host, asked.reached_at):
            raise unaccepted(
                f"the signature was made for {signature.host}, which is not a name of this registry; whoever runs it"
                " can add one by: roar registry serve --public-url URL"
            )


def bearer_of(authorization: str | None) -> str | None:
    """The bearer that an `Authorization` header holds, which nobody has checked; None for anything else."""
    scheme, _, credential = (authorization or "").strip().partition(" ")
    token = credential.strip()
    return token if scheme.lower() == "bearer" and _TOKEN.fullmatch(token) else None


def session_token(secret: bytes, session_id: str) -> str:
    """The token of an anonymous registration session: the same each time it is asked for."""
    return hmac.new(secret, f"registration-session\0{session_id}".encode(), hashlib.sha256).hexdigest()


def check_session_token(secret: bytes, session_id: str, caller: Caller) -> None:
    """Raises `Refusal` unless the caller holds the token of this session: 401 without one, 403 with another's."""
    if caller.credential is not Credential.SESSION_TOKEN:
        raise unaccepted("this registration session needs its RegistrationSession token")
    expected = session_token(secret, session_id)
    if not hmac.compare_digest(expected.encode(), caller.token.encode()):
        raise Refusal(HTTPStatus.FORBIDDEN, "this token belongs to another registration session")


def require_user(caller: Caller) -> User:
    """The signed-in user.  Raises `Refusal` (401) for anybody else."""
    if caller.user is None:
        raise unaccepted("sign in first: this needs a credential that the registry knows")
    return caller.user
