"""Who is asking: the one place that reads `Authorization` (`protocol.md §2`).

Anonymous sessions are the only ones so far.  Their token is derived from the server's secret and the session's id, so
nothing secret is stored and opening a session again can return it again.
"""

import hashlib
import hmac
from dataclasses import dataclass
from http import HTTPStatus

from publisher.registry.refusals import Refusal

ANONYMOUS_OWNER = ""
"""Owner of what nobody signed for; identities of users are never empty."""
TOKEN_SCHEME = "registrationsession"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sent a request.

    owner: the identity that owns what the request makes.  session_token: the token of a registration session, if one
    was sent; it is not checked yet, for which session it opens is not known here.
    """

    owner: str = ANONYMOUS_OWNER
    session_token: str | None = None


def identify(authorization: str | None) -> Caller:
    """The caller that an `Authorization` header speaks of.  Raises `Refusal` (401) where it cannot be accepted."""
    if authorization is None:
        return Caller()
    scheme, _, credential = authorization.strip().partition(" ")
    if scheme.lower() == TOKEN_SCHEME and credential.strip():
        return Caller(session_token=credential.strip())
    raise Refusal(HTTPStatus.UNAUTHORIZED, "this registry does not accept this credential; sign out or go anonymous")


def session_token(secret: bytes, session_id: str) -> str:
    """The token of an anonymous registration session: the same each time it is asked for."""
    return hmac.new(secret, f"registration-session\0{session_id}".encode(), hashlib.sha256).hexdigest()


def check_session_token(secret: bytes, session_id: str, caller: Caller) -> None:
    """Raises `Refusal` unless the caller holds the token of this session: 401 without one, 403 with another's."""
    if caller.session_token is None:
        raise Refusal(HTTPStatus.UNAUTHORIZED, "this registration session needs its RegistrationSession token")
    expected = session_token(secret, session_id)
    if not hmac.compare_digest(expected.encode(), caller.session_token.encode()):
        raise Refusal(HTTPStatus.FORBIDDEN, "this token belongs to another registration session")


def require_user(caller: Caller) -> str:
    """The identity of a signed-in caller.  Raises `Refusal` (401) for anybody else."""
    if caller.owner == ANONYMOUS_OWNER:
        raise Refusal(HTTPStatus.UNAUTHORIZED, "sign in first: this needs a credential that the registry knows")
    return caller.owner
