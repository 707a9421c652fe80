"""Two registries over one PostgreSQL: what each of them decides holds for both."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from roar_publisher.registry.accounts.quotas import Amount
from roar_publisher.registry.data import Store
from roar_publisher.registry.store.spent_signatures import spend_signature
from tests.support.registry.harness import START, Registry, Session, artifact, job, link, make_registry
from tests.support.registry.people import Bearer
from tests.support.registry.postgres import Postgres

pytestmark = pytest.mark.anyio
ROUNDS = 5


@pytest.fixture
def stores(postgres: Postgres, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    url = postgres.new_database()
    with closing(Store.open(tmp_path, url)) as first, closing(Store.open(tmp_path, url)) as second:
        assert first.secret == second.secret
        yield first, second


@pytest.fixture
async def registries(anyio_backend: str, stores: tuple[Store, Store]) -> tuple[Registry, Registry]:
    first, second = (make_registry(store, quota=Amount(20, 1000, 10**9)) for store in stores)
    return first, second


def count(store: Store, table: str) -> int:
    return int(store.read(lambda connection: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))


async def test_a_session_that_both_finalize_at_once_becomes_one_lineage(
    registries: tuple[Registry, Registry], stores: tuple[Store, Store]
) -> None:
    for number in range(ROUNDS):
        session = await registries[0].open()
        await session.add_jobs(*(job(step, command=f"round {number}") for step in range(30)))
        hashes: list[str] = []

        async def finalize(session: Session, hashes: list[str] = hashes) -> None:
            hashes.append((await session.finalize())["hash"])

        async with anyio.create_task_group() as tasks:
            for registry in (*registries, *registries):
                tasks.start_soon(finalize, Session(registry.client, session.opened))
        assert len(hashes) == 4
        assert len({*hashes}) == 1
        assert count(stores[0], "lineages") == number + 1


async def test_a_signature_is_spent_once(anyio_backend: str, stores: tuple[Store, Store]) -> None:
    for _ in range(ROUNDS):
        digest = secrets.token_bytes(32)
        spent: list[bool] = []

        async def spend(store: Store, digest: bytes = digest, spent: list[bool] = spent) -> None:
            spent.append(
                await anyio.to_thread.run_sync(
                    lambda: store.write(spend_signature, digest, until=START + 300, now=START)
                )
            )

        async with anyio.create_task_group() as tasks:
            for store in stores:
                tasks.start_soon(spend, store)
        assert sorted(spent) == [False, True]


async def test_both_take_together_no_more_than_a_quota_allows(
    registries: tuple[Registry, Registry], stores: tuple[Store, Store]
) -> None:
    statuses: list[int] = []

    async def open_session(registry: Registry) -> None:
        answer = await registry.client.post("/api/v1/registration-sessions", json={"mode": "anonymous_public"})
        statuses.append(answer.status_code)

    async with anyio.create_task_group() as tasks:
        for _ in range(15):
            for registry in registries:
                tasks.start_soon(open_session, registry)
    assert (sum(status < 300 for status in statuses), statuses.count(429)) == (20, 10)
    assert count(stores[1], "sessions") == 20


async def test_what_both_stage_into_one_session_at_once_is_counted_once(
    registries: tuple[Registry, Registry], stores: tuple[Store, Store]
) -> None:
    alice = Bearer(registries[0].person("alice"))
    opened = (await registries[0].open(auth=alice)).opened
    sessions = [Session(registry.client, opened, alice) for registry in (*registries, *registries)]
    await sessions[0].add_jobs(job(1))
    async with anyio.create_task_group() as tasks:
        for number, session in enumerate(sessions):
            tasks.start_soon(session.add_artifacts, *(artifact(n) for n in range(number * 10, number * 10 + 40)))
            tasks.start_soon(session.add_links, 1, "inputs", *(link(n) for n in range(number * 10, number * 10 + 40)))
    counts = (await sessions[1].finalize())["staged_counts"]
    assert counts == {"jobs": 1, "inputs": 70, "outputs": 0, "artifacts": 70}
