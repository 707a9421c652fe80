"""One publish against a registry in the same process, with a say in what the registry answers."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import httpx2

from roar_publisher.auth.choice import Choice
from roar_publisher.auth.keyring import Keyring
from roar_publisher.engine.run import Frontend, Resources
from roar_publisher.engine.worker import work
from roar_publisher.glaas.features import RegistrationSessionFeatures
from roar_publisher.registry.accounts.callers import session_token
from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.api.bulk import BulkFeatures
from roar_publisher.registry.data import Store
from roar_publisher.registry.store.database import Connection
from roar_publisher.report import Report
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.queue import Queued
from roar_publisher.state.record import Progress
from tests.support.faults.items import inflated, items_of_request
from tests.support.faults.simulation import COUNTS
from tests.support.lineages import REGISTRY, Lineage, frozen
from tests.support.registry.features import SINGLE_LINKS, SMALL_REQUESTS
from tests.support.send_policies import policy_for

T = TypeVar("T")
Intercept = Callable[["Sent"], httpx2.Response | None]
Rewrite = Callable[["Sent", dict[str, Any]], httpx2.Response]


class NoJitter(random.Random):
    """Every wait with full jitter takes no time at all: these tests do not wait."""

    def uniform(self, a: float, b: float) -> float:
        return a


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as the registry sees it, and its number among those with the same last word of the path, from 1."""

    method: str
    path: str
    body: bytes
    authorization: str | None
    number: int

    @property
    def call(self) -> str:
        """The last word of the path: `batch`, `inputs`, `finalize`, …; `jobs/batch` and the like for batches."""
        *_, before, last = self.path.split("/")
        return f"{before}/{last}" if last in ("batch", "sync", "composites") else last

    @property
    def document(self) -> Any:
        return json.loads(inflated(self.body))


