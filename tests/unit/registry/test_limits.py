"""Limits of every moment: open sessions, what one session stages, and what a client sends in a minute."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import anyio
import httpx2
import pytest
from prometheus_client import generate_latest

from roar_publisher.registry.accounts.limits import CLIENTS_KEPT, MINUTE, RETRY_OPEN_SECONDS, BodyRates, ClientLimits
from roar_publisher.registry.accounts.quotas import TOTAL_FACTOR
from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.registration import LIFETIME
from roar_publisher.registry.lineages.sweeping import sweep_forever, sweep_slice
from roar_publisher.registry.server.metrics import Metrics
from roar_publisher.registry.store.database import Connection, Operation
from roar_publisher.registry.store.users import remove_user
from tests.support.registry.harness import (
    NO_AUTH,
    PROTOCOL_RELEASE,
    Clock,
    Registry,
    artifact,
    job,
    link,
    refused,
    run_inline,
    succeeded,
)
from tests.support.registry.people import Bearer, Ssh

pytestmark = pytest.mark.anyio

P = ParamSpec("P")
T = TypeVar("T")

OPEN = "/api/v1/registration-sessions"
ANONYMOUS = {"mode": "anonymous_public"}
HERE = "192.0.2.1"


class Town:
    """Processes of one registry with many clients, each at an address of its own."""

    def __init__(self, store: Store, limits: ClientLimits, processes: int) -> None:
        self.clock = Clock()
        self.store = store
        self.apps = [create_app(store, clock=self.clock, limits=limits, run=run_inline) for _ in range(processes)]

    def at(self, address: str, process: int = 0) -> Registry:
        app = self.apps[process]
        headers = {"X-Roar-Version": PROTOCOL_RELEASE, "Content-Type": "application/json"}
        transport = httpx2.ASGITransport(app, client=(address, 4711))
        client = httpx2.AsyncClient(transport=transport, base_url="http://registry", headers=headers)
        return Registry(app, client, self.clock, self.store)


Settle = Callable[..., Town]


@pytest.fixture
def town(store: Store) -> Settle:
    def settle(processes: int = 1, **limits: int) -> Town:
        return Town(store, ClientLimits(**limits), processes)

    return settle


def later(response: httpx2.Response, *words: str) -> int:
    """The seconds that a 429 asks to wait."""
    detail = refused(response, 429)
    assert all(word in detail for word in (*words, f"{response.headers['retry-after']} s")), detail
    return int(response.headers["retry-after"])


# ---------------------------------------------------------------- open sessions


async def test_an_address_holds_a_number_of_open_sessions_in_all_processes(town: Settle) -> None:
    place = town(processes=2, open_sessions=2)
    first, second = place.at(HERE), place.at(HERE, 1)
    session = await first.open("mine")
    await second.open()
    for registry in (first, second):
        response = await registry.client.post(OPEN, json=ANONYMOUS)
        assert later(response, "your address", "2 open registration sessions") == RETRY_OPEN_SECONDS
    assert (await second.open("mine")).opened["created"] is False, "an open one is found again"
    await place.at("192.0.2.2").open()
    await session.add_jobs(job(1))
    await session.finalize()
    await second.open()
    later(await first.client.post(OPEN, json=ANONYMOUS))
    place.clock.now += LIFETIME + 1
    await first.open()


async def test_all_addresses_together_hold_a_number_that_no_user_feels(town: Settle) -> None:
    place = town(open_sessions=1)
    sessions = [await place.at(f"192.0.2.{number}").open() for number in range(TOTAL_FACTOR)]
    later(await place.at("198.51.100.1").client.post(OPEN, json=ANONYMOUS), "all clients")
    alice = place.at(HERE).person("alice")
    for _ in range(3):
        await place.at(HERE).open(auth=Bearer(alice))
    await sessions[3].add_jobs(job(1))
    await sessions[3].finalize()
    await place.at("198.51.100.1").open()


async def test_the_address_is_kept_only_while_an_anonymous_session_is_open(town: Settle, store: Store) -> None:
    def addresses(connection: Connection) -> list[str]:
        rows = connection.execute("SELECT client FROM sessions ORDER BY client").fetchall()
        return [row["client"] for row in rows]

    here = town().at(HERE)
    session = await here.open()
    await here.open(auth=Bearer(here.person("alice")))
    assert store.read(addresses) == ["", HERE]
    await session.add_jobs(job(1))
    await session.finalize()
    assert store.read(addresses) == ["", ""]


# ---------------------------------------------------------------- staged bytes


@pytest.mark.parametrize("signed_in", [False, True])
async def test_a_session_stages_no_more_than_its_limit(town: Settle, signed_in: bool) -> None:
    here = town(session_bytes=20_000).at(HERE)
    auth = Bearer(here.person("alice")) if signed_in else NO_AUTH
    session, padding = await here.open(auth=auth), "x" * 6000
    writes = {
        "/jobs/batch": {"jobs": [job(1)]},
        "/artifacts/batch": {"artifacts": [artifact(1)]},
        f"/jobs/{job(1)['job_uid']}/inputs": {"artifacts": [link(1)]},
    }
    for path, body in writes.items():
        succeeded(await session.post(path, {**body, "padding": padding}))
    for path, body in {**writes, "/jobs": job(9)}.items():
        response = await session.post(path, {**body, "padding": padding})
        assert "more than 0 MiB" in refused(response, 422)
        assert "--session-mib" in response.text
        assert "retry-after" not in response.headers
    await session.add_artifacts(artifact(2))
    assert (await session.finalize(expected={"jobs": 1, "inputs": 1}))["staged_counts"]["artifacts"] == 2
    other = await here.open(auth=auth)
    await other.post("/jobs/batch", {"jobs": [job(2)], "padding": padding})


async def test_open_sessions_and_what_they_staged_are_figures(store: Store) -> None:
    metrics, clock = Metrics(), Clock()
    here = Town(store, ClientLimits(), 1)
    for number in range(2):
        session = await here.at(HERE).open()
        await session.add_jobs(job(number))
    done = await here.at(HERE).open()
    await done.add_jobs(job(7))
    await done.finalize()

    async def write(operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return store.write(operation, *args, **kwargs)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sweep_forever, write, clock, lambda: None, metrics.staged)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    shown = dict(line.split() for line in generate_latest(metrics.collected).decode().splitlines() if line[0] != "#")
    assert float(shown["roar_registry_open_sessions"]) == 2
    assert 400 < float(shown["roar_registry_staged_bytes"]) < 1500


# ---------------------------------------------------------------- bytes of a minute


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_client_sends_no_more_in_a_minute_whatever_process_it_reaches(town: Settle, processes: int) -> None:
    place = town(processes=processes, minute_bytes=60_000)
    clients = [place.at(HERE, number) for number in range(processes)]
    body = {**ANONYMOUS, "client_session_id": "mine", "padding": "x" * 4950}
    answers = [await clients[number % processes].client.post(OPEN, json=body) for number in range(13)]
    sent = sum(answer.is_success for answer in answers)
    response = answers[-1]
    assert 10 <= sent <= 12
    wait = later(response, "your address sends more than")
    assert wait <= MINUTE / 12 + 1
    succeeded(await place.at("192.0.2.2").client.post(OPEN, json=body))
    place.clock.now += wait
    succeeded(await clients[sent % processes].client.post(OPEN, json=body))
    place.clock.now += 2 * MINUTE
    for _ in range(10):
        succeeded(await clients[0].client.post(OPEN, json=body))


async def test_it_counts_for_users_and_before_anything_is_read_from_the_body(town: Settle) -> None:
    here = town(minute_bytes=10_000).at(HERE)
    session = await here.open(auth=Bearer(here.person("alice")))
    succeeded(await session.post("/jobs/batch", {"jobs": [job(1)], "padding": "x" * 8000}))
    later(await session.post("/jobs/batch", {"jobs": ["no job"], "padding": "x" * 8000}))
    assert (await session.finalize())["staged_counts"]["jobs"] == 1, "small requests still fit"


async def test_it_counts_for_signatures_that_are_refused(town: Settle) -> None:
    here = town(minute_bytes=100_000).at(HERE)
    unknown = here.person("bob").signed("POST", OPEN, b"x" * 50_000)
    here.store.accounts.write(remove_user, "bob")
    headers = {"Authorization": unknown, "Content-Type": "application/json"}
    refused(await here.client.post(OPEN, content=b"x" * 50_000, headers=headers), 401)
    later(await here.client.post(OPEN, content=b"x" * 51_000, headers=headers))


async def test_a_signed_body_counts_once(town: Settle) -> None:
    here = town(minute_bytes=10_000).at(HERE)
    session = await here.open(auth=Ssh(here.person("alice")))
    succeeded(await session.post("/jobs/batch", {"jobs": [job(1)], "padding": "x" * 7000}))


async def test_few_requests_write_what_they_take_and_old_rows_go(town: Settle, store: Store) -> None:
    def rows(connection: Connection) -> int:
        return int(connection.execute("SELECT count(*) FROM body_rates").fetchone()[0])

    place = town()
    here = place.at(HERE)
    session = await here.open()
    taken = store.read(lambda connection: connection.execute("SELECT bytes FROM body_rates").fetchone()[0])
    for number in range(5):
        await session.add_jobs(job(number))
    again = store.read(lambda connection: connection.execute("SELECT bytes FROM body_rates").fetchone()[0])
    assert (again, store.read(rows)) == (taken, 1)
    while store.write(sweep_slice, place.clock.now + MINUTE + 1):
        pass
    assert store.read(rows) == 0


async def test_a_process_remembers_a_bounded_number_of_clients() -> None:
    taken = []

    async def take(client: str, size: float) -> None:
        taken.append(client)

    rates = BodyRates(6000)
    for number in range(CLIENTS_KEPT + 1):
        await rates.spend(str(number), 10, take)
    await rates.spend("0", 10, take)
    assert len(taken) == CLIENTS_KEPT + 2
    await rates.spend("0", 10, take)
    assert len(taken) == CLIENTS_KEPT + 2
