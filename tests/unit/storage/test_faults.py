"""Uploads through a proxy that breaks them: what arrives is whole, once, and what cannot go on says why."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.net.exchange import Reply
from roar_publisher.net.policy import MAX_ATTEMPTS
from roar_publisher.state.errors import NeedsUser, PublisherError, Rejected, Transient
from roar_publisher.storage.destinations import ignore_report, open_store
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.http import StoreConnection, StoreRequest
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.s3 import S3Store
from roar_publisher.storage.s3_account import open_account
from roar_publisher.storage.store import ObjectStore, UploadVanished
from roar_publisher.storage.transfer import transfer
from tests.support.storage.memory import MemoryLedger, nothing, write_file
from tests.support.storage.proxy import Fault, Proxy, once
from tests.support.storage.servers import AWS, BUCKET
from tests.unit.storage.conftest import PART_BYTES, Place

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("small_parts")]
LARGE = 5 * PART_BYTES // 2
PART, COMPLETION, ALWAYS = "partNumber", "?uploadId", 1_000_000


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roar_publisher.net.retry.backoff", lambda attempt, rng: 0.0)
    monkeypatch.setattr("roar_publisher.net.gate.FIRST_PROBE_SECONDS", 0.01)
    monkeypatch.setattr("roar_publisher.net.gate.LONGEST_PROBE_SECONDS", 0.05)


def proxy_of(place: Place) -> Proxy:
    assert place.proxy is not None
    return place.proxy


async def upload(place: Place, path: str, ledger: MemoryLedger | None = None) -> None:
    async with place.store() as store:
        await send(store, path, ledger)


async def send(store: ObjectStore, path: str, ledger: MemoryLedger | None = None) -> None:
    content = await digest_file(path, md5=store.needs_md5)
    stored = await transfer(store, "object", content, ledger or MemoryLedger(), parts_at_once=3, advance=nothing)
    assert store.matches(stored, content)


def sent_parts(proxy: Proxy) -> int:
    return sum(seen.method == "PUT" and seen.body_bytes > PART_BYTES // 4 for seen in proxy.seen)


def bytes_of(path: str) -> bytes:
    return Path(path).read_bytes()


@pytest.mark.parametrize(
    "fault", [Fault.RESET, Fault.CUT_BODY, Fault.LOST_REPLY, Fault.CUT_REPLY, Fault.SLOW_DOWN], ids=lambda f: f.name
)
async def test_a_part_that_fails_is_sent_again_alone(s3_place: Place, tmp_path: Path, fault: Fault) -> None:
    path = write_file(tmp_path / "source", LARGE)
    proxy = proxy_of(s3_place)
    proxy.plan = once(fault, "PUT", PART)
    await upload(s3_place, path)
    assert s3_place.read("object") == bytes_of(path)
    assert sent_parts(proxy) <= 4, [f"{seen.method} {seen.path}" for seen in proxy.seen]


async def test_every_part_can_be_verified_by_the_store(s3_place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", LARGE)
    await upload(s3_place, path)
    newer = "x-amz-checksum-sha256" if s3_place.name == "s3-moto" else "content-md5"
    checks = [seen.checks for seen in proxy_of(s3_place).seen if seen.method == "PUT"]
    assert checks == [{"x-amz-content-sha256", newer}] * 3


async def test_a_body_damaged_in_transit_is_sent_again(s3_place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", 1000)
    proxy = proxy_of(s3_place)
    proxy.plan = once(Fault.DAMAGED, "PUT", "object")
    await upload(s3_place, path)
    assert s3_place.read("object") == bytes_of(path)
    assert sum(seen.method == "PUT" for seen in proxy.seen) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault.LOST_REPLY,
        Fault.CUT_REPLY,
        Fault.RESET,
        Fault.SLOW_DOWN,
        Fault.INTERNAL_IN_200,
        Fault.WHITE_SPACE,
        Fault.INTERNAL_AFTER_WHITE_SPACE,
    ],
)
async def test_a_completion_without_a_reply_is_recognised(s3_place: Place, tmp_path: Path, fault: Fault) -> None:
    path = write_file(tmp_path / "source", LARGE)
    proxy = proxy_of(s3_place)
    proxy.plan = once(fault, "POST", COMPLETION)
    await upload(s3_place, path)
    assert s3_place.read("object") == bytes_of(path)
    assert sent_parts(proxy) == 3
    assert sum(seen.path.endswith("?uploads=") for seen in proxy.seen) == 1


async def test_an_unrecorded_completion_is_recognised(place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", LARGE)
    ledger = MemoryLedger()
    await upload(place, path, ledger)
    assert await ledger.upload() is not None, "the ledger still has the upload"
    await upload(place, path, ledger)
    if place.proxy:
        assert sent_parts(place.proxy) == 3


async def test_a_request_to_a_silent_store_times_out_and_is_repeated(s3_place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", LARGE)
    proxy = proxy_of(s3_place)
    proxy.plan = once(Fault.STALL, "PUT", PART)
    async with s3_store(s3_place) as store:
        await send(store, path)
    assert s3_place.read("object") == bytes_of(path)


async def test_credentials_that_expire_within_a_file_are_renewed(
    s3_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_file(tmp_path / "source", LARGE)
    proxy = proxy_of(s3_place)
    expired = once(Fault.EXPIRED, "PUT", "partNumber=2")

    def plan(seen: object) -> Fault | None:
        fault = expired(seen)  # type: ignore[arg-type]
        if fault:
            monkeypatch.setenv("AWS_SESSION_TOKEN", "the-next-session")
        return fault

    proxy.plan = plan
    await upload(s3_place, path)
    assert s3_place.read("object") == bytes_of(path)
    assert sent_parts(proxy) == 4
    posts = [seen.authorization for seen in proxy.seen if seen.method == "POST"]
    assert ["x-amz-security-token" in signed for signed in posts] == [False, True]


async def test_credentials_that_stay_expired_need_the_user(s3_place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", LARGE)
    proxy_of(s3_place).plan = once(Fault.EXPIRED, "PUT", PART, ALWAYS)
    with pytest.raises(NeedsUser, match="expired"):
        await upload(s3_place, path)


async def test_a_head_with_expired_credentials_needs_the_user(s3_place: Place) -> None:
    proxy_of(s3_place).plan = once(Fault.EXPIRED, "HEAD", "", ALWAYS)
    async with s3_place.store() as store:
        with pytest.raises(NeedsUser, match="expired"):
            await store.stat("object")


async def test_a_completion_with_another_checksum_is_verified(
    s3_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roar_publisher.storage.s3.assembled_in", lambda reply: ("etag:other", "other"))
    await upload(s3_place, write_file(tmp_path / "source", LARGE))

    other = StoredObject(LARGE, "", "f" * 64)
    monkeypatch.setattr("roar_publisher.storage.s3.stored_in", lambda reply: other)
    with pytest.raises(Rejected, match="is not what was sent"):
        await upload(s3_place, write_file(tmp_path / "source", LARGE, seed=2))


@pytest.mark.parametrize("headers", [{"range": "bytes=0-262143"}, {}])
async def test_a_session_that_accepts_no_more_data_fails(
    gs_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    async with gs_place.store() as store:
        content = await digest_file(write_file(tmp_path / "source", LARGE), md5=True)
        session = await store.begin("object", content)
        asked = 0

        async def stuck(self: StoreConnection, *arguments: object, **options: object) -> Reply:
            nonlocal asked
            asked += 1
            return Reply(308, headers, b"")

        monkeypatch.setattr(StoreConnection, "call", stuck)
        with pytest.raises(Transient, match="accepts no more data"):
            await store.put_part(session, 1, content.part(1), lambda sent: None)
    assert asked <= MAX_ATTEMPTS + 1


async def test_a_reply_that_forgets_what_a_session_has_costs_nothing(
    gs_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, sent, forgotten = StoreConnection.call, list[str](), list[Reply]()

    async def forgetful(
        self: StoreConnection, prepare: Callable[[], Awaitable[StoreRequest]], *arguments: Any, **options: Any
    ) -> Reply:
        requests = list[StoreRequest]()

        async def noted() -> StoreRequest:
            requests.append(await prepare())
            return requests[-1]

        reply = await call(self, noted, *arguments, **options)
        stated = requests[-1].headers.get("Content-Range", "")
        sent.append(stated)
        if reply.status == 308 and not stated.startswith(("bytes 0-", "bytes */")) and not forgotten:
            forgotten.append(reply)
            return Reply(308, {}, b"")
        return reply

    async with gs_place.store() as store:
        content = await digest_file(write_file(tmp_path / "source", LARGE), md5=True)
        session = await store.begin("object", content)
        monkeypatch.setattr(StoreConnection, "call", forgetful)
        for number in range(1, len(content.part_blake3s) + 1):
            await store.put_part(session, number, content.part(number), lambda sent: None)
        assert (await store.complete(session, content, {})).size == LARGE
    assert forgotten
    chunks = [stated for stated in sent if stated.startswith("bytes ") and "*" not in stated]
    assert len(chunks) == len(set(chunks)) == len(content.part_blake3s)


async def test_a_copy_without_progress_is_abandoned(
    gs_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replies = [b'{"done": false, "totalBytesRewritten": "1", "rewriteToken": "t"}'] * 2

    async def slow(self: StoreConnection, *arguments: object, **options: object) -> Reply:
        return Reply(200, {}, replies.pop())

    async with gs_place.store() as store:
        content = await digest_file(write_file(tmp_path / "source", 1000), md5=True)
        monkeypatch.setattr(StoreConnection, "call", slow)
        assert await store.copy("a", "b", content) is None
    assert replies == []


async def test_a_wrong_secret_needs_the_user(
    rclone_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret-of-anybody")
    path = write_file(tmp_path / "source", LARGE)
    async with await open_store(f"s3://{BUCKET}/wrong", {"AWS_ENDPOINT_URL": rclone_proxy.url}) as store:
        with pytest.raises(NeedsUser, match="credentials") as caught:
            await send(store, path)
    assert "not-the-secret" not in str(caught.value)


async def test_missing_credentials_need_the_user(moto_proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    async with await open_store(f"s3://{BUCKET}", {"AWS_ENDPOINT_URL": moto_proxy.url}) as store:
        with pytest.raises(NeedsUser, match="no AWS credentials"):
            await store.stat("object")


async def test_a_missing_bucket_is_reported(moto_proxy: Proxy, gcs_proxy: Proxy, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", 10)
    environ = {"AWS_ENDPOINT_URL": moto_proxy.url, "STORAGE_EMULATOR_HOST": gcs_proxy.url}
    for scheme in ("s3", "gs"):
        async with await open_store(f"{scheme}://nobodys-bucket/x", environ) as store:
            with pytest.raises(NeedsUser, match="the bucket does not exist") as caught:
                await send(store, path)
        assert caught.value.reason == "no bucket"


@pytest.mark.parametrize(
    "fault", [Fault.RESET, Fault.CUT_BODY, Fault.LOST_REPLY, Fault.CUT_REPLY, Fault.SLOW_DOWN], ids=lambda f: f.name
)
@pytest.mark.parametrize("place_in_file", ["bytes 0-", "bytes 8388608-", "bytes 16777216-"])
async def test_a_session_continues_where_it_was(
    gs_place: Place, tmp_path: Path, fault: Fault, place_in_file: str
) -> None:
    path = write_file(tmp_path / "source", LARGE)
    proxy = proxy_of(gs_place)
    proxy.plan = once(fault, "PUT", place_in_file)
    await upload(gs_place, path)
    assert gs_place.read("object") == bytes_of(path)
    assert sent_parts(proxy) <= 4
    assert sum("uploadType=resumable&name" in seen.path and seen.method == "POST" for seen in proxy.seen) == 1


async def test_a_session_that_lost_bytes_is_restarted(gs_place: Place, tmp_path: Path) -> None:
    path = write_file(tmp_path / "source", LARGE)
    async with gs_place.store() as store:
        content = await digest_file(path, md5=True)
        begun = await store.begin("object", content)
        assert await store.parts(begun) == {}
        with pytest.raises(UploadVanished):
            await store.put_part(begun, 2, content.part(2), lambda sent: None)
    assert sent_parts(proxy_of(gs_place)) == 0


async def test_nothing_that_is_logged_or_shown_holds_a_secret(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_file(tmp_path / "source", LARGE)
    ledger = MemoryLedger()
    shown = [place.name]
    with caplog.at_level(logging.DEBUG):
        async with place.store() as store:
            await send(store, path, ledger)
            begun = await ledger.upload()
            shown += [repr(store), repr(vars(store)), repr(begun)]
            if place.proxy:
                place.proxy.plan = once(Fault.RESET, "HEAD", "", ALWAYS)
            try:
                await store.stat("object")
            except PublisherError as error:
                shown += [str(error), repr(error), repr(error.__cause__), repr(error.__context__)]
    text = "\n".join(shown) + caplog.text
    assert AWS["AWS_SECRET_ACCESS_KEY"] not in text
    assert "Signature=" not in text
    assert begun is not None
    assert begun.id not in text


@asynccontextmanager
async def s3_store(place: Place) -> AsyncIterator[S3Store]:
    """The store of a place, which is silent after a time in which it has long answered on a busy machine, too."""
    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    account = await open_account(bucket, place.environ)
    wire = StoreConnection(connections=4, report=ignore_report, patience=60.0, reply_seconds=5.0)
    async with S3Store(bucket, prefix, account, wire) as store:
        yield store
