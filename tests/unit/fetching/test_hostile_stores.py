"""Stores that send anything but the object: refused over real sockets, and no credential goes to another host."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import anyio
import pytest
from blake3 import blake3

from roar_publisher.fetching.download import Download, NotFetched, Outcome
from roar_publisher.fetching.folder import TargetFolder
from roar_publisher.fetching.journal import FetchJournal
from roar_publisher.fetching.stored import StoredFile
from roar_publisher.net.exchange import MAX_REPLY_BYTES
from roar_publisher.state.errors import PublisherError
from roar_publisher.storage.destinations import open_readable
from roar_publisher.storage.ranges import RANGE_BYTES
from tests.support.net.servers import SETTINGS, Answer, Asked, Server, serving
from tests.support.storage.servers import AWS

CONTENT = bytes(range(251)) * (RANGE_BYTES // 251 + 100)
"""A little more than a range."""
GZIP_BOMB = b"\x1f\x8b" + bytes(100)
Change = Callable[[Asked, Answer], Answer]


def honest(asked: Asked) -> Answer:
    """Answer as S3 does."""
    if asked.method == "HEAD":
        return 200, {"ETag": '"1"', "Content-Length": str(len(CONTENT))}, b""
    first, last = map(int, asked.headers["range"].removeprefix("bytes=").split("-"))
    piece = CONTENT[first : last + 1]
    return 206, {"ETag": '"1"', "Content-Range": f"bytes {first}-{last}/{len(CONTENT)}"}, piece


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        for name, value in {**AWS, "AWS_ENDPOINT_URL": server.url}.items():
            monkeypatch.setenv(name, value)
        server.answer = honest
        yield server


def fetch(folder: Path) -> PublisherError | None:
    """Fetch the object, and return why it is not there."""
    outcomes: list[Outcome] = []
    file = StoredFile(blake3(CONTENT).hexdigest(), "s3://bucket/x", "x")

    async def main() -> None:
        with TargetFolder.opened(folder) as target:
            journal = FetchJournal(target.journal)
            open_store = partial(open_readable, patience=0.2)
            try:
                await Download(target, journal, open_store, False, outcomes.append, lambda report: None).run([file])
            except PublisherError as problem:
                outcomes.append(NotFetched(file, problem))
            finally:
                journal.close()

    anyio.run(main)
    (outcome,) = outcomes
    return outcome.problem if isinstance(outcome, NotFetched) else None


def test_an_honest_store(store: Server, tmp_path: Path) -> None:
    assert fetch(tmp_path) is None
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert {asked.headers["if-match"] for asked in store.asked if asked.method == "GET"} == {'"1"'}


def with_range(asked: Asked, answer: Answer, text: str) -> Answer:
    return answer[0], {**answer[1], "Content-Range": text}, answer[2]


LIES: Mapping[str, Change] = {
    "another range": lambda asked, answer: with_range(asked, answer, f"bytes 1-{RANGE_BYTES}/{len(CONTENT)}"),
    "another size": lambda asked, answer: with_range(asked, answer, f"bytes 0-{RANGE_BYTES - 1}/{len(CONTENT) + 1}"),
    "no range": lambda asked, answer: (206, {"ETag": '"1"'}, answer[2]),
    "a shorter body": lambda asked, answer: (*answer[:2], answer[2][:-1]),
    "a longer body": lambda asked, answer: (*answer[:2], answer[2] + b"!"),
    "the whole object": lambda asked, answer: (200, {"ETag": '"1"'}, CONTENT),
    "a body without an end": lambda asked, answer: (*answer[:2], bytes(2 * MAX_REPLY_BYTES)),
    "other bytes": lambda asked, answer: (*answer[:2], bytes(len(answer[2]))),
    "another version": lambda asked, answer: (answer[0], {**answer[1], "ETag": '"2"'}, answer[2]),
    "no version": lambda asked, answer: (answer[0], {"Content-Range": answer[1]["Content-Range"]}, answer[2]),
    "a gzip bomb": lambda asked, answer: (answer[0], {**answer[1], "Content-Encoding": "gzip"}, GZIP_BOMB),
    "a precondition that fails": lambda asked, answer: (412, {}, b""),
    "an object that is gone": lambda asked, answer: (404, {}, b""),
    "a multipart range": lambda asked, answer: (206, {"Content-Type": "multipart/byteranges; boundary=x"}, answer[2]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_store_that_lies_about_a_range(store: Server, tmp_path: Path, lie: str) -> None:
    def answer(asked: Asked) -> Answer:
        return LIES[lie](asked, honest(asked)) if asked.method == "GET" else honest(asked)

    store.answer = answer
    assert fetch(tmp_path) is not None
    assert not (tmp_path / "x").exists()


def test_other_bytes_are_not_asked_for_again(store: Server, tmp_path: Path) -> None:
    """Only what an earlier process had written may have been lost by it; a second look would get the same bytes."""
    store.answer = lambda asked: LIES["other bytes"](asked, honest(asked)) if asked.method == "GET" else honest(asked)
    assert fetch(tmp_path) is not None
    assert sum(asked.method == "GET" for asked in store.asked) == 2, "one request a range"


@pytest.mark.parametrize("size", ["9" * 15, "9" * 30, "-1", "x"])
def test_a_store_that_lies_about_the_size(store: Server, tmp_path: Path, size: str) -> None:
    store.answer = lambda asked: (200, {"ETag": '"1"', "Content-Length": size}, b"")
    assert fetch(tmp_path) is not None
    assert [asked.method for asked in store.asked if asked.method != "HEAD"] == [], "nothing is fetched"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_credential_follows_a_redirect_to_another_host(store: Server, tmp_path: Path, status: int) -> None:
    with serving() as other:
        redirect: Answer = (status, {"Location": f"{other.url}/bucket/x?X-Amz-Signature=1"}, b"")

        def answer(method: str, asked: Asked) -> Answer:
            return redirect if asked.method == method else honest(asked)

        for method in ("HEAD", "GET"):
            store.answer = partial(answer, method)
            assert fetch(tmp_path) is not None
        assert other.asked == []
    assert not (tmp_path / "x").exists()
