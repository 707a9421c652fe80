"""SIGKILL of what serves while several clients publish: nothing that was acknowledged is lost, halved or doubled."""

import contextlib
import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import httpx2
import pytest

import roar_publisher
from roar_publisher import errors, events
from roar_publisher.registry.data import Store
from tests.support.cli.program import PATIENCE
from tests.support.registry.mortal import MortalRegistry
from tests.support.registry.postgres import Postgres, running_postgres
from tests.support.sampling import sample
from tests.support.synthetic import make_project

VICTIMS = ("registry on SQLite", "registry on PostgreSQL", "worker", "PostgreSQL")
CLIENTS, JOBS, LINKS = 4, 40, 6
KILLS = 3
ENOUGH = 120.0
"""Seconds after which no client resumes any more. The clients need a tenth of it."""
EVENTS = 40
"""Kills come with these first events of the clients. There are some more."""
COUNTS = """
    SELECT l.hash, (SELECT count(*) FROM jobs WHERE graph_id = l.graph_id),
        (SELECT count(*) FROM links JOIN jobs ON jobs.id = job_id WHERE graph_id = l.graph_id)
    FROM lineages AS l
"""


@dataclass
class Load:
    """Clients that publish, and the kills between and during their requests. `kill` does one."""

    registry: MortalRegistry
    kill: Callable[[], None]
    chance: random.Random
    seen: int = 0
    killers: list[threading.Thread] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + ENOUGH
        self.moments = sorted(self.chance.sample(range(1, EVENTS), KILLS))

    def run(self, projects: list[Path]) -> None:
        """Publish all projects at once."""
        with ThreadPoolExecutor(len(projects)) as pool:
            for done in [pool.submit(self.publish, project) for project in projects]:
                done.result()
        for killer in self.killers:
            killer.join()
        assert not self.problems

    def publish(self, project: Path) -> None:
        """Publish as a user does who resumes what was interrupted."""
        unfinished: str | None = None
        while True:
            try:
                if unfinished is None:
                    published = roar_publisher.publish(
                        project, visibility="public", registry=self.registry.url, yes=True, on_progress=self.observe
                    )
                else:
                    published = roar_publisher.resume(unfinished, yes=True, on_progress=self.observe)
                break
            except errors.Unfinished as error:
                assert time.monotonic() < self.deadline
                unfinished = error.publish_id
        assert published.hash is not None
        self.acknowledged.append(published.hash)

    def observe(self, event: events.Event) -> None:
        with self.lock:
            self.seen += 1
            if self.moments and self.seen >= self.moments[0]:
                del self.moments[0]
                for killer in self.killers:
                    killer.join()
                self.killers.append(threading.Thread(target=self.kill))
                self.killers[-1].start()
                if self.chance.random() < 0.5:  # else this client goes on meanwhile
                    self.killers[-1].join()
        if isinstance(event, events.StateEvent):
            try:
                self.look()
            except AssertionError as error:  # a publish goes on if its observer fails
                self.problems.append(str(error))

    def look(self) -> None:
        """What a reader sees now is whole."""
        with (
            contextlib.suppress(httpx2.TransportError),
            httpx2.Client(base_url=self.registry.url, timeout=PATIENCE) as reader,
        ):
            acknowledged = {*self.acknowledged}
            page = reader.get("/")
            if page.status_code != 200:
                return
            shown = {*re.findall(r"/dag/([0-9a-f]{64})", page.text)}
            assert shown >= acknowledged
            for lineage_hash in shown:
                reply = reader.get(f"/api/v1/sessions/{lineage_hash}?limit=1")
                assert reply.status_code in (200, 503)
                assert reply.status_code == 503 or reply.json()["jobs_count"] == JOBS


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running_postgres(durable=True) as server:
        yield server


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("projects")
    return [make_project(folder / f"p{n}", jobs=JOBS, links_per_job=LINKS, seed=n) for n in range(CLIENTS)]


@pytest.mark.parametrize(("victim", "seed"), sample("kills", [*product(VICTIMS, range(8))], 2))
def test_kills_lose_halve_and_double_nothing(
    tmp_path: Path,
    projects: list[Path],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    victim: str,
    seed: int,
) -> None:
    chance = random.Random(f"{victim}/{seed}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ROAR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    database = None
    if victim != "registry on SQLite":
        server: Postgres = request.getfixturevalue("postgres")
        database = server.new_database()
    options = () if database is None else ("--workers", "2", "--database", database)
    registry = MortalRegistry(tmp_path / "data", options)

    def kill() -> None:
        if victim == "worker":
            os.kill(chance.choice(registry.workers), signal.SIGKILL)
        elif victim == "PostgreSQL":
            server.kill()
            server.start()
        else:
            registry.kill()
            registry.start()

    registry.start()
    try:
        load = Load(registry, kill, chance)
        load.run(projects)
        load.look()
        assert load.killers
        registry.stop()
    finally:
        registry.kill()
    with contextlib.closing(Store.open(tmp_path / "data", database)) as store:
        kept = store.read(lambda connection: [tuple(row) for row in connection.execute(COUNTS)])
    assert sorted(kept) == sorted((lineage_hash, JOBS, JOBS * LINKS) for lineage_hash in load.acknowledged)
    assert len({*load.acknowledged}) == CLIENTS
