"""A machine on which a daemon runs, in one process and on virtual time: its disk, its clocks, its sleep, its network.

A `Machine` holds what outlives a process: the state folder, the registries on the network, the clocks. Within
`Machine.daemon` a daemon lives; it may be stopped or killed, and another one started. Every request is held to the
promise (nothing acknowledged is sent again), and `check_published` holds the end to it: every lineage once.
"""

import json
import logging
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar, Unpack
from unittest import mock

import anyio
import httpx2
import trio
from msgspec.structs import replace

from roar_publisher.auth.keyring import Keyring
from roar_publisher.blocking import RunBlocking
from roar_publisher.daemon.dependencies import Dependencies
from roar_publisher.daemon.hooks import EndedPublish
from roar_publisher.daemon.service import Daemon
from roar_publisher.daemon.settings import DaemonSettings
from roar_publisher.daemon.stamps import Stamp
from roar_publisher.daemon.verifying import Checks
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import owner
from roar_publisher.state.machine import Event, State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.record import Learned, Progress
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import read_status
from tests.support.blocking import inline
from tests.support.daemon.networks import Asked, NetworkState, Site, wrong_answer
from tests.support.faults.items import Item, acknowledged_items, items_of_request
from tests.support.faults.mortal import WatchedUnits
from tests.support.faults.simulation import EPOCH, Broken
from tests.support.lineages import Lineage, SampleJob, cut, digest, plan_of
from tests.support.send_policies import policy_for

P = ParamSpec("P")
T = TypeVar("T")
HOME_SITE = "registry.localhost"
NO_ANSWER_SECONDS = 60.0
"""After so long awake without an answer, a request is given up by the client."""
LOOK_SECONDS = 0.1


class Network(httpx2.AsyncBaseTransport):
    """Carries requests to the sites of a machine through whatever is wrong with them.

    kept: its connections are, so that none of them answers once the machine has slept.
    """

    def __init__(self, machine: "Machine", *, kept: bool) -> None:
        self._machine = machine
        self._made_before = machine.suspensions if kept else None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        machine, site = self._machine, self._machine.sites[request.url.host]
        machine.requests.append(Asked(trio.current_time(), site.name, request.method, request.url.path))
        suspensions = machine.suspensions if self._made_before is None else self._made_before
        outage = site.outage()
        if request.method == "POST":
            machine.check_request(request.url.path, await request.aread())
        await anyio.sleep(site.seconds / 2)
        if outage is not None and outage.network_state in (NetworkState.AWAY, NetworkState.SILENT):
            await self._no_answer(at_once=outage.network_state is NetworkState.AWAY)
        answer = wrong_answer(outage, request.url.path) if outage else None
        if answer is None:
            response = await site.app.handle_async_request(request)
            body = await response.aread()
            answer = httpx2.Response(response.status_code, headers=response.headers, content=body)
        await anyio.sleep(site.seconds / 2)
        if machine.suspensions != suspensions:  # the machine slept meanwhile: the connection is dead, without an error
            await self._no_answer(at_once=False)
        return answer

    async def _no_answer(self, *, at_once: bool) -> None:
        if at_once:
            raise httpx2.ConnectError("the network is away")
        await anyio.sleep(NO_ANSWER_SECONDS)
        raise httpx2.ReadTimeout("silence")


