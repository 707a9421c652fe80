"""Fragment sessions: what workers of a cluster stream, and the submitter reads."""

import hashlib
import json

import httpx2
import pytest

from roar_publisher.registry.accounts.quotas import Amount
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages import fragments
from roar_publisher.registry.lineages.fragments import KEPT_SECONDS, LONGEST_SECONDS, SHORTEST_SECONDS
from roar_publisher.registry.lineages.sweeping import sweep_slice
from tests.support.registry.engines import sqlite_of
from tests.support.registry.harness import NO_AUTH, Clock, Json, Registry, make_registry, refused, run_inline, succeeded
from tests.support.registry.people import Bearer

pytestmark = pytest.mark.anyio

ROOT = "/api/v1/fragments/sessions"
NAME = "0c0f3ad8-5b1a-4a38-9a3e-1f2f3f4f5f6f"
TOKEN = "ab" * 32
HOUR = 3600


def token_hash(token: str = TOKEN) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


async def open_session(
    registry: Registry, name: str = NAME, *, auth: httpx2.Auth = NO_AUTH, **changes: object
) -> httpx2.Response:
    body = {"session_id": name, "token_hash": token_hash(), "ttl_seconds": HOUR, **changes}
    return await registry.client.post(ROOT, json=body, auth=auth)


def header(token: str | None = TOKEN) -> dict[str, str]:
    return {} if token is None else {"X-Roar-Fragment-Token": token}


async def append(registry: Registry, text: str, sequence: int = 0, token: str | None = TOKEN) -> httpx2.Response:
    body = {"encrypted_batch": text, "sequence": sequence}
    return await registry.client.post(f"{ROOT}/{NAME}/fragments", json=body, headers=header(token))


async def read(registry: Registry, token: str | None = TOKEN) -> httpx2.Response:
    return await registry.client.get(f"{ROOT}/{NAME}/fragments", headers=header(token))


async def renew(registry: Registry, seconds: int, token: str | None = TOKEN) -> httpx2.Response:
    return await registry.client.post(f"{ROOT}/{NAME}/renew", json={"ttl_seconds": seconds}, headers=header(token))


async def texts(registry: Registry) -> list[str]:
    return [batch["encrypted_batch"] for batch in succeeded(await read(registry))["fragments"]]


def rows(store: Store) -> list[int]:
    """The numbers of sessions and batches."""
    counts = "SELECT (SELECT count(*) FROM fragment_sessions), (SELECT count(*) FROM fragment_batches)"
    return store.read(lambda connection: list(connection.execute(counts).fetchone()))


async def test_what_workers_append_is_read_in_the_order_in_which_it_came(registry: Registry) -> None:
    assert (await open_session(registry)).status_code == 201
    assert succeeded(await read(registry)) == {"fragments": []}
    for text, sequence in (("Zmlyc3Q=", 0), ("b3RoZXI=", 0), ("bGFzdA==", 1)):
        succeeded(await append(registry, text, sequence))
    assert succeeded(await read(registry))["fragments"] == [
        {"sequence": 0, "encrypted_batch": "Zmlyc3Q="},
        {"sequence": 0, "encrypted_batch": "b3RoZXI="},
        {"sequence": 1, "encrypted_batch": "bGFzdA=="},
    ]


