"""The state and helpers that all endpoints share: store, clock, limits, caller identification, and worker."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar

from msgspec import Struct, field
from pydantic import BaseModel
from starlette.requests import Request

from roar_publisher.glaas.features import RegistrationSessionFeatures
from roar_publisher.registry.accounts.authority import CallRunner
from roar_publisher.registry.accounts.browser_sessions import session_user
from roar_publisher.registry.accounts.callers import (
    ANONYMOUS_CALLER,
    Caller,
    CallerIdentifier,
    Credential,
    SignableRequest,
)
from roar_publisher.registry.accounts.context import AccessContext
from roar_publisher.registry.accounts.limits import BodyRates, ClientLimits, take_bytes
from roar_publisher.registry.accounts.quotas import Amount, AnonymousWrite, metered
from roar_publisher.registry.accounts.scope import reader_of, resolve
from roar_publisher.registry.api.bodies import read_body, read_raw
from roar_publisher.registry.api.bulk import BulkFeatures, LargeBodies
from roar_publisher.registry.api.forms import cookie_of
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.addresses import client_of, plain_address
from roar_publisher.registry.http.base_path import without_base
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.indexing import Changes
from roar_publisher.registry.store.access import UNSCOPED, LineageScope, Reader
from roar_publisher.registry.store.database import Operation

P = ParamSpec("P")
T = TypeVar("T")
Body = TypeVar("Body", bound=BaseModel | Struct)


class RegistryService(Struct, frozen=True):
    """The registry behind its endpoints.

    `features` are the features that are advertised and honoured; None disables registration sessions. `clock` returns
    Unix seconds. `body_limit`, in bytes, is the usual limit of a body; `bulk` says what batches may exceed. `quota` is
    the amount that one client may write without a credential. `rates` is what this process has taken of what its
    clients may send.
    """

    store: Store
    caller_identifier: CallerIdentifier
    features: RegistrationSessionFeatures | None
    clock: Callable[[], float]
    body_limit: int
    bulk: BulkFeatures
    quota: Amount
    limits: ClientLimits
    rates: BodyRates
    run: CallRunner
    large_bodies: LargeBodies = field(default_factory=LargeBodies)
    changes: Changes = field(default_factory=Changes)

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `operation` in a write transaction, and let the index look for changes.

        Cancelling the caller does not undo it; ask again to learn the outcome.
        """
        result = await self.write_unseen(operation, *args, **kwargs)
        self.changes.notify()
        return result

    async def write_alongside(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `write`, beside others of its kind (`StoreDatabase.write_alongside`). The index looks at no sessions."""
        return await self.run(partial(self.store.write_alongside, operation, *args, **kwargs))

    async def write_durably(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `write`. A loss of power afterwards does not undo it, nor anything that was written before."""
        result = await self.run(partial(self.store.write_durably, operation, *args, **kwargs))
        self.changes.notify()
        return result

    async def write_unseen(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `write`, for tasks in the background, whose writes the index does not need to look at."""
        return await self.run(partial(self.store.write, operation, *args, **kwargs))

    async def write_from(
        self, request: Request, caller: Caller, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Like `write`, for a request whose body has been read.

        Writes without a user count against the quota (`quotas`).

        Raises `Refusal` (429, 403) if the quota is exceeded.
        """
        if caller.user is not None:
            return await self.write(operation, *args, **kwargs)
        write = AnonymousWrite(self.quota, client_of_request(request), request.state.body_size, self.clock())
        return await self.write(lambda connection: metered(connection, write, operation, *args, **kwargs))

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `operation`, which must only read, in a transaction."""
        return await self.run(partial(self.store.read, operation, *args, **kwargs))

    async def body(self, request: Request, model: type[Body], *, limit: int | None = None) -> Body:
        """Return the request's body as `model`. `limit` is in bytes; the default is `body_limit`.

        Raises `Refusal` as `bodies.read_body`, and 429 if the client sends too much in a minute.
        """
        await self.raw_body(request, limit)
        return await read_body(request, model, limit or self.body_limit, self.bulk.encodings)

    async def raw_body(self, request: Request, limit: int | None = None) -> bytes:
        """Return the body as it was sent, which counts once as bytes of its client. Raises `Refusal` as `body`."""
        sent = await read_raw(request, limit or self.body_limit)
        if not hasattr(request.state, "counted"):
            await self.rates.spend(client_of_request(request), len(sent), self._take_bytes)
            request.state.counted = True
        return sent

    async def _take_bytes(self, client: str, size: float) -> None:
        await self.write_unseen(take_bytes, client, size, self.limits.minute_bytes, self.clock())

    def batch_limit(self, request: Request) -> AbstractContextManager[int]:
        """Give the limit of a batch's body, in bytes, for as long as the body is held."""
        return self.large_bodies.limit(request, max(self.bulk.limit or 0, self.body_limit), self.body_limit)

    async def caller(self, request: Request, *, limit: int | None = None) -> Caller:
        """Identify the sender of the request. Call this once per request, with the limit of its body.

        Raises `Refusal` as `CallerIdentifier.identify`.
        """
        reached_at = plain_address((request.scope.get("server") or ("",))[0])
        signable = SignableRequest(
            request.method, _signed_path(request), lambda: self.raw_body(request, limit), reached_at
        )
        return await self.caller_identifier.identify(request.headers.get("authorization"), signable)

    async def visitor(self, request: Request) -> Caller:
        """Identify the reader of a page, also by a browser's cookie. `reader` says what this caller may read.

        `Caller.user` is who signed in. Raises `Refusal` as `caller`.
        """
        cookie = cookie_of(request)
        if "authorization" in request.headers or cookie is None:
            return await self.caller(request)
        user = await self.run(partial(self.store.accounts.read, session_user, cookie, self.clock()))
        return ANONYMOUS_CALLER if user is None else Caller(Credential.COOKIE, user)

    async def write_accounts(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `write`, for the accounts."""
        return await self.run(partial(self.store.accounts.write, operation, *args, **kwargs))

    async def context(self, caller: Caller) -> AccessContext | None:
        """Return the access context of a signed-in caller: the live one for a bearer, the cached one for an SSH key.

        Raises `Refusal`: 401 if the bearer is no longer valid, 503 if its validity is unknown.
        """
        if caller.credential is Credential.BEARER:
            context = await self.caller_identifier.authority.context_of_bearer(caller.token)
            if context is None:
                raise Refusal(HTTPStatus.UNAUTHORIZED, "the bearer token is no longer valid: sign in again")
            return context
        return None if caller.user is None else await self.caller_identifier.authority.known_context(caller.user)

    async def reader(self, caller: Caller) -> Reader:
        """Return the caller with everything that it may read."""
        if caller.user is None:
            return Reader()
        return reader_of(caller.user, await self.caller_identifier.authority.known_context(caller.user))

    async def scope(self, caller: Caller, scope_request: dict[str, Any] | None) -> LineageScope:
        """Return the scope that a caller requests. Raises `Refusal` as `scope.resolve` and `context`."""
        if scope_request is None:
            return UNSCOPED
        assert caller.user is not None
        return resolve(scope_request, caller.user, await self.context(caller))


def lineage_url(request: Request, lineage_hash: str) -> str:
    """Return the address of a lineage's page, under the host that this client used."""
    return str(request.url_for("page", hash=lineage_hash))


def client_of_request(request: Request) -> str:
    """Return the key that identifies the request's client: its address."""
    return client_of(request.client.host if request.client else "")


def path_text(request: Request, name: str) -> str:
    """Return a parameter of the request's path."""
    value: Any = request.path_params[name]
    return str(value)


def number_in_query(request: Request, name: str, *, default: int, maximum: int) -> int:
    """Return a whole number from the query, 0 to `maximum`. Raises `Refusal` (422) for any other value."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) <= len(str(maximum)) and int(text) <= maximum:
        return int(text)
    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} is a number from 0 to {maximum}")


def _signed_path(request: Request) -> str:
    """Return the path and query as sent, without the base path, which clients do not sign."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    path = without_base(request.scope.get("root_path", ""), raw.decode("ascii", errors="replace"))
    query = request.scope["query_string"].decode("ascii", errors="replace")
    return f"{path}?{query}" if query else path
