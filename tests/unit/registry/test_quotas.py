"""What may be written without a credential: by one client, and in all."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from roar_publisher.registry.accounts.quotas import DRAIN_SECONDS, TOTAL_FACTOR, Amount
from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.addresses import networks
from roar_publisher.registry.server.connections import ConnectionTable
from roar_publisher.registry.server.process import server_config
from roar_publisher.registry.store.anonymous_use import use_of
from tests.support import virtual
from tests.support.registry.harness import (
    GIT,
    PROTOCOL_RELEASE,
    Clock,
    Json,
    Registry,
    job,
    link,
    refused,
    run_inline,
    succeeded,
    uid,
)
from tests.support.registry.http_server import SteppedLoop, run_stepped, served
from tests.support.registry.people import Bearer

pytestmark = pytest.mark.anyio

OPEN = "/api/v1/registration-sessions"
ANONYMOUS = {"mode": "anonymous_public"}
PLENTY = 10**9


class Town:
    """A registry with many clients, each at an address of its own."""

    def __init__(self, store: Store, quota: Amount) -> None:
        self.clock = Clock()
        self.store = store
        self.app = create_app(store, clock=self.clock, quota=quota, run=run_inline)

    def at(self, address: str) -> Registry:
        transport = httpx2.ASGITransport(self.app, client=(address, 4711))
        client = httpx2.AsyncClient(
            transport=transport, base_url="http://registry", headers={"X-Roar-Version": PROTOCOL_RELEASE}
        )
        return Registry(self.app, client, self.clock, self.store)


Settle = Callable[..., Town]


@pytest.fixture
def town(store: Store) -> Settle:
    def settle(*, sessions: float = PLENTY, jobs: float = PLENTY, size: float = PLENTY) -> Town:
        return Town(store, Amount(sessions, jobs, size))

    return settle


async def open_refused(registry: Registry) -> httpx2.Response:
    response = await registry.client.post(OPEN, json=ANONYMOUS)
    assert "your address" in refused(response, 429)
    return response


async def test_an_address_opens_its_quota_of_sessions_and_one_more_after_retry_after(town: Settle) -> None:
    here = (place := town(sessions=10)).at("192.0.2.1")
    for _ in range(10):
        await here.open()
    response = await open_refused(here)
    wait = int(response.headers["retry-after"])
    assert wait == DRAIN_SECONDS / 10
    assert "try again in 3 h" in refused(response, 429)
    place.clock.now += wait - 1
    await open_refused(here)
    place.clock.now += 1
    await here.open()
    await open_refused(here)
    place.clock.now += 2 * DRAIN_SECONDS
    for _ in range(10):
        await here.open()
    await open_refused(here)


async def test_publishing_does_not_free_the_quota(town: Settle) -> None:
    here = town(sessions=3).at("192.0.2.1")
    for number in range(3):
        session = await here.open()
        await session.add_jobs(job(number))
        await session.finalize()
    await open_refused(here)


async def test_a_client_over_its_quota_can_finalize(town: Settle) -> None:
    here = town(sessions=1, jobs=2).at("192.0.2.1")
    session = await here.open("mine")
    await open_refused(here)
    assert (await here.open("mine")).opened["created"] is False
    await session.add_jobs(job(1), job(2))
    refused(await session.post("/jobs/batch", {"jobs": [job(3)]}), 429)
    await session.add_jobs(job(1))
    await session.add_links(1, "inputs", link(1))
    assert (await session.finalize(expected={"jobs": 2, "inputs": 1}))["staged_counts"]["jobs"] == 2


async def test_jobs_count_when_they_are_new(town: Settle) -> None:
    here = town(jobs=5).at("192.0.2.1")
    session = await here.open()
    for _ in range(10):
        await session.add_jobs(*(job(number) for number in range(5)))
    refused(await session.post("/jobs/batch", {"jobs": [job(6)]}), 429)
    other = await here.open()
    refused(await other.post("/jobs", job(1)), 429)


async def test_bytes_count_whatever_they_are_for(town: Settle) -> None:
    place = town(size=100_000)
    here = place.at("192.0.2.1")
    session = await here.open()
    await session.add_jobs(job(1))
    bodies: dict[str, Json] = {
        "/artifacts/batch": {"artifacts": []},
        f"/jobs/{uid(1)}/inputs": {"artifacts": []},
        f"/jobs/{uid(1)}/outputs": {"artifacts": []},
        f"/jobs/{uid(1)}/view-edges": {"view_edges": []},
        "/jobs/batch": {"jobs": []},
    }
    for path, body in bodies.items():
        place.clock.now += 2 * DRAIN_SECONDS
        session = await here.open()
        await session.add_jobs(job(1))
        padded = {**body, "padding": "x" * 60_000}
        succeeded(await session.post(path, padded))
        assert "bytes" in refused(await session.post(path, padded), 429)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/sessions", {**GIT, "hash": "b" * 64}),
        (f"/sessions/{'a' * 64}/jobs/batch", {"jobs": [job(1)]}),
        (f"/sessions/{'a' * 64}/jobs", job(1)),
        ("/artifacts/batch", {"artifacts": []}),
        ("/labels/sync", {"labels": []}),
    ],
)
async def test_writes_on_the_older_way_count_too(town: Settle, path: str, body: Json) -> None:
    here = town(size=3000).at("192.0.2.1")
    succeeded(await here.client.post("/api/v1/sessions", json={**GIT, "hash": "a" * 64}))
    padded = {**body, "padding": "x" * 1400}
    succeeded(await here.client.post(f"/api/v1{path}", json=padded))
    assert "bytes" in refused(await here.client.post(f"/api/v1{path}", json=padded), 429)


async def test_lineages_named_on_the_older_way_count_as_sessions(town: Settle) -> None:
    here = town(sessions=2).at("192.0.2.1")
    for name in "ab":
        for _ in range(2):
            succeeded(await here.client.post("/api/v1/sessions", json={**GIT, "hash": name * 64}))
    refused(await here.client.post("/api/v1/sessions", json={**GIT, "hash": "c" * 64}), 429)
    await open_refused(here)


async def test_the_bytes_of_jobs_count_once_whatever_the_release_of_the_client(town: Settle) -> None:
    """Releases that finalize a prepared lineage are asked about one first, which no client without a sign-in has."""
    uses = []
    for version in ("0.4.5", "0.4.7"):
        registry = town()
        async with registry.at("10.0.0.1").client as client:
            session = await Registry(registry.app, client, registry.clock, registry.store).open()
            client.headers["X-Roar-Version"] = version
            await session.add_jobs(job(1), job(2))
        uses.append(registry.store.read(use_of, "10.0.0.1"))
    earlier, both = uses
    assert earlier is not None
    assert both is not None
    assert (both.bytes, both.sessions) == (2 * earlier.bytes, 2 * earlier.sessions)


async def test_refused_requests_store_nothing_and_count_nothing(town: Settle, store: Store) -> None:
    here = town(jobs=3).at("192.0.2.1")
    session = await here.open()
    detail = refused(await session.post("/jobs/batch", {"jobs": [job(number) for number in range(4)]}), 403)
    assert "at most 3 jobs in a day without a sign-in, and this request has 4: sign in" in detail
    assert store.read(lambda connection: connection.execute("SELECT count(*) FROM jobs").fetchone()[0]) == 0
    await session.add_jobs(*(job(number) for number in range(3)))


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
    ],
)
async def test_each_address_has_a_quota_of_its_own(town: Settle, first: str, second: str, shared: bool) -> None:
    place = town(sessions=1)
    await place.at(first).open()
    if shared:
        await open_refused(place.at(second))
    else:
        await place.at(second).open()


async def test_all_addresses_together_have_a_quota_that_no_user_feels(town: Settle) -> None:
    place = town(sessions=2)
    for number in range(2 * TOTAL_FACTOR):
        await place.at(f"192.0.2.{number // 2}").open()
    response = await place.at("198.51.100.1").client.post(OPEN, json=ANONYMOUS)
    assert "all clients together have written as many sessions " in refused(response, 429)
    alice = place.at("192.0.2.0").person("alice")
    for _ in range(5):
        await place.at("192.0.2.0").open(auth=Bearer(alice))


async def test_a_user_is_not_metered(town: Settle) -> None:
    here = town(sessions=0, jobs=0, size=0).at("192.0.2.1")
    alice = here.person("alice")
    session = await here.open(auth=Bearer(alice))
    await session.add_jobs(job(1))
    await session.finalize()


async def test_a_quota_of_nothing_is_a_plain_no(town: Settle) -> None:
    here = town(sessions=0).at("192.0.2.1")
    response = await here.client.post(OPEN, json=ANONYMOUS)
    assert "accepts no sessions without a sign-in: sign in" in refused(response, 403)
    assert "retry-after" not in response.headers


def test_a_proxy_is_known_by_either_spelling_of_its_address(store: Store) -> None:
    app = create_app(store, quota=Amount(1, PLENTY, PLENTY), run=run_inline)
    config = server_config(app, ConnectionTable(1), networks("10.0.0.0/8, 192.0.2.7"))
    config.load()

    async def scenario() -> list[int]:
        answers = []
        for number, proxy in enumerate(("10.0.0.1", "::ffff:10.0.0.1", "192.0.2.7", "::ffff:192.0.2.7")):
            transport = httpx2.ASGITransport(config.loaded_app, client=(proxy, 4711))
            forwarded = {"X-Forwarded-For": f"198.51.100.{number}"}
            async with httpx2.AsyncClient(transport=transport, base_url="http://registry", headers=forwarded) as client:
                answers.append((await client.post(OPEN, json=ANONYMOUS)).status_code)
        return answers

    assert virtual.run(scenario) == [201] * 4


@pytest.mark.parametrize("forwarded", ["198.51.100.{}", "198.51.100.{}, 127.0.0.1", "6.6.6.6, 198.51.100.{}"])
def test_a_forwarded_address_counts_only_behind_a_trusted_proxy(forwarded: str) -> None:
    """Otherwise clients would invent an address that has room left."""

    async def statuses(proxies: Any) -> list[int]:
        app = create_app(Store.in_memory(), quota=Amount(2, PLENTY, PLENTY), run=run_inline)
        async with served(app, proxies=proxies) as registry:
            peer = await registry.connect()
            answers = []
            for number in range(4):
                body = b'{"mode": "anonymous_public"}'
                head = (
                    f"POST {OPEN} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {forwarded.format(number)}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                answers.append((await peer.ask(head.encode() + body))[0])
        return answers

    async def scenario(loop: SteppedLoop) -> None:
        assert await statuses([]) == [201, 201, 429, 429]
        assert await statuses(networks("10.0.0.0/8")) == [201, 201, 429, 429]
        assert await statuses(networks("127.0.0.0/8")) == [201, 201, 201, 201]

    run_stepped(scenario)