async def test_a_long_session_is_read_in_pages_that_do_not_show(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await open_session(registry)
    for number in range(12):
        await append(registry, "A" * (100 + number), number)
    whole = succeeded(await read(registry))
    for name, value in (("BATCHES_AT_ONCE", 5), ("REPLY_BYTES", 150)):
        monkeypatch.setattr(fragments, name, value)
        assert succeeded(await read(registry)) == whole


async def test_the_token_opens_the_session_and_nothing_else_does(registry: Registry, store: Store) -> None:
    """A wrong token gets the same reply as a missing session, and the token itself is not stored."""
    await open_session(registry)
    await append(registry, "QQ==")
    missing = f"{ROOT}/another-session/fragments"
    expected = refused(await registry.client.get(missing, headers=header()), 404)
    for token, status in ((None, 401), ("", 401), ("x" * 257, 401), ("0" * 64, 404), (TOKEN[:-1], 404)):
        answers = [
            await read(registry, token),
            await append(registry, "QUE=", token=token),
            await renew(registry, HOUR, token),
        ]
        assert [answer.status_code for answer in answers] == [status] * 3
        assert status == 401 or {refused(answer, status) for answer in answers} == {expected}
    alice = Bearer(registry.person("alice"))
    assert (await registry.client.get(f"{ROOT}/{NAME}/fragments", auth=alice)).status_code == 401
    assert await texts(registry) == ["QQ=="]
    kept = store.read(lambda db: [tuple(row) for row in db.execute("SELECT * FROM fragment_sessions")])
    assert TOKEN not in str(kept)


async def test_opening_a_session_again_is_the_same_session_for_the_same_token(registry: Registry) -> None:
    alice = Bearer(registry.person("alice"))
    first = succeeded(await open_session(registry))
    await append(registry, "QQ==")
    registry.clock.now += 60
    again = await open_session(registry)
    assert (again.status_code, succeeded(again)) == (200, {**first, "created": False})
    assert await texts(registry) == ["QQ=="]
    refused(await open_session(registry, token_hash=token_hash("0" * 64)), 409)
    refused(await open_session(registry, auth=alice), 409)


async def test_an_expired_session_is_403_until_it_is_renewed(registry: Registry, store: Store) -> None:
    await open_session(registry)
    await append(registry, "QQ==")
    registry.clock.now += HOUR - 1
    succeeded(await append(registry, "Qg=="))
    registry.clock.now += 1
    for answer in (await read(registry), await append(registry, "Qw==")):
        refused(answer, 403)
    registry.clock.now += KEPT_SECONDS
    _sweep(store, registry.clock.now)
    succeeded(await renew(registry, HOUR))
    assert await texts(registry) == ["QQ==", "Qg=="]
    assert succeeded(await renew(registry, 60)) == succeeded(await renew(registry, HOUR)), "never earlier"


async def test_an_expired_session_is_deleted_in_slices(registry: Registry, store: Store) -> None:
    await open_session(registry)
    for number in range(250):
        await append(registry, "QQ==", number)
    registry.clock.now += HOUR + KEPT_SECONDS
    assert _sweep(store, registry.clock.now) == [[1, 250]], "of other data"
    registry.clock.now += 1
    store.write(sweep_slice, registry.clock.now)
    refused(await renew(registry, HOUR), 404)
    refused(await read(registry), 404)
    assert _sweep(store, registry.clock.now) == [[1, 50], [0, 0]]
    refused(await renew(registry, HOUR), 404)


async def test_a_session_lives_neither_shorter_nor_longer_than_the_bounds(registry: Registry) -> None:
    for seconds, lived in ((0, SHORTEST_SECONDS), (10**12, LONGEST_SECONDS)):
        name = f"session-{seconds}"
        await open_session(registry, name, ttl_seconds=seconds)
        path = f"{ROOT}/{name}/fragments"
        registry.clock.now += lived - 1
        succeeded(await registry.client.get(path, headers=header()))
        registry.clock.now += 1
        refused(await registry.client.get(path, headers=header()), 403)


async def test_a_session_is_bounded(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    await open_session(registry)
    refused(await append(registry, "A" * 110_000), 413)  # after which roar-cli halves the batch
    monkeypatch.setattr(fragments, "MOST_BYTES", 20)
    succeeded(await append(registry, "A" * 16))
    refused(await append(registry, "A" * 8), 409)
    succeeded(await append(registry, "QQ=="))
    monkeypatch.setattr(fragments, "MOST_BATCHES", 2)
    monkeypatch.setattr(fragments, "MOST_BYTES", 100)
    refused(await append(registry, "QQ=="), 409)
    assert await texts(registry) == ["A" * 16, "QQ=="]


async def test_without_a_sign_in_sessions_and_batches_count_against_the_quota(anyio_backend: str, store: Store) -> None:
    quota = Amount(sessions=2, jobs=10, bytes=1500)
    registry = make_registry(store, quota=quota, run=run_inline, clock=Clock())
    async with registry.client:
        alice = Bearer(registry.person("alice"))
        for name in ("session-1", NAME):
            succeeded(await open_session(registry, name))
        refused(await open_session(registry, "session-3"), 429)
        for number in range(4):
            succeeded(await open_session(registry, f"hers-{number}-of-her", auth=alice))
        answers = [await append(registry, "A" * 200, number) for number in range(10)]
        assert {answer.status_code for answer in answers} == {201, 429}
        hers = f"{ROOT}/hers-1-of-her/fragments"
        body = {"encrypted_batch": "A" * 2000, "sequence": 1}
        for _ in range(3):
            succeeded(await registry.client.post(hers, json=body, headers=header()))


@pytest.mark.parametrize(
    "changes",
    [
        {"session_id": "short"},
        {"session_id": "a/b/c/d/e/f"},
        {"session_id": "a" * 129},
        {"token_hash": TOKEN},
        {"token_hash": token_hash() + "0"},
        {"ttl_seconds": -1},
        {"ttl_seconds": "60"},
    ],
    ids=json.dumps,
)
async def test_a_malformed_session_is_refused(registry: Registry, store: Store, changes: Json) -> None:
    if changes == {"token_hash": TOKEN}:
        changes = {"token_hash": TOKEN.upper()}
    refused(await open_session(registry, **changes), 422)
    assert rows(store) == [0, 0]


@pytest.mark.parametrize("text", ["", "no base64!", '{"reads": []}', "ä"])
async def test_what_is_not_encoded_is_refused(registry: Registry, store: Store, text: str) -> None:
    await open_session(registry)
    refused(await append(registry, text), 422)
    assert rows(store) == [1, 0]


async def test_telemetry_is_accepted_and_nothing_of_it_is_kept(registry: Registry, store: Store) -> None:
    before = sqlite_of(store).total_changes
    for body in (b'{"schema_version": 1, "command": "run"}', b"no JSON", b""):
        answer = await registry.client.post("/api/v1/telemetry/roar", content=body)
        assert (answer.status_code, answer.content) == (204, b"")
    assert (await registry.client.post("/api/v1/telemetry/roar", content=b"0" * 200_000)).status_code == 413
    assert sqlite_of(store).total_changes == before


def _sweep(store: Store, now: float) -> list[list[int]]:
    """Sweep until nothing is left; the numbers of sessions and batches after each slice."""
    seen = []
    while store.write(sweep_slice, now):
        seen.append(rows(store))
    return [found for number, found in enumerate(seen) if number == 0 or found != seen[number - 1]]
