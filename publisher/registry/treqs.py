"""A TReqs service as the authority: it is asked about each bearer, and what it says is kept on the local user.

An answer is trusted for `TRUST_SECONDS`, so that a publish of a thousand requests is not two thousand; a finalize with
a scope always asks anew.  The service and the registry know a person by `sub`; a name or an address links nobody.
"""

import hashlib
import logging
import sqlite3
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from pydantic import ValidationError

from roar_publisher.registry.accounts import Accounts, Taken, User, add_user, new_id, user_of
from roar_publisher.registry.authority import Run
from roar_publisher.registry.context import AccessContext
from roar_publisher.registry.refusals import Refusal

if TYPE_CHECKING:
    import httpx2

ACCESS_CONTEXT = "/api/v1/auth/access-context"
REFRESH = "/api/v1/auth/refresh"
LOGOUT = "/api/v1/auth/logout"
TRUST_SECONDS = 10.0
CONNECT_SECONDS = 3.0
REPLY_SECONDS = 10.0
MOST_TRUSTED = 1000
"""Tokens whose answer is remembered at once; past it all are asked about again."""

logger = logging.getLogger(__name__)


class TreqsService:
    """Asks `url`, below which the endpoints of protocol.md §4 are.

    clock: Unix seconds.  transport: instead of the network, for tests.
    """

    def __init__(
        self,
        url: str,
        accounts: Accounts,
        run: Run,
        clock: Callable[[], float],
        transport: "httpx2.AsyncBaseTransport | None" = None,
    ) -> None:
        import httpx2

        self._accounts = accounts
        self._run = run
        self._clock = clock
        self._trusted: dict[bytes, tuple[float, User]] = {}
        self._client = httpx2.AsyncClient(
            base_url=url.rstrip("/"),
            transport=transport,
            # Plain http:// is for this machine; a proxy of the environment would carry the bearers off.
            trust_env=url.startswith("https:"),
            timeout=httpx2.Timeout(REPLY_SECONDS, connect=CONNECT_SECONDS),
            follow_redirects=False,
        )

    async def user_of(self, access_token: str) -> User | None:
        """As `Authority`."""
        until, user = self._trusted.get(_digest(access_token), (0.0, None))
        if user is not None and self._clock() < until:
            return user
        answer = await self._ask(access_token)
        return None if answer is None else answer[0]

    async def context_of_bearer(self, access_token: str) -> AccessContext | None:
        """As `Authority`."""
        answer = await self._ask(access_token)
        return None if answer is None else answer[1]

    async def known_context(self, user: User) -> AccessContext | None:
        """As `Authority`: what the service said last to any bearer of this user."""
        text = await self._run(lambda: self._accounts.read(_cached, user.id))
        return None if text is None else AccessContext.model_validate_json(text)

    async def refresh(self, refresh_token: str, client_id: str) -> dict[str, object]:
        """As `Authority`: the service answers, the registry passes it on."""
        body = {"refresh_token": refresh_token, "client_id": client_id}
        answer = await self._send("POST", REFRESH, json=body)
        if answer is None:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "the identity service does not renew this sign-in: sign in again")
        return answer

    async def revoke(self, access_token: str) -> bool:
        """As `Authority`: the service is told, and the registry forgets what it said."""
        self._trusted.pop(_digest(access_token), None)
        return await self._send("POST", LOGOUT, headers=_bearer(access_token)) is not None

    async def close(self) -> None:
        """As `Authority`."""
        await self._client.aclose()

    async def _ask(self, access_token: str) -> tuple[User, AccessContext] | None:
        digest = _digest(access_token)
        self._trusted.pop(digest, None)
        answer = await self._send("GET", ACCESS_CONTEXT, headers=_bearer(access_token))
        if answer is None:
            return None
        try:
            context = AccessContext.model_validate(answer)
        except ValidationError:
            raise _unusable("says who you are in a way that is not understood") from None
        user = await self._run(lambda: self._accounts.write(link, context))
        if len(self._trusted) >= MOST_TRUSTED:
            self._trusted.clear()
        self._trusted[digest] = (self._clock() + TRUST_SECONDS, user)
        return user, context

    async def _send(
        self, method: str, path: str, *, headers: dict[str, str] | None = None, json: object = None
    ) -> dict[str, object] | None:
        """The object that the service answers, without its envelope; None where it refuses what it was sent.

        Raises `Refusal` (503) for everything else.
        """
        import httpx2

        try:
            response = await self._client.request(method, path, headers=headers, json=json)
            document = response.json() if response.is_success and response.content else None
        except (httpx2.HTTPError, OSError) as error:
            logger.warning("the identity service does not answer: %s", type(error).__name__)
            raise _unusable("does not answer") from None
        except ValueError:
            raise _unusable("does not answer with JSON") from None
        if response.status_code in _NOS:
            return None
        if response.is_success and not response.content:
            return {}
        if not isinstance(document, dict):
            raise _unusable(f"answers with HTTP {response.status_code}")
        inner = document.get("data") if document.get("success") is True else None
        return inner if isinstance(inner, dict) else document


_NOS = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


def link(connection: sqlite3.Connection, context: AccessContext) -> User:
    """The local user of this context, made where there is none yet; the context is cached on the user."""
    sub, text = context.user.sub, context.model_dump_json()
    row = connection.execute("SELECT * FROM users WHERE sub = ?", (sub,)).fetchone()
    if row is None:
        user = _new_user(connection, context)
    else:
        user = user_of(row)
        if row["context"] == text:
            return user
    connection.execute("UPDATE users SET context = ?, email = ? WHERE id = ?", (text, context.user.email, user.id))
    return user


def _new_user(connection: sqlite3.Connection, context: AccessContext) -> User:
    name, sub, email = context.user.username or context.user.sub, context.user.sub, context.user.email
    try:
        return add_user(connection, name, sub=sub, email=email)
    except Taken:
        return add_user(connection, f"{name}-{new_id()}", sub=sub, email=email)


def _cached(connection: sqlite3.Connection, user_id: str) -> str | None:
    row = connection.execute("SELECT context FROM users WHERE id = ?", (user_id,)).fetchone()
    return None if row is None else row["context"]


def _bearer(access_token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {access_token}"}


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _unusable(what: str) -> Refusal:
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"the identity service {what}: try again later")
