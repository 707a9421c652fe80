"""The network of a daemon's machine: registries that it reaches, and what it does to their requests."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import httpx2
import trio

from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.data import Store
from roar_publisher.registry.store.database import Connection
from tests.support.faults.simulation import _at_once
from tests.support.registry.features import BULK, PLAIN
from tests.support.sampling import chosen

FEATURES = chosen("features of the registries of daemon worlds", [PLAIN, BULK])
"""What the registries of this run can do."""


class NetworkState(Enum):
    """What may be wrong with a registry for a while."""

    AWAY = "nothing can be reached, and that is said at once"
    SILENT = "nothing arrives, and no error is reported"
    THROTTLING = "429, with Retry-After"
    BUSY = "503, with Retry-After"
    FAILING = "500"
    FORGETFUL = "what was staged is lost before it is finalized"
    STRANGE = "a page of another server"
    REFUSING = "422: the final no"


@dataclass(frozen=True)
class Outage:
    """A sky, from one virtual second to another.  retry_after: what a throttling registry asks for."""

    network_state: NetworkState
    start: float
    end: float
    retry_after: float = 3600.0


@dataclass(frozen=True)
class Asked:
    """A request that was sent, and when (virtual seconds)."""

    at: float
    site: str
    method: str
    path: str


class Site:
    """A registry on the network.  seconds: how long each of its replies takes."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self.name = name
        self.url = f"http://{name}"
        self.store = Store.in_memory(b"s" * 32)
        self.seconds = 0.2
        self.outages: list[Outage] = []
        self.app = httpx2.ASGITransport(
            create_app(self.store, features=FEATURES[0], bulk=FEATURES[1], clock=clock, run=_at_once)
        )

    def outage(self) -> Outage | None:
        """What is wrong now."""
        now = trio.current_time()
        return next((outage for outage in self.outages if outage.start <= now < outage.end), None)

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        """What the registry's tables say."""

        def look(connection: Connection) -> list[tuple[object, ...]]:
            return [tuple(row) for row in connection.execute(statement)]

        return self.store.read(look)


def wrong_answer(outage: Outage, path: str) -> httpx2.Response | None:
    """The bad answer, None where the registry is asked itself."""
    asked = {"Retry-After": f"{outage.retry_after:.0f}"}
    match outage.network_state:
        case NetworkState.THROTTLING:
            return httpx2.Response(429, headers=asked, json={"detail": "slow down"})
        case NetworkState.BUSY:
            return httpx2.Response(503, headers=asked)
        case NetworkState.FAILING:
            return httpx2.Response(500, json={"detail": "out of order"})
        case NetworkState.REFUSING:
            return httpx2.Response(422, json={"detail": "no such field"})
        case NetworkState.STRANGE:
            return httpx2.Response(200, content=b"<html>Sign in to this network</html>")
        case NetworkState.FORGETFUL:
            if path.endswith("/finalize"):
                return httpx2.Response(410, json={"detail": "this session is gone"})
    return None