class Machine:
    """What outlives a daemon.  seed: of every chance in it."""

    def __init__(self, root: Path, *, seed: int = 1, max_active: int = 4) -> None:
        self.folder = StateFolder(root / "state")
        self.settings = DaemonSettings(max_active=max_active, notify=False)
        self.rng = random.Random(seed)
        self.sites: dict[str, Site] = {}
        self.home = self.site(HOME_SITE)
        self.requests: list[Asked] = []
        self.queued: dict[str, tuple[Site, Lineage]] = {}
        self.reported: list[EndedPublish] = []
        self.reporting_seconds = 0.0
        self.reporting = 0  # how many ends are being reported
        self.on_report: Callable[[EndedPublish], None] = lambda ended: None  # what the hook does
        self.lines: list[str] = []
        self.scans = 0
        self.scan_seconds = 0.05  # how long the daemon takes to look at its journals
        self.room = True
        self.installed: Stamp | None = (1, 1, 1)  # the release on the disk
        self.checks: Checks | None = None  # on the disk, as the system reports it
        self.writes: Callable[[], bool] = lambda: True  # whether a journal can be written at the moment
        self.suspensions = 0
        self._suspended_seconds = 0.0
        self._clock_off = 0.0
        self._acknowledged: dict[str, set[Item]] = {}
        self._made = 0

    # ---------------------------------------------------------------- clocks

    def now(self) -> float:
        """Unix seconds, as this machine's clock has them."""
        return self.true_now() + self._clock_off

    def true_now(self) -> float:
        """Unix seconds."""
        return EPOCH + trio.current_time() + self._suspended_seconds

    def suspended_seconds(self) -> float:
        return self._suspended_seconds

    def sleep(self, seconds: float) -> None:
        """Suspend the machine: no time passes for it, and every connection dies."""
        self.suspensions += 1
        self._suspended_seconds += seconds

    def set_clock(self, seconds: float) -> None:
        """Move the clock on, or back."""
        self._clock_off += seconds

    # ---------------------------------------------------------------- publishes

    def site(self, name: str) -> Site:
        """A new registry."""
        self.sites[name] = Site(name, self.true_now)
        return self.sites[name]

    def leave(
        self, jobs: int = 3, *, project: str = "/home/someone/project", site: Site | None = None, agreed: bool = True
    ) -> PublishPaths:
        """Leave a new publish of so many jobs to the daemon."""
        self._made += 1
        site = site or self.home
        lineage = cut(_chain(f"publish {self._made}", jobs), batch=lambda: 2)
        with OwnedPublish.create(self.folder, clock=self.now) as owned:
            owned.journal.units.add(lineage.units)
            plan = plan_of(lineage, owned.paths.id, registry=site.url)
            owned.journal.freeze(replace(plan, project=project, created_at=self.now()))
            owned.journal.queue.configure(agreed=agreed)
            owned.journal.queue.detach()
        self.queued[owned.paths.id] = (site, lineage)
        return owned.paths

    def status(self, paths: PublishPaths) -> JournalStatus:
        return read_status(paths)

    def all(self) -> list[JournalStatus]:
        """Every publish as it stands."""
        return [read_status(paths) for paths in self.folder.all_publishes()]

    @property
    def owned(self) -> set[str]:
        """Return the publishes that a process works on now."""
        return {paths.id for paths in self.folder.all_publishes() if owner(paths.lock) is not None}

    def ended(self) -> bool:
        """Return whether every publish has ended and its end was reported."""
        return all(not found.live and found.queued.notified for found in self.all())

    async def until(self, condition: Callable[[], bool], within: float, *, every: float = LOOK_SECONDS) -> float:
        """Return when it has come about, as a virtual time; raise Broken if it takes longer than so many seconds."""
        end = trio.current_time() + within
        while not condition():
            if trio.current_time() > end:
                raise Broken(f"not within {within} s: {[(found.progress, found.queued) for found in self.all()]}")
            await anyio.sleep(every)
        return trio.current_time()

    # ---------------------------------------------------------------- the daemon

    @asynccontextmanager
    async def daemon(self, *, drain: bool = False) -> AsyncIterator["Living"]:
        """A daemon, killed on exit if it is still running. It restarts if it exits to free memory."""
        living = Living(anyio.Event(), anyio.CancelScope(), anyio.Event())
        with self._in_force():
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._live, living, drain)
                yield living
                living.kill()
                await living.over.wait()

    async def _live(self, living: "Living", drain: bool) -> None:
        log = logging.getLogger("tests.support.daemon.worlds")
        log.setLevel(logging.INFO)
        log.propagate = False
        log.handlers = [_Lines(self.lines)]
        with living.scope:
            while await Daemon(self.folder, self.settings, log=log, dependencies=self._dependencies(), drain=drain).run(
                living.stop
            ):
                living.lives += 1
        living.over.set()

    def _dependencies(self) -> Dependencies:
        return Dependencies(
            clock=self.now,
            suspended_seconds=self.suspended_seconds,
            has_room=lambda folder: self.room,
            installed=lambda: self.installed,
            rng=self.rng,
            run_blocking=self._new_on_disk(),
            keyring=lambda: Keyring(
                {}, self.folder.root, policy_for(home=self.folder.root), clock=self.now, run_blocking=inline
            ),
            transport=Network(self, kept=False),
            checks=self.checks,
        )

    def _new_on_disk(self) -> Callable[[], RunBlocking]:
        """Blocking calls right here; those of the daemon itself, which asks for them first, are its scans."""

        async def scan(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
            self.scans += 1
            found = call(*args, **kwargs)
            await anyio.sleep(self.scan_seconds)  # the world continues meanwhile
            return found

        firsts: Iterator[RunBlocking] = iter([scan])
        return lambda: next(firsts, inline)

    @contextmanager
    def _in_force(self) -> Iterator[None]:
        with (
            mock.patch("roar_publisher.state.publish.Journal", _journal_of(self)),
            mock.patch("roar_publisher.daemon.workers.notify_end", self._notify_end),
            mock.patch("roar_publisher.daemon.workers.RegistryConnection", self._line),
        ):
            yield

    def _line(self, registry: str, *, transport: httpx2.AsyncBaseTransport | None) -> RegistryConnection:
        return RegistryConnection(registry, transport=Network(self, kept=True))

    async def _notify_end(
        self, ended: EndedPublish, command: Sequence[str] | None, *, notify: bool, log: logging.Logger
    ) -> None:
        self.reported.append(ended)
        self.reporting += 1
        try:
            self.on_report(ended)
            await anyio.sleep(self.reporting_seconds)
        finally:
            self.reporting -= 1

    # ---------------------------------------------------------------- what must hold

    def note_acknowledged(self, journal: Journal) -> None:
        publish_id = journal.path.parent.name
        _site, lineage = self.queued[publish_id]
        self._acknowledged[publish_id] = acknowledged_items(journal, lineage.hash)

    def check_request(self, path: str, body: bytes) -> None:
        """Raise Broken for a request that delivers what was acknowledged."""
        delivered = items_of_request(path, body)
        for publish_id, acknowledged in self._acknowledged.items():
            if again := delivered & acknowledged:
                raise Broken(f"{publish_id} sent again although acknowledged: {sorted(again)}")

    def check_published(self) -> None:
        """Raise Broken unless each publish that was left here is published once, whole, and reported at least once."""
        for site in self.sites.values():
            wanted = sorted(_counts(lineage) for where, lineage in self.queued.values() if where is site)
            found = sorted(site.ask(PUBLISHED))
            if found != wanted:
                raise Broken(f"{site.name} has {found}, not {wanted}")
        for one in self.all():
            if one.progress.state is not State.DONE or one.progress.reason or one.owner is not None:
                raise Broken(f"{one.paths.id} stands at {one.progress}")
            if one.paths.session_token.exists():
                raise Broken(f"the session token of {one.paths.id} is still there")

    def reported_times(self) -> Counter[str]:
        """Return how often the end of each publish was reported."""
        return Counter(ended.publish_id for ended in self.reported)


PUBLISHED = """
    SELECT hash,
        (SELECT count(*) FROM jobs WHERE graph_id = l.graph_id),
        (SELECT count(*) FROM artifacts WHERE graph_id = l.graph_id),
        (SELECT count(*) FROM links JOIN jobs ON jobs.id = job_id WHERE graph_id = l.graph_id AND kind = 'inputs'),
        (SELECT count(*) FROM links JOIN jobs ON jobs.id = job_id WHERE graph_id = l.graph_id AND kind = 'outputs'),
        (SELECT count(*) FROM labels WHERE graph_id = l.graph_id)
    FROM lineages AS l
"""


def _counts(lineage: Lineage) -> tuple[object, ...]:
    """What `PUBLISHED` says of a lineage that is there as it should be."""
    return (
        lineage.hash,
        len(lineage.jobs),
        len(lineage.digests),
        lineage.inputs,
        lineage.outputs,
        lineage.labels,
    )


@dataclass
class Living:
    """A daemon's life. stop: SIGTERM. over: set at its end. lives: one more for each restart."""

    stop: anyio.Event
    scope: anyio.CancelScope
    over: anyio.Event
    lives: int = 1

    def kill(self) -> None:
        self.scope.cancel()


def _journal_of(machine: Machine) -> type[Journal]:
    """The journals of this machine: processes die here, the power does not fail, and the disk may be full."""

    class MachineJournal(Journal):
        def __init__(self, path: Path, *, clock: Callable[[], float], **options: bool) -> None:
            super().__init__(path, clock=clock, **options)
            self.units = WatchedUnits(self, lambda: machine.note_acknowledged(self))
            self.db.execute("PRAGMA synchronous = OFF")

        @contextmanager
        def transaction(self) -> Iterator[None]:
            with self.translated():
                if not machine.writes():
                    raise _full()
            with super().transaction():
                yield

        def checkpoint(self, event: Event, **learned: Unpack[Learned]) -> Progress:
            progress = super().checkpoint(event, **learned)
            machine.note_acknowledged(self)
            return progress

    return MachineJournal


def _full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(f"{record.levelname} {getattr(record, 'publish_id', '-')} {record.getMessage()}")


def _chain(name: str, jobs: int) -> list[SampleJob]:
    """Jobs that each read what the one before wrote, with nothing in common with those of another name."""
    return [
        SampleJob(
            f"{name} {step}",
            step,
            {digest(f"{name} file {step - 1}"): f"data/{step - 1}.csv"},
            {digest(f"{name} file {step}"): f"data/{step}.csv"},
            metadata=json.dumps({"name": name}),
        )
        for step in range(1, jobs + 1)
    ]
