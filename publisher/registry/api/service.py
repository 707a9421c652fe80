"""What every endpoint needs: the store, the clock, the limits, the caller, and the way to the store's one worker."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from roar_publisher.glaas.features import RegistrationSessionFeatures
from roar_publisher.registry.accounts.authority import Run
from roar_publisher.registry.accounts.callers import Asked, Caller, Credential, Gatekeeper
from roar_publisher.registry.accounts.context import AccessContext
from roar_publisher.registry.accounts.scope import UNSCOPED, Reader, Scope, resolve
from roar_publisher.registry.api.bodies import read_body, read_raw
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.addresses import client_of, plain_address
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.database import Operation
from roar_publisher.registry.store.quotas import Amount, Meter, metered

P = ParamSpec("P")
T = TypeVar("T")
Body = TypeVar("Body", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Service:
    """The registry behind its endpoints.

    features: what is advertised and honoured; None: no registration sessions at all.  clock: Unix seconds.
    body_limit: bytes.  quota: what one client may write without a credential.
    """

    store: Store
    gatekeeper: Gatekeeper
    features: RegistrationSessionFeatures | None
    clock: Callable[[], float]
    body_limit: int
    quota: Amount
    run: Run

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One transaction.  A cancelled caller does not undo it: whether it happened is known by asking again."""
        return await self.run(partial(self.store.write, operation, *args, **kwargs))

    async def write_from(
        self, request: Request, caller: Caller, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `write`, for a body that has been read; what nobody signed for counts (`quotas`).

        Raises `Refusal` (429, 403) where it is too much.
        """
        if caller.user is not None:
            return await self.write(operation, *args, **kwargs)
        meter = Meter(self.quota, client_of_request(request), len(request.state.raw_body), self.clock())
        return await self.write(lambda connection: metered(connection, meter, operation, *args, **kwargs))

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One look at the tables."""
        return await self.run(partial(self.store.read, operation, *args, **kwargs))

    async def body(self, request: Request, model: type[Body]) -> Body:
        """The request's body; raises `Refusal` as `bodies.read_body`."""
        return await read_body(request, model, self.body_limit)

    async def caller(self, request: Request) -> Caller:
        """Who sent the request; raises `Refusal` as `auth.Gatekeeper.identify`.  To be asked once a request."""
        reached_at = plain_address((request.scope.get("server") or ("",))[0])
        asked = Asked(request.method, _signed_path(request), lambda: read_raw(request, self.body_limit), reached_at)
        return await self.gatekeeper.identify(request.headers.get("authorization"), asked)

    async def context(self, caller: Caller) -> AccessContext | None:
        """Where a signed-in caller belongs: asked for now with a bearer, as it is known with an SSH key.

        Raises `Refusal` (401) where the bearer has died meanwhile, 503 where nobody can tell.
        """
        if caller.credential is Credential.BEARER:
            context = await self.gatekeeper.authority.context_of_bearer(caller.token)
            if context is None:
                raise Refusal(HTTPStatus.UNAUTHORIZED, "the bearer token is not valid any more: sign in again")
            return context
        return None if caller.user is None else await self.gatekeeper.authority.known_context(caller.user)

    async def reader(self, caller: Caller) -> Reader:
        """A caller with all that this caller may read."""
        if caller.user is None:
            return Reader()
        return Reader.of(caller.user, await self.gatekeeper.authority.known_context(caller.user))

    async def scope(self, caller: Caller, scope_request: dict[str, Any] | None) -> Scope:
        """Where a caller wants to publish.  Raises `Refusal` as `scope.resolve`, and as `context`."""
        if scope_request is None:
            return UNSCOPED
        assert caller.user is not None
        return resolve(scope_request, caller.user, await self.context(caller))


def lineage_url(request: Request, lineage_hash: str) -> str:
    """Where people read a lineage, under the address that this client used."""
    return str(request.url_for("page", hash=lineage_hash))


def client_of_request(request: Request) -> str:
    """The client that sent a request, by its address."""
    return client_of(request.client.host if request.client else "")


def path_text(request: Request, name: str) -> str:
    """A part of the request's path."""
    value: Any = request.path_params[name]
    return str(value)


def _signed_path(request: Request) -> str:
    """The path as it was sent, below the address of this registry: clients do not sign what stands before."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.decode("ascii", errors="replace").removeprefix(request.scope.get("root_path", ""))
    query = request.scope["query_string"].decode("ascii", errors="replace")
    return f"{path}?{query}" if query else path
