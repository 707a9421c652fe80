"""Stores that refuse to show or to send an object: what is reported, and that other objects are not concerned.

The answers are those of S3's and Google's documentation, and of bug reports of their clients (boto3, gcsfs, DVC).
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from blake3 import blake3

from roar_publisher.fetching.download import Arrived, Download, NotFetched, Outcome
from roar_publisher.fetching.folder import TargetFolder
from roar_publisher.fetching.journal import FetchJournal
from roar_publisher.fetching.stored import StoredFile
from roar_publisher.state.errors import LocalProblem, NeedsUser, PublisherError, Rejected, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.destinations import open_readable
from roar_publisher.storage.ranges import ObjectChanged
from roar_publisher.storage.readable import ReadableStore, StoredObject
from roar_publisher.storage.s3_location import locate
from tests.support.net.servers import Answer, Asked, Server

pytestmark = pytest.mark.anyio
CONTENT = b"0123456789"
SKEWED = "RequestTimeTooSkewed"


def piece_of(content: bytes, asked: Asked) -> tuple[dict[str, str], bytes]:
    first, last = map(int, asked.headers["range"].removeprefix("bytes=").split("-"))
    piece = content[first : last + 1]
    return {"Content-Range": f"bytes {first}-{first + len(piece) - 1}/{len(content)}"}, piece


def s3(asked: Asked, tag: str = '"one"') -> Answer:
    """Answer as S3 does, with one content under every key, and with a refusal under that of an error code."""
    code = asked.target.rpartition("/")[2]
    if code[:1].isupper():
        return (400 if code == "ExpiredToken" else 403), {}, f"<Error><Code>{code}</Code></Error>".encode()
    if "list-type" in asked.target:
        return 403, {}, b"<Error><Code>AccessDenied</Code></Error>"
    if asked.method == "HEAD":
        return 200, {"ETag": tag, "Content-Length": str(len(CONTENT))}, b""
    headers, piece = piece_of(CONTENT, asked)
    return 206, {"ETag": tag, **headers}, piece


@pytest.mark.parametrize("place", ["s3://bucket", "gs://bucket"])
async def test_a_missing_object_is_not_a_missing_bucket(server: Server, place: str) -> None:
    """A bucket does not exist either where the endpoint is another one: that says nothing of the object."""
    words = {"bucket": "The specified bucket does not exist.", "object": "No such object: bucket/x"}
    missing = "object"

    def answer(asked: Asked) -> Answer:
        code = {"bucket": "NoSuchBucket", "object": "NoSuchKey"}[missing]
        document = (
            f"<Error><Code>{code}</Code></Error>"
            if place.startswith("s3")
            else f'{{"error":{{"code":404,"message":"{words[missing]}"}}}}'
        )
        return 404, {}, b"" if asked.method == "HEAD" else document.encode()

    server.answer = answer
    async with await open_readable(place, patience=1.0) as store:
        assert [await store.look(key) for key in ("x", "y")] == [None, None]
    missing = "bucket"
    async with await open_readable(place, patience=1.0) as store:
        for key in ("x", "y"):
            with pytest.raises(Rejected, match=r"bucket of .* does not exist") as caught:
                await store.look(key)
            variable = "AWS_ENDPOINT_URL" if place.startswith("s3") else "STORAGE_EMULATOR_HOST"
            assert variable in caught.value.next_step


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        ("AccessDenied", Rejected, Reason.REJECTED),
        (SKEWED, LocalProblem, Reason.CLOCK),
        ("SignatureDoesNotMatch", NeedsUser, Reason.AUTH),
        ("InvalidAccessKeyId", NeedsUser, Reason.AUTH),
    ],
)
async def test_a_refused_look_says_what_only_the_answer_to_a_get_says(
    server: Server, code: str, kind: type[PublisherError], reason: Reason
) -> None:
    """A HEAD has no document: boto3 calls every one of these "403 Forbidden" (boto3 issue 3982)."""
    server.answer = s3
    async with await open_readable("s3://bucket", patience=1.0) as store:
        with pytest.raises(kind) as caught:
            await store.look(code)
    assert caught.value.reason is reason


async def test_one_archived_or_encrypted_object_does_not_stop_the_others(server: Server, tmp_path: Path) -> None:
    """A HEAD shows an object of Glacier, and one whose key may not be used; a GET of it is refused."""

    def answer(asked: Asked) -> Answer:
        return s3(Asked(asked.method, "/bucket/x", asked.headers, b"")) if asked.method == "HEAD" else s3(asked)

    server.answer = answer
    names = ["InvalidObjectState", "KMS.DisabledException", "AccessDenied", "x"]
    digest = blake3(CONTENT).hexdigest()
    outcomes: dict[str, Outcome] = {}

    def on_outcome(outcome: Outcome) -> None:
        assert isinstance(outcome.file, StoredFile)
        outcomes[outcome.file.name] = outcome

    with TargetFolder.opened(tmp_path) as target:
        journal = FetchJournal(target.journal)
        for name in names:
            file = StoredFile(digest, f"s3://bucket/{name}", name)
            open_store = partial(open_readable, patience=1.0)
            await Download(target, journal, open_store, False, on_outcome, lambda report: None).run([file])
        journal.close()
    assert isinstance(outcomes.pop("x"), Arrived)
    problems = [outcome.problem for outcome in outcomes.values() if isinstance(outcome, NotFetched)]
    assert len(problems) == 3
    assert "archive" in problems[0].what
    assert all("may not be read" in problem.what for problem in problems[1:])
    assert not any("written" in problem.what for problem in problems)


async def test_an_object_without_a_size_is_not_empty(server: Server) -> None:
    """A gateway that may compress leaves the length out of its answer to a HEAD."""

    server.answer = lambda asked: (200, {"ETag": '"one"', "Content-Length": ""}, b"")
    async with await open_readable("s3://bucket", patience=1.0) as store:
        with pytest.raises(Rejected, match="how large"):
            await store.look("x")


async def test_a_weak_tag_of_a_proxy_is_that_of_the_store(server: Server) -> None:
    server.answer = partial(s3, tag='W/"one"')
    async with await open_readable("s3://bucket", patience=1.0) as store:
        found = await store.look("x")
        assert found is not None
        assert await store.read("x", 2, 4, found) == CONTENT[2:6]
        assert server.asked[-1].headers["if-match"] == '"one"'
        server.answer = partial(s3, tag='W/"two"')
        with pytest.raises(ObjectChanged):
            await store.read("x", 2, 4, found)


@pytest.mark.parametrize("bucket", ["mine--usw2-az1--x-s3", "mine--usw2-az1--xa-s3"])
def test_a_directory_bucket_is_refused_before_it_is_asked(bucket: str) -> None:
    with pytest.raises(UsageProblem, match="directory bucket"):
        locate(bucket, "us-west-2", None, "auto")
    locate(bucket, "us-west-2", "https://store.example", "auto")


# ---------------------------------------------------------------- Google


@dataclass
class Google:
    """Objects as Google serves them: a generation that is gone is not there, and gzip is undone unless accepted."""

    generation: int = 1
    gzipped: bool = False
    refused: int = 0
    plain: bytes = b"what a client that accepts no gzip gets"

    def answer(self, asked: Asked) -> Answer:
        query = parse_qs(asked.target.partition("?")[2])
        if asked.method == "GET" and query.get("alt") != ["media"]:
            return 200, {}, f'{{"size": "{len(CONTENT)}", "generation": "{self.generation}"}}'.encode()
        if query.get("generation", [str(self.generation)]) != [str(self.generation)]:
            return 404, {}, b'{"error": {"code": 404, "message": "No such object"}}'
        if self.refused:
            return self.refused, {}, b'{"error": {"code": 403, "message": "no storage.objects.get access"}}'
        if self.gzipped and "gzip" not in asked.headers.get("accept-encoding", ""):
            return 200, {"X-Goog-Stored-Content-Encoding": "gzip"}, self.plain
        headers, piece = piece_of(CONTENT, asked)
        return 206, {**headers, **({"Content-Encoding": "gzip"} if self.gzipped else {})}, piece


@pytest.fixture
def google(server: Server) -> Google:
    google = Google()
    server.answer = google.answer
    return google


async def looked_at(store: ReadableStore) -> StoredObject:
    found = await store.look("x")
    assert found is not None
    return found


async def test_an_object_stored_as_gzip_is_read_as_it_is_stored(google: Google) -> None:
    """Google undoes the encoding, and ignores the range, for who accepts no gzip (gcsfs issues 233, 461, 512)."""
    google.gzipped = True
    async with await open_readable("gs://bucket", patience=1.0) as store:
        assert await store.read("x", 2, 4, await looked_at(store)) == CONTENT[2:6]


async def test_a_generation_that_was_replaced_is_not_read(google: Google) -> None:
    async with await open_readable("gs://bucket", patience=1.0) as store:
        found = await looked_at(store)
        google.generation = 2
        with pytest.raises(ObjectChanged):
            await store.read("x", 2, 4, found)
        assert await store.read("x", 2, 4, await looked_at(store)) == CONTENT[2:6]


async def test_an_object_of_google_that_may_not_be_read_concerns_it_alone(google: Google) -> None:
    async with await open_readable("gs://bucket", patience=1.0) as store:
        found = await looked_at(store)
        google.refused = 403
        with pytest.raises(Rejected, match=r"may not be read.*storage\.objects\.get"):
            await store.read("x", 2, 4, found)
