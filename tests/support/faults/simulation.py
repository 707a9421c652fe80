"""One publish in a hostile world, in one process and in virtual time: from its frozen plan to its published lineage.

A `World` holds what outlives a process: the state folder on disk, the registry, the clock. `World.live` is one life
of a process: it owns the publish, works on it through some weather, and ends, dies or is stopped. Every request is
held to the promise (nothing acknowledged is sent again; readers see nothing, then everything), and `check_published`
holds the end to it: one lineage, everything once.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from unittest import mock

import anyio
import httpx2
import trio
from starlette.types import ASGIApp
from trio._core import _run as trio_scheduler
from trio.testing import MockClock

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
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.record import Progress
from tests.support.blocking import inline
from tests.support.faults.items import Item, acknowledged_items, items_of_request
from tests.support.faults.mortal import Crash, Life, MortalJournal
from tests.support.faults.weather import FaultyTransport, Weather
from tests.support.lineages import REGISTRY, Lineage, frozen
from tests.support.registry.features import SINGLE_LINKS, SMALL_REQUESTS
from tests.support.send_policies import policy_for
from tests.support.virtual import without_threads

T = TypeVar("T")
EPOCH = 1_700_000_000.0
"""Unix seconds at which every world begins."""
COUNTS = """
    SELECT (SELECT count(*) FROM lineages), (SELECT min(hash) FROM lineages),
        (SELECT count(*) FROM jobs WHERE graph_id = g.graph_id),
        (SELECT count(*) FROM artifacts WHERE graph_id = g.graph_id),
        (SELECT count(*) FROM links JOIN jobs ON jobs.id = job_id WHERE graph_id = g.graph_id AND kind = 'inputs'),
        (SELECT count(*) FROM links JOIN jobs ON jobs.id = job_id WHERE graph_id = g.graph_id AND kind = 'outputs'),
        (SELECT count(*) FROM artifacts WHERE graph_id = g.graph_id AND composite IS NOT NULL),
        (SELECT count(*) FROM labels WHERE graph_id = g.graph_id)
    FROM (SELECT min(graph_id) AS graph_id FROM lineages) AS g
