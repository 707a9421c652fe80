"""A TReqs service as the authority. It validates each bearer, and its access contexts are cached on the local users.

A positive answer is trusted for `TRUST_SECONDS`, and a rejection of an unknown bearer for `REFUSED_SECONDS`, so a
publish of a thousand requests does not cause a thousand more. A finalize with a scope always asks again. Concurrent
requests with the same bearer cause one request.

The service and the registry identify a user by `sub`. A user that a command added has none at the service. The first
sign-in links that user if an administrator has named the `sub` (`roar registry user link`), or if the service says that
the email address is verified. Equal names never link users, because anybody can choose a name.

Cached contexts serve requests that are signed with an SSH key. A context that the service has not confirmed for
`DEFAULT_CONTEXT_AGE` is not used any more, so the key of a user who has left a project ends.

A slow or dead service delays only the requests that need it. The number of concurrent requests to it and their duration
are bounded (`treqs_client`), and bearers that it has accepted before do not queue behind unknown ones.
"""

from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar

import anyio
from msgspec import Struct, field
from pydantic import ValidationError

from roar_publisher.glaas.protocol import ACCESS_CONTEXT
from roar_publisher.registry.accounts.authority import CallRunner
from roar_publisher.registry.accounts.context import AccessContext
from roar_publisher.registry.accounts.device_flow import DEVICE_GRANT, DeviceClient, poll_error, poll_refusal
from roar_publisher.registry.accounts.grants import TokenHolder
from roar_publisher.registry.accounts.stored_secrets import stored_hash
from roar_publisher.registry.accounts.treqs_client import RequestKind, Timeouts, TreqsClient, service_unavailable
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.errors import AlreadyExists
from roar_publisher.registry.store.users import (
    Accounts,
    User,
    add_user,
    cache_context,
    cached_context,
    date_contexts,
    link_user,
    new_id,
    unlinked_user_with_email,
    user_with_subject,
)

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

REFRESH = "/api/v1/auth/refresh"
LOGOUT = "/api/v1/auth/logout"
DEVICE_START = "/api/v1/auth/device/start"
DEVICE_TOKEN = "/api/v1/auth/device/token"
TRUST_SECONDS = 10.0
REFUSED_SECONDS = 5.0
DEFAULT_CONTEXT_AGE = 30 * 86400.0
"""Seconds since its last confirmation for which a cached context is used."""
CONFIRM_SECONDS = 60.0
"""Seconds after which a confirmation is stored again."""
MAX_REMEMBERED = 1000
"""Maximum number of remembered accepted bearers, and of rejected ones. The least recently used are forgotten."""


class _PendingCheck(Struct, eq=False):
    """A request about one bearer that several callers wait for. The first caller sends it.

    `error` is the error, if it failed. `abandoned` means that the first caller was cancelled, so another has to ask.
    """

    user: User | None = None
    error: Exception | None = None
    abandoned: bool = True
    done: anyio.Event = field(default_factory=anyio.Event)


