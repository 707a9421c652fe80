"""Identification of callers. Only this module reads `Authorization` (`protocol.md §2, §3, §5`).

- `Bearer`: the authority validates it, either the registry's own accounts or a TReqs service.
- `Signature`: an SSH key that the accounts know has just signed this request. If the signature names a host, it must be
  a host of this registry (see `signatures`). The same signed request may arrive again. If it must not take effect
  twice, it is refused with 425 (RFC 8470, see `replays`), not with 401, because the credential is valid and a later
  signature will work.
- `RegistrationSession`: the token of one anonymous session. It is derived from the server's secret and the session's
  id, so no token is stored, and opening a session again can return the same token.
- No header: the caller is anonymous.

A cookie counts only for the reader of a page (`RegistryService.visitor`), never for the other endpoints.

Authorization happens where the request is executed: `registration.find_session`, `scope`.
"""

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from enum import Enum

from msgspec import Struct

from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.glaas.signature import signing_payload
from roar_publisher.guarded import Guarded
from roar_publisher.registry.accounts.authority import Authority
from roar_publisher.registry.accounts.signatures import Signature, Signatures, Signed
from roar_publisher.registry.http.names import Names
from roar_publisher.registry.http.refusals import unauthorized
from roar_publisher.registry.store.access import ANONYMOUS_OWNER
from roar_publisher.registry.store.users import User

_TOKEN = re.compile(r"[!-~]{1,8192}")


class Credential(Enum):
    """The kind of credential that a caller presented."""

    NOTHING = "nothing"
    BEARER = "bearer"
    SSH = "ssh"
    SESSION_TOKEN = "session token"
    COOKIE = "cookie"


class Caller(Guarded, frozen=True):
    """The sender of a request.

    `user` is None except for a bearer, an SSH key or a cookie. `token` is the bearer or the token of a registration
    session; the latter is not checked yet, because the session is not known here. `signed` is what an SSH key has
    signed, otherwise None.
    """

    HIDDEN = ("token",)
    credential: Credential = Credential.NOTHING
    user: User | None = None
    token: str = ""
    signed: Signed | None = None

    @property
    def owner(self) -> str:
        """The user id that owns what the request creates."""
        return ANONYMOUS_OWNER if self.user is None else self.user.id

    @property
    def identity(self) -> str:
        """The creator identity in a lineage hash (`protocol.md §6`).

        It depends on the kind of credential, even for one user.
        """
        if self.user is None:
            return ANONYMOUS_IDENTITY
        return f"treqs:user:{self.user.sub}" if self.credential is Credential.BEARER else f"glaas:user:{self.user.id}"


ANONYMOUS_CALLER = Caller()


class SignableRequest(Struct, frozen=True):
    """The parts of a request that a signature covers.

    `path` is as on the request line, with its query. `body` reads the body. `reached_at` is as for
    `Names.is_signature_host`; it is not a header, because a relay of the request could choose that.
    """

    method: str
    path: str
    body: Callable[[], Awaitable[bytes]]
    reached_at: str = ""


class CallerIdentifier(Struct, frozen=True):
    """Identifies callers. `names` are the host names of the registry; with None, no host is its own."""

    authority: Authority
    signatures: Signatures
    names: Names | None = None

    @property
    def checks_signature_hosts(self) -> bool:
        """Whether signatures that name their host can be checked: `ssh_signature_host` in `GET /health`."""
        return self.names is not None and self.names.knows_signature_hosts

    async def identify(self, authorization: str | None, request: SignableRequest) -> Caller:
        """Return the caller that an `Authorization` header identifies.

        Raises `Refusal`: 401 if the credential is not accepted, 503 if its validity is unknown now, and whatever
        reading the body raises.
        """
        if authorization is None:
            return ANONYMOUS_CALLER
        scheme, _, credential = authorization.strip().partition(" ")
        credential = credential.strip()
        match scheme.lower():
            case "registrationsession" if credential:
                return Caller(Credential.SESSION_TOKEN, token=credential)
            case "bearer" if _TOKEN.fullmatch(credential):
                return await self._bearer(credential)
            case "signature" if signature := Signature.parse(credential):
                return await self._signed(signature, request)
        raise unauthorized("this registry does not understand this credential")

    async def _bearer(self, token: str) -> Caller:
        user = await self.authority.user_of(token)
        if user is None:
            raise unauthorized("the bearer token is not known to this registry, revoked or expired: sign in again")
        return Caller(Credential.BEARER, user, token)

    async def _signed(self, signature: Signature, request: SignableRequest) -> Caller:
        self._check_host(signature, request)
        payload = signing_payload(signature.ts, request.method, request.path, await request.body(), signature.host)
        signed = Signed(signature, payload)
        return Caller(Credential.SSH, await self.signatures.signer(signed), signed=signed)

    def _check_host(self, signature: Signature, request: SignableRequest) -> None:
        if signature.host is None:  # roar-cli names no host
            return
        if self.names is None or not self.names.is_signature_host(signature.host, request.reached_at):
            raise unauthorized(
                f"the signature was made for {signature.host}, which is not a name of this registry; its operator"
                " can add it with: roar registry serve --public-url URL"
            )


def bearer_of(authorization: str | None) -> str | None:
    """Return the unchecked bearer in an `Authorization` header; None if it holds no bearer."""
    scheme, _, credential = (authorization or "").strip().partition(" ")
    token = credential.strip()
    return token if scheme.lower() == "bearer" and _TOKEN.fullmatch(token) else None


def session_token(secret: bytes, session_id: str) -> str:
    """Return the token of an anonymous registration session. It is the same on every call."""
    return hmac.new(secret, f"registration-session\0{session_id}".encode(), hashlib.sha256).hexdigest()


def is_session_token(secret: bytes, session_id: str, token: str) -> bool:
    """Return whether this is the token of this session, which need not exist."""
    return hmac.compare_digest(session_token(secret, session_id).encode(), token.encode())


def require_user(caller: Caller) -> User:
    """Return the signed-in user. Raises `Refusal` (401) for other callers."""
    if caller.user is None:
        raise unauthorized("sign in first: this needs a credential that the registry knows")
    return caller.user
