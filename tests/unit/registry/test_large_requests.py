"""Batches past the usual size, and compressed bodies: what is inflated, what is refused, and what it costs."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Callable

import httpx2
import pytest

from roar_publisher.glaas.wire import BATCH_LIMIT, DEFAULT_BODY_LIMIT
from roar_publisher.registry.accounts.quotas import Amount
from roar_publisher.registry.api.bulk import LargeBodies
from roar_publisher.registry.api.encodings import decoded
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.refusals import Refusal
from tests.support.registry.features import SMALL_REQUESTS
from tests.support.registry.harness import (
    Json,
    Registry,
    Session,
    artifact,
    job,
    link,
    make_registry,
    refused,
    run_inline,
    succeeded,
    uid,
)
from tests.support.registry.legacy import Legacy
from tests.support.registry.people import Ssh

pytestmark = pytest.mark.anyio
LEGACY_HASH = "e" * 64
GZIP = {"Content-Encoding": "gzip"}


def jobs(count: int, size: int = 300) -> list[Json]:
    return [job(n, command="x" * size) for n in range(count)]


async def send(session: Session, path: str, content: bytes, headers: dict[str, str] = GZIP) -> httpx2.Response:
    token = {"Authorization": session.token} if "registration_session_token" in session.opened else {}
    return await session.client.post(session.root + path, content=content, headers=token | headers, auth=session.auth)


# ------------------------------------------------------------ large batches


async def test_batches_of_jobs_and_artifacts_are_read_up_to_the_advertised_size(registry: Registry) -> None:
    session, legacy = await registry.open(), Legacy(registry, LEGACY_HASH)
    await legacy.open()
    several, files = jobs(400), [artifact(n) for n in range(1500)]
    assert all(DEFAULT_BODY_LIMIT < len(json.dumps(some)) < BATCH_LIMIT for some in (several, files))
    assert (await session.add_jobs(*several))["created_count"] == 400
    assert (await session.add_artifacts(*files))["created"] == 1500
    await legacy.add_jobs(*several)
    await legacy.add_artifacts(*files)
    assert (await session.finalize(expected={"jobs": 400}))["staged_counts"]["jobs"] == 400
    too_many = jobs(2000)
    assert len(json.dumps(too_many)) > BATCH_LIMIT
    refused(await (await registry.open()).post("/jobs/batch", {"jobs": too_many}), 413)


@pytest.mark.parametrize("legacy", [False, True])
async def test_a_large_batch_brings_no_item_that_is_larger_than_a_small_one_could(
    registry: Registry, *, legacy: bool
) -> None:
    session, lineage = await registry.open(), Legacy(registry, LEGACY_HASH)
    await lineage.open()
    huge_job = job(1, command="x" * DEFAULT_BODY_LIMIT)
    huge_file = {**artifact(1), "metadata": json.dumps({"x": "x" * DEFAULT_BODY_LIMIT}), "session_hash": LEGACY_HASH}
    for path, body in (("jobs/batch", {"jobs": [job(2), huge_job]}), ("artifacts/batch", {"artifacts": [huge_file]})):
        root = "" if path.startswith("artifacts") else f"sessions/{LEGACY_HASH}/"
        sent = await lineage.post(root + path, body) if legacy else await session.post(f"/{path}", body)
        assert "one of the items exceeds" in refused(sent, 413)
    await session.add_jobs(job(3))
    await session.finalize(expected={"jobs": 1})
    assert (await registry.lineage(LEGACY_HASH))["jobs"] == []


async def test_a_usual_limit_past_that_of_batches_counts_for_them_too(anyio_backend: str, store: Store) -> None:
    registry = make_registry(store, body_limit=2 * BATCH_LIMIT, run=run_inline)
    async with registry.client:
        session = await registry.open()
        several = jobs(2200)
        assert BATCH_LIMIT < len(json.dumps(several)) < 2 * BATCH_LIMIT
        assert (await session.add_jobs(*several))["created_count"] == 2200


async def test_single_requests_keep_the_usual_limit(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    links = [link(n, "/" + "x" * 300) for n in range(400)]
    refused(await session.post(f"/jobs/{uid(1)}/inputs", {"artifacts": links}), 413)
    body = gzip.compress(json.dumps({"artifacts": links}).encode())
    assert len(body) < DEFAULT_BODY_LIMIT
    refused(await send(session, f"/jobs/{uid(1)}/inputs", body), 413)


async def test_while_too_many_large_bodies_are_held_the_usual_limit_applies(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await registry.open()
    large, usual = {"jobs": jobs(400)}, {"jobs": jobs(100)}
    squeezed = gzip.compress(json.dumps(large).encode())
    none_left = LargeBodies(0)
    with monkeypatch.context() as patched:
        patched.setattr(LargeBodies, "limit", none_left.limit)
        refused(await session.post("/jobs/batch", large), 413)
        refused(await send(session, "/jobs/batch", squeezed), 413)
        succeeded(await session.post("/jobs/batch", usual))
    one_left = LargeBodies(1)
    monkeypatch.setattr(LargeBodies, "limit", one_left.limit)
    for _ in range(2):
        succeeded(await session.post("/jobs/batch", large))
        succeeded(await send(session, "/jobs/batch", squeezed))


async def test_small_bodies_do_not_count_as_large_ones(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    class Counting(LargeBodies):
        @property
        def _left(self) -> int:
            return 1

        @_left.setter
        def _left(self, left: int) -> None:
            taken.append(left)

    monkeypatch.setattr(LargeBodies, "limit", Counting(0).limit)
    taken.clear()
    session = await registry.open()
    succeeded(await session.post("/jobs/batch", {"jobs": jobs(100)}))
    assert not taken
    succeeded(await session.post("/jobs/batch", {"jobs": jobs(400)}))
    assert taken


# ------------------------------------------------------------ compressed bodies


async def test_a_compressed_body_has_the_effect_of_the_plain_one(registry: Registry) -> None:
    features = succeeded(await registry.client.get("/api/v1/health"))["features"]
    assert features["request_encodings"] == ["gzip"]
    plain, squeezed = await registry.open(), await registry.open()
    several = jobs(400)
    await plain.add_jobs(*several)
    body = gzip.compress(json.dumps({"jobs": several}).encode(), 1)
    for headers in (GZIP, {"Content-Encoding": "GZip"}):
        reply = succeeded(await send(squeezed, "/jobs/batch", body, headers))
        assert len(reply["job_ids"]) == 400
    assert (await squeezed.finalize())["hash"] == (await plain.finalize())["hash"]


async def test_a_signature_covers_the_bytes_on_the_wire(registry: Registry) -> None:
    session = await registry.open(auth=Ssh(registry.person("alice")))
    body = json.dumps({"jobs": jobs(3)}).encode()
    succeeded(await send(session, "/jobs/batch", gzip.compress(body)))
    alice = registry.person("bob")
    other = await registry.open(auth=Ssh(alice))
    over_plain = alice.signed("POST", f"{other.root}/jobs/batch", body)
    sent = await other.client.post(
        f"{other.root}/jobs/batch", content=gzip.compress(body), headers={**GZIP, "Authorization": over_plain}
    )
    refused(sent, 401)


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "", "gzip;q=1", "x" * 200])
async def test_any_other_encoding_is_415(registry: Registry, encoding: str) -> None:
    session = await registry.open()
    body = json.dumps({"jobs": jobs(3)}).encode()
    sent = await send(session, "/jobs/batch", body, {"Content-Encoding": encoding})
    if not encoding:
        succeeded(sent)
    else:
        refused(sent, 415)
        assert sent.headers["accept-encoding"] == "gzip"


async def test_identity_is_no_encoding(registry: Registry) -> None:
    session = await registry.open()
    body = json.dumps({"jobs": jobs(3)}).encode()
    succeeded(await send(session, "/jobs/batch", body, {"Content-Encoding": "identity"}))


async def test_where_it_is_not_advertised_it_is_415(anyio_backend: str, store: Store) -> None:
    registry = make_registry(store, bulk=SMALL_REQUESTS, run=run_inline)
    async with registry.client:
        session = await registry.open()
        sent = await send(session, "/jobs/batch", gzip.compress(json.dumps({"jobs": jobs(3)}).encode()))
        refused(sent, 415)


def _cut(body: bytes) -> bytes:
    return body[:-9]


def _flipped(body: bytes) -> bytes:
    return body[:-6] + bytes([body[-6] ^ 1]) + body[-5:]


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _flipped,
        lambda body: b"",
        lambda body: gzip.decompress(body),
        lambda body: body + b"x",
        lambda body: body + body,
        lambda body: zlib.compress(gzip.decompress(body)),
    ],
)
async def test_a_broken_stream_is_400_and_nothing_of_it_is_stored(
    registry: Registry, damage: Callable[[bytes], bytes]
) -> None:
    session = await registry.open()
    body = gzip.compress(json.dumps({"jobs": jobs(3)}).encode())
    refused(await send(session, "/jobs/batch", damage(body)), 400)
    await session.add_jobs(job(9))
    await session.finalize(expected={"jobs": 1})


def test_a_bomb_is_not_inflated_past_the_limit() -> None:
    bomb = gzip.compress(b" " * 2**28)
    tracemalloc.start()
    try:
        with pytest.raises(Refusal) as refusal:
            decoded(bomb, ["gzip"], BATCH_LIMIT, ["gzip"])
        assert tracemalloc.get_traced_memory()[1] < 3 * BATCH_LIMIT
    finally:
        tracemalloc.stop()
    assert refusal.value.status == 413


async def test_a_bomb_is_413_and_content_of_exactly_the_limit_is_read(registry: Registry) -> None:
    session = await registry.open()
    refused(await send(session, "/jobs/batch", gzip.compress(b" " * 2**24)), 413)
    body = json.dumps({"jobs": jobs(3)}).encode()
    for spaces, status in ((0, 200), (1, 413)):
        padded = body + b" " * (BATCH_LIMIT - len(body) + spaces)
        assert (await send(session, "/jobs/batch", gzip.compress(padded))).status_code == status


async def test_a_quota_counts_what_was_inflated(anyio_backend: str, store: Store) -> None:
    registry = make_registry(store, quota=Amount(sessions=9, jobs=10_000, bytes=150_000), run=run_inline)
    async with registry.client:
        session = await registry.open()
        several = jobs(400)
        body = gzip.compress(json.dumps({"jobs": several}).encode())
        assert len(body) < 50_000
        refused(await send(session, "/jobs/batch", body), 403)