class Publishing(httpx2.AsyncBaseTransport):
    """A registry, a state folder with one publish in it, and everything that was sent between the two.

    intercept: answers a request instead of the registry where it returns a response.  rewrite: puts a success of the
    registry into another form.
    """

    def __init__(
        self,
        folder: StateFolder,
        lineage: Lineage | None,
        *,
        features: RegistrationSessionFeatures | None = SINGLE_LINKS,
        bulk: BulkFeatures = SMALL_REQUESTS,
        registry: str = REGISTRY,
    ) -> None:
        self.folder = folder
        self.lineage = lineage
        self.store = Store.in_memory(b"s" * 32)
        self._registry = httpx2.ASGITransport(create_app(self.store, features=features, bulk=bulk, run=_at_once))
        self.sent: list[Sent] = []
        self.reports: list[Report] = []
        self.intercept: Intercept = lambda sent: None
        self.rewrite: Rewrite | None = None
        self.stop = anyio.Event()
        self._address = registry
        if lineage is not None:
            self.begin(lineage)

    def begin(self, lineage: Lineage, **plan: str) -> None:
        """Freeze a publish of `lineage`; it is the one that `run` works on from now on."""
        with frozen(self.folder, lineage, **{"registry": self._address, **plan}) as publish:
            self.paths = publish.paths

    async def run(self, *, confirmed: bool = True, patience: float = 300.0, attended: bool = False) -> Progress:
        """Own the publish and work on it until it ends or cannot go on.  attended: a person runs it."""

        async def confirm(choice: Choice) -> bool:
            return confirmed

        with OwnedPublish.open(self.paths) as owned:
            return await work(
                owned,
                self.folder,
                Frontend(report=self.reports.append, confirm=confirm, attended=attended),
                stop=self.stop,
                keyring=Keyring(
                    {}, self.folder.root, policy_for(self._address, home=self.folder.root), clock=lambda: 0.0
                ),
                resources=Resources(patience=patience, rng=NoJitter(), transport=self),
            )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        call = request.url.path.rsplit("/", 1)[-1]
        number = 1 + sum(sent.path.endswith(f"/{call}") for sent in self.sent)
        sent = Sent(request.method, request.url.path, body, request.headers.get("authorization"), number)
        self.sent.append(sent)
        if (own := self.intercept(sent)) is not None:
            return own
        response = await self._registry.handle_async_request(request)
        if self.rewrite is None or not response.is_success:
            return response
        return self.rewrite(sent, json.loads(await response.aread()))

    # ------------------------------------------------------------ what a test asks about

    def events(self) -> list[str]:
        """The history of the publish, as events."""
        with OwnedPublish.open(self.paths) as owned:
            return [checkpoint.event for checkpoint in owned.journal.history()]

    def progress(self) -> Progress:
        with OwnedPublish.open(self.paths) as owned:
            return owned.journal.progress()

    def queued(self) -> Queued:
        with OwnedPublish.open(self.paths) as owned:
            return owned.journal.queue.read()

    def checkpoint(self, event: Event) -> None:
        """What a command of a person does to the publish."""
        with OwnedPublish.open(self.paths) as owned:
            owned.journal.checkpoint(event)

    def calls(self, call: str) -> list[Sent]:
        """The requests of one kind."""
        return [sent for sent in self.sent if sent.call == call]

    def items(self, requests: list[Sent] | None = None) -> list[tuple[str, ...]]:
        """Every item of the requests, as often as it was sent."""
        return [item for sent in requests or self.sent for item in items_of_request(sent.path, sent.body)]

    def do(self, statement: str) -> None:
        """Change the registry's tables behind everybody's back."""

        def change(connection: Connection) -> None:
            connection.execute(statement)

        self.store.write(change)

    def published(self) -> tuple[Any, ...]:
        """What the registry has published: lineages, hash, jobs, artifacts, inputs, outputs, composites, labels."""
        return self.store.read(lambda connection: tuple(connection.execute(COUNTS).fetchone()))

    def expected(self) -> tuple[Any, ...]:
        """What it should have."""
        want = self.lineage
        assert want is not None
        links = (want.inputs, want.outputs)
        return (1, want.hash, len(want.jobs), len(want.digests), *links, want.composites, want.labels)

    def tokens(self) -> list[bytes]:
        """The tokens of every session that the registry knows."""
        ids = self.store.read(lambda connection: [row[0] for row in connection.execute("SELECT id FROM sessions")])
        return [session_token(self.store.secret, session).encode() for session in ids]

    def files_with_a_token(self) -> set[str]:
        """The names of the files in the state folder that hold a session's token."""
        files = [path for path in self.folder.root.rglob("*") if path.is_file()]
        return {path.name for path in files if any(token in path.read_bytes() for token in self.tokens())}


async def _at_once(call: Callable[[], T], /) -> T:
    return call()


def answer(status: int, **document: object) -> httpx2.Response:
    """A JSON reply."""
    return httpx2.Response(status, json=document)


def instead(call: str, response: Callable[[], httpx2.Response], *, number: int | None = None) -> Intercept:
    """Answer every request of one kind (or only the `number`-th) with a response of the test's own."""

    def intercept(sent: Sent) -> httpx2.Response | None:
        return response() if sent.call == call and number in (None, sent.number) else None

    return intercept


def nth(call: str, number: int, response: Callable[[], httpx2.Response]) -> Intercept:
    """Answer one request of a kind, counted from 1."""
    left = number

    def intercept(sent: Sent) -> httpx2.Response | None:
        nonlocal left
        left -= sent.call == call
        return response() if sent.call == call and left == 0 else None

    return intercept


def before(call: str, act: Callable[[], object], *, times: int = 1) -> Intercept:
    """Do something right before the registry gets a request of one kind, the first `times` it comes."""
    left = times

    def intercept(sent: Sent) -> None:
        nonlocal left
        if sent.call == call and left:
            left -= 1
            act()

    return intercept
