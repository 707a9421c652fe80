"""What every endpoint needs: the store, the clock, the limits, and the way to the store's one worker."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from publisher.glaas.wire import RegistrationSessionFeatures
from publisher.registry.auth import Caller, identify
from publisher.registry.bodies import read_body
from publisher.registry.store import Operation, Store

P = ParamSpec("P")
T = TypeVar("T")
Body = TypeVar("Body", bound=BaseModel)


class Run(Protocol):
    """Runs a blocking call, one at a time, and returns what it returns."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Service:
    """The registry behind its endpoints.

    features: what is advertised and honoured; None: no registration sessions at all.  clock: Unix seconds.
    body_limit: bytes.
    """

    store: Store
    features: RegistrationSessionFeatures | None
    clock: Callable[[], float]
    body_limit: int
    run: Run

    async def write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One transaction.  A cancelled caller does not undo it: whether it happened is known by asking again."""
        return await self.run(partial(self.store.write, operation, *args, **kwargs))

    async def read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One look at the tables."""
        return await self.run(partial(self.store.read, operation, *args, **kwargs))

    async def body(self, request: Request, model: type[Body]) -> Body:
        """The request's body; raises `Refusal` as `bodies.read_body`."""
        return await read_body(request, model, self.body_limit)


def caller_of(request: Request) -> Caller:
    """Who sent the request; raises `Refusal` as `auth.identify`."""
    return identify(request.headers.get("authorization"))


def lineage_url(request: Request, lineage_hash: str) -> str:
    """Where people read a lineage, under the address that this client used."""
    return str(request.url_for("page", hash=lineage_hash))


def path_text(request: Request, name: str) -> str:
    """A part of the request's path."""
    value: Any = request.path_params[name]
    return str(value)
