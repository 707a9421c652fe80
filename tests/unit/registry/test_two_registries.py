"""Two registries over one PostgreSQL: what each of them decides holds for both."""

import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import anyio
import anyio.lowlevel
import psycopg
import pytest
from msgspec import convert

from roar_publisher.glaas import batches
from roar_publisher.registry.accounts import device_flow
from roar_publisher.registry.accounts.attempts import MAX_FAILURES, begin_attempt
from roar_publisher.registry.accounts.callers import Caller, Credential
from roar_publisher.registry.accounts.device_flow import DeviceClient
from roar_publisher.registry.accounts.quotas import Amount
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.indexing import index_slice
from roar_publisher.registry.lineages.registration import LIFETIME, Access, touch_open_session
from roar_publisher.registry.lineages.staging import add_jobs
from roar_publisher.registry.lineages.sweeping import sweep_slice
from roar_publisher.registry.store import sessions
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.jobs import job_ids
from roar_publisher.registry.store.spent_signatures import spend_signature
from roar_publisher.registry.store.users import User
from tests.support.registry.harness import START, Registry, Session, artifact, job, link, make_registry, succeeded, uid
from tests.support.registry.people import Bearer
from tests.support.registry.postgres import Postgres
from tests.support.registry.processes import PATIENCE

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


async def test_what_users_stage_does_not_wait_for_what_others_stage(
    registries: tuple[Registry, Registry], stores: tuple[Store, Store]
) -> None:
    session = await registries[0].open(auth=Bearer(registries[0].person("alice")))
    stores[0].read(lambda connection: connection.execute("SET lock_timeout = '1s'"))
    staging, go_on = threading.Event(), threading.Event()

    def stage_slowly(connection: Connection) -> bool:
        staging.set()
        return go_on.wait(PATIENCE)

    with ThreadPoolExecutor() as pool:
        other = pool.submit(stores[1].write_alongside, stage_slowly)
        assert staging.wait(PATIENCE)
        try:
            await session.add_jobs(job(1))
            await session.add_artifacts(artifact(1))
            await session.add_links(1, "outputs", link(1))
            succeeded(await session.post("/jobs", job(2)))
            newest = {"X-Roar-Version": "0.4.7"}
            prepared = await session.client.post(
                f"{session.root}/jobs/batch", json={"jobs": [job(3)]}, headers=newest, auth=session.auth
            )
            succeeded(prepared)
        finally:
            go_on.set()
        assert other.result()


async def test_who_stages_into_a_session_sees_what_another_one_stages_at_the_same_time(
    registries: tuple[Registry, Registry], stores: tuple[Store, Store], postgres: Postgres
) -> None:
    opened = (await registries[0].open(auth=Bearer(registries[0].person("alice")))).opened
    session_id = opened["registration_session_id"]
    owner = stores[0].read(sessions.find, session_id)
    assert owner is not None
    caller = Caller(Credential.BEARER, User(owner.owner, "alice", "sub", None))
    access = Access(session_id, caller, stores[0].secret, START, 10**9)
    staged, go_on = threading.Event(), threading.Event()

    def stage_slowly(connection: Connection) -> None:
        session = touch_open_session(connection, access, 0)
        add_jobs(connection, session.graph_id, [convert(job(1), batches.Job)])
        sessions.set_prepared_graph(connection, session.id, session.graph_id)
        staged.set()
        assert go_on.wait(PATIENCE)

    def look(connection: Connection) -> tuple[int, bool]:
        session = touch_open_session(connection, access, 0)
        return len(job_ids(connection, session.graph_id, {uid(1)})), session.prepared_graph == session.graph_id

    with ThreadPoolExecutor() as pool:
        first = pool.submit(stores[0].write_alongside, stage_slowly)
        first.add_done_callback(lambda _: staged.set())  # it may have failed
        assert staged.wait(PATIENCE)
        second = pool.submit(stores[1].write_alongside, look)
        while not second.done() and not waits(postgres):
            await anyio.lowlevel.checkpoint()
        go_on.set()
        first.result()
        assert second.result() == (1, True)


def waits(postgres: Postgres) -> bool:
    """Whether a transaction waits for another one."""
    with psycopg.connect(postgres.url("postgres")) as connection:
        return connection.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None


async def test_both_sweep_and_index_at_once_and_everything_is_done_once(
    registries: tuple[Registry, Registry], stores: tuple[Store, Store]
) -> None:
    for number in range(3):
        session = await registries[0].open()
        await session.add_jobs(job(1, command=f"python train{number}.py"), job(2))
        await session.add_links(1, "outputs", link(1))
        await session.finalize()
        abandoned = await registries[1].open()
        await abandoned.add_jobs(job(1))
    later = START + LIFETIME + 1

    async def work(store: Store) -> None:
        while await anyio.to_thread.run_sync(store.write, sweep_slice, later):
            pass
        while await anyio.to_thread.run_sync(store.write, index_slice):
            pass

    async with anyio.create_task_group() as tasks:
        for store in stores:
            tasks.start_soon(work, store)
    assert [count(stores[0], table) for table in ("sessions", "lineages", "graphs", "jobs")] == [3, 3, 3, 6]
    words = stores[0].read(
        lambda connection: connection.execute("SELECT word, count(*) FROM words GROUP BY word").fetchall()
    )
    assert {row[1] for row in words if row[0].startswith("train")} == {1}


async def test_what_one_registry_counts_of_wrong_codes_the_other_one_knows(
    anyio_backend: str, stores: tuple[Store, Store]
) -> None:
    for number in range(MAX_FAILURES):
        stores[number % 2].accounts.write(begin_attempt, "host 192.0.2.1", START)
    for store in stores:
        with pytest.raises(Refusal, match="too many wrong codes"):
            store.accounts.write(begin_attempt, "host 192.0.2.1", START)


async def test_a_device_code_of_one_registry_is_confirmed_at_the_other_one_and_used_once(
    registries: tuple[Registry, Registry], stores: tuple[Store, Store]
) -> None:
    user = registries[0].person("alice").user
    codes = stores[0].accounts.write(device_flow.begin, DeviceClient("roar-cli", "roar", "192.0.2.1"), START)
    stores[1].accounts.write(device_flow.decide, user, codes.user_code, START + 1, allowed=True)
    got: list[object] = []

    async def poll(store: Store) -> None:
        got.append(
            await anyio.to_thread.run_sync(store.accounts.write, device_flow.poll, codes.device_code, START + 10)
        )

    async with anyio.create_task_group() as tasks:
        for store in stores:
            tasks.start_soon(poll, store)
    assert sorted(isinstance(answer, device_flow.PollError) for answer in got) == [False, True]