class TreqsService:
    """The TReqs service at `url`, below which the endpoints of protocol.md §4 are.

    `clock` returns Unix seconds. `transport` replaces the network in tests. `context_age` is the maximum age of a
    cached context in seconds. Raises `StoreError`.
    """

    def __init__(
        self,
        url: str,
        accounts: Accounts,
        run: CallRunner,
        clock: Callable[[], float],
        transport: "httpx2.AsyncBaseTransport | None" = None,
        timeouts: Timeouts = Timeouts(),  # noqa: B008
        context_age: float = DEFAULT_CONTEXT_AGE,
    ) -> None:
        accounts.write(date_contexts, clock())
        self._context_age = context_age
        self._accounts = accounts
        self._run = run
        self._clock = clock
        self._client = TreqsClient(url, timeouts, transport)
        self._trusted: OrderedDict[bytes, tuple[float, User]] = OrderedDict()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._pending: dict[bytes, _PendingCheck] = {}

    async def user_of(self, access_token: str) -> User | None:
        """See `Authority`."""
        digest = stored_hash(access_token)
        while True:
            if self._is_ahead(self._refused.get(digest, 0.0)):
                return None
            until, user = self._trusted.get(digest, (0.0, None))
            if user is not None and self._is_ahead(until):
                return user
            pending = self._pending.get(digest)
            if pending is None:
                pending = self._pending[digest] = _PendingCheck()
                await self._check_once(pending, digest, access_token)
            else:
                await pending.done.wait()
            if pending.error is not None:
                raise pending.error
            if not pending.abandoned:
                return pending.user

    async def holder_of(self, access_token: str) -> TokenHolder | None:
        """See `Authority`. The service has the sign-in."""
        user = await self.user_of(access_token)
        return None if user is None else TokenHolder(user, None)

    async def context_of_bearer(self, access_token: str) -> AccessContext | None:
        """See `Authority`."""
        answer = await self._ask(access_token)
        return None if answer is None else answer[1]

    async def known_context(self, user: User) -> AccessContext | None:
        """See `Authority`. Returns the last context for any bearer of this user, unless it is too old."""
        since = self._clock() - self._context_age
        text = await self._run(lambda: self._accounts.read(cached_context, user.id, since=since))
        return None if text is None else AccessContext.model_validate_json(text)

    async def refresh(self, refresh_token: str, client_id: str) -> dict[str, object]:
        """See `Authority`. Passes on the service's answer."""
        body = {"refresh_token": refresh_token, "client_id": client_id}
        answer = await self._client.ask(RequestKind.TOKENS, "POST", REFRESH, body=body)
        if answer is None:
            raise Refusal(HTTPStatus.UNAUTHORIZED, "the identity service does not renew this sign-in: sign in again")
        return answer

    async def begin_device(self, client: DeviceClient, page: str) -> dict[str, object]:
        """See `Authority`. Passes on the service's answer, which names a page of its own."""
        body = {"client_id": client.id, "client_name": client.name}
        answer = await self._client.ask(RequestKind.TOKENS, "POST", DEVICE_START, body=body)
        if answer is None:
            raise Refusal(HTTPStatus.BAD_REQUEST, "the identity service does not sign in this program")
        return answer

    async def poll_device(self, device_code: str, client_id: str, issuer: str) -> dict[str, object]:
        """See `Authority`. Passes on the service's answer. A reason that RFC 8628 does not know is a refusal."""
        body = {"grant_type": DEVICE_GRANT, "device_code": device_code, "client_id": client_id}
        answer = await self._client.ask_with_reason(RequestKind.TOKENS, "POST", DEVICE_TOKEN, body=body)
        if isinstance(answer, str):
            raise poll_refusal(poll_error(answer))
        return answer

    async def revoke(self, access_token: str) -> bool:
        """See `Authority`. Asks the service to revoke the token, and forgets its earlier answers."""
        digest = stored_hash(access_token)
        self._trusted.pop(digest, None)
        ended = await self._client.ask(RequestKind.TOKENS, "POST", LOGOUT, headers=_bearer(access_token)) is not None
        if ended:
            self._refuse(digest, TRUST_SECONDS)  # a concurrent request may have been answered before the revocation
        return ended

    async def close(self) -> None:
        """See `Authority`."""
        await self._client.close()

    async def _check_once(self, pending: _PendingCheck, digest: bytes, access_token: str) -> None:
        try:
            answer = await self._ask(access_token)
            pending.user = None if answer is None else answer[0]
            pending.abandoned = False
        except Exception as error:
            pending.error = error
        finally:
            del self._pending[digest]
            pending.done.set()

    async def _ask(self, access_token: str) -> tuple[User, AccessContext] | None:
        digest = stored_hash(access_token)
        kind = RequestKind.KNOWN if digest in self._trusted else RequestKind.UNKNOWN
        answer = await self._client.ask(kind, "GET", ACCESS_CONTEXT, headers=_bearer(access_token))
        if answer is None:
            if known := self._trusted.get(digest):  # a withdrawn bearer may become valid again
                self._trusted[digest] = (0.0, known[1])
            else:
                self._refuse(digest, REFUSED_SECONDS)
            return None
        try:
            context = AccessContext.model_validate(answer)
        except ValidationError:
            raise service_unavailable("sent an access context that is not valid") from None
        now = self._clock()
        user = await self._run(lambda: self._accounts.write(link, context, now))
        _remember(self._trusted, digest, (self._clock() + TRUST_SECONDS, user))
        return user, context

    def _is_ahead(self, until: float) -> bool:
        """Return whether an answer is still good. If the clock was set back meanwhile, it is not."""
        return 0.0 < until - self._clock() <= TRUST_SECONDS

    def _refuse(self, digest: bytes, seconds: float) -> None:
        _remember(self._refused, digest, self._clock() + seconds)


def _remember(memory: OrderedDict[bytes, T], digest: bytes, value: T) -> None:
    memory[digest] = value
    memory.move_to_end(digest)
    if len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)


def link(connection: Connection, context: AccessContext, now: float) -> User:
    """Return the local user of an access context, linked or created at the first sign-in. The context is cached."""
    text = context.model_dump_json()
    known = user_with_subject(connection, context.user.sub)
    if known is not None and known.context == text and now - (known.at or 0.0) < CONFIRM_SECONDS:
        return known.user
    user = _first_sign_in(connection, context) if known is None else known.user
    cache_context(connection, user.id, text, context.user.email, now)
    return user


def _first_sign_in(connection: Connection, context: AccessContext) -> User:
    name, sub, email = context.user.username or context.user.sub, context.user.sub, context.user.email
    verified = context.user.verified_email
    by_hand = None if verified is None else unlinked_user_with_email(connection, verified)
    if by_hand is not None:
        return link_user(connection, by_hand.name, sub)
    try:
        return add_user(connection, name, sub=sub, email=email)
    except AlreadyExists:
        return add_user(connection, f"{name}-{new_id()}", sub=sub, email=email)


def _bearer(access_token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {access_token}"}