"""


class Broken(AssertionError):
    """The promise does not hold."""


class World:
    """What outlives a process.

    features, bulk: what the registry can do.  body_limit: bytes past which it answers 413, unless `bulk` allows more.
    registry: its address. Only what goes to another machine is compressed.
    """

    SECRET = b"s" * 32

    def __init__(
        self,
        root: Path,
        lineage: Lineage,
        *,
        features: RegistrationSessionFeatures | None = SINGLE_LINKS,
        body_limit: int = 100_000,
        bulk: BulkFeatures = SMALL_REQUESTS,
        registry: str = REGISTRY,
    ) -> None:
        self.lineage = lineage
        self.registry = registry
        self.staged = features is not None and features.anonymous_public
        self.folder = StateFolder(root / "state")
        self.store = Store.in_memory(self.SECRET)
        self._body_limit = body_limit
        self.serve(features, bulk)
        self.reports: list[Report] = []
        self.requests: list[str] = []  # the path of every request that was sent
        self.acknowledged: set[Item] = set()  # what the journal holds as acknowledged now
        with frozen(self.folder, lineage, registry=registry) as publish:
            self.paths: PublishPaths = publish.paths

    def serve(self, features: RegistrationSessionFeatures | None, bulk: BulkFeatures) -> None:
        """From now on the registry runs a release that can do this."""
        self.app: ASGIApp = create_app(
            self.store, features=features, clock=self.now, body_limit=self._body_limit, bulk=bulk, run=_at_once
        )

    def now(self) -> float:
        """Unix seconds."""
        return EPOCH + trio.current_time()

    async def live(
        self,
        weather: Weather,
        life: Life | None = None,
        *,
        patience: float = 300.0,
        stop_after: float | None = None,
    ) -> Progress | PublisherError | Crash:
        """One process's life: how the publish stands at its end, or what ended it.

        stop_after: virtual seconds after which the user presses Ctrl-C.
        """
        life = life or Life()
        journal = MortalJournal(self.paths.journal, life, clock=self.now, watch=self._note_acknowledged)
        owned = OwnedPublish(self.paths, Lock(self.paths.lock).acquire(), journal)
        try:
            self._note_acknowledged(journal)
            return await self._work(owned, weather, life, patience, stop_after)
        except PublisherError as error:
            return error
        except BaseException as error:
            return _the_crash_in(error)
        finally:
            owned.release()

    async def _work(
        self, owned: OwnedPublish, weather: Weather, life: Life, patience: float, stop_after: float | None
    ) -> Progress:
        stop = anyio.Event()

        def before(path: str, body: bytes) -> None:
            life.moment(f"before {path}")
            self._check_request(path, body)

        def after(path: str, status: int) -> None:
            self._check_visible(path)
            life.moment(f"after {path}")

        registry = httpx2.ASGITransport(self.app)
        async with anyio.create_task_group() as tasks:

            async def press_ctrl_c(seconds: float) -> None:
                await anyio.sleep(seconds)
                stop.set()

            if stop_after is not None:
                tasks.start_soon(press_ctrl_c, stop_after)
            failure: PublisherError | None = None
            progress: Progress | None = None
            try:
                progress = await work(
                    owned,
                    self.folder,
                    Frontend(report=self.reports.append, confirm=_yes),
                    stop=stop,
                    keyring=Keyring(
                        {},
                        self.folder.root,
                        policy_for(self.registry, home=self.folder.root),
                        clock=self.now,
                        run_blocking=inline,
                    ),
                    resources=Resources(
                        patience=patience,
                        clock=self.now,
                        rng=weather.rng,
                        transport=FaultyTransport(registry, weather, now=self.now, before=before, after=after),
                        run_blocking=inline,
                    ),
                )
            except PublisherError as error:
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            raise failure
        assert progress is not None
        return progress

    def _note_acknowledged(self, journal: Journal) -> None:
        self.acknowledged = acknowledged_items(journal, self.lineage.hash)

    def _check_request(self, path: str, body: bytes) -> None:
        self.requests.append(path)
        again = items_of_request(path, body) & self.acknowledged
        if again:
            raise Broken(f"sent again although acknowledged: {sorted(again)}")

    def _check_visible(self, path: str) -> None:
        """A reader sees nothing of a staged lineage, or all of it."""
        if self.staged:
            (published,) = self.ask("SELECT count(*) FROM lineages")
            if published:
                self.check_published(labels=False)

    def ask(self, statement: str) -> tuple[object, ...]:
        """The first row of what the registry's tables say."""

        def look(connection: Connection) -> tuple[object, ...]:
            return tuple(connection.execute(statement).fetchone())

        return self.store.read(look)

    def do(self, statement: str) -> None:
        """Change the registry's tables behind everybody's back."""

        def change(connection: Connection) -> None:
            connection.execute(statement)

        self.store.write(change)

    def check_published(self, *, labels: bool = True) -> None:
        """Raise Broken unless exactly one lineage is published, with the right hash, everything once."""
        want = self.lineage
        found = self.ask(COUNTS)
        expected = (
            1,
            want.hash,
            len(want.jobs),
            len(want.digests),
            want.inputs,
            want.outputs,
            want.composites,
            want.labels if labels else found[-1],
        )
        if found != expected:
            raise Broken(f"the registry has {found}, not {expected}")

    def check_nothing_left_behind(self) -> None:
        """Raise Broken if a credential outlives the publish."""
        token_values = [self._token(str(session)) for session in self._sessions()]
        for path in self.folder.root.rglob("*"):
            if path.is_file() and any(token in path.read_bytes() for token in token_values):
                raise Broken(f"a session token is left in {path.name}")
        if self.paths.session_token.exists():
            raise Broken("the session token is still there")

    def _sessions(self) -> list[object]:
        return self.store.read(lambda connection: [row[0] for row in connection.execute("SELECT id FROM sessions")])

    def _token(self, session: str) -> bytes:
        return session_token(self.store.secret, session).encode()


@contextmanager
def deterministic_scheduling(seed: int) -> Iterator[None]:
    """trio shuffles tasks that are ready together; by this seed, always in the same way."""
    with (
        mock.patch.object(trio_scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        mock.patch.object(trio_scheduler, "_r", random.Random(seed)),
    ):
        yield


def run_virtually(scenario: Callable[[], object], seed: int) -> None:
    """Run an async scenario on virtual time: nothing waits, hours pass in milliseconds."""
    with deterministic_scheduling(seed), without_threads():
        trio.run(scenario, clock=MockClock(autojump_threshold=0))  # type: ignore[arg-type]


async def _at_once(call: Callable[[], T], /) -> T:
    return call()


async def _yes(choice: Choice) -> bool:
    return True


def _the_crash_in(error: BaseException) -> Crash:
    """The Crash that ended a life, wherever it is in a group; anything else is raised as it is."""
    crash: BaseException | None = error
    if isinstance(error, BaseExceptionGroup):
        crashes, others = error.split(Crash)
        if others is not None:
            raise others
        crash = crashes
    if crash is None or not isinstance(crash, Crash | BaseExceptionGroup):
        raise error
    return crash if isinstance(crash, Crash) else Crash(str(crash.exceptions))
