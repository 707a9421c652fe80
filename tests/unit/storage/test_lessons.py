"""What an S3-compatible store teaches by refusing: another region, headers that it does not know, what it lacks.

The answers are those of AWS's, Backblaze B2's, Cloudflare's, Ceph's and Google's documentation and bug reports.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from roar_publisher.state.errors import Conclusion, LocalProblem, NeedsUser, Rejected, Transient, UsageProblem
from roar_publisher.state.meanings import MEANINGS, Turn
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.s3_location import BucketLocation, locate
from roar_publisher.storage.transfer import transfer
from tests.support.net.servers import Answer, Asked, Server, serving
from tests.support.storage.memory import MemoryLedger, nothing, write_file
from tests.unit.storage.conftest import PART_BYTES

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("small_parts")]
DENIED = "User: writer is not authorized to perform: s3:PutObject with an explicit deny in a resource-based policy"
LARGE = 5 * PART_BYTES // 2
Refusal = Callable[[Asked], Answer | None]


def error(code: str, message: str = "no", *, more: str = "") -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>".encode()


@dataclass
class Store:
    """A small S3.  refuses: looks at each request first.  tags: whether ETags are MD5s, as without encryption."""

    server: Server
    refuses: Refusal = lambda asked: None
    tags: bool = True
    damages: bool = False
    algorithm: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    parts: dict[int, bytes] = field(default_factory=dict)

    def answer(self, asked: Asked) -> Answer:
        refusal = self.refuses(asked)
        if refusal is not None:
            status, headers, body = refusal
            return status, headers, b"" if asked.method == "HEAD" else body
        path, _, query = asked.target.partition("?")
        parameters = parse_qs(query, keep_blank_values=True)
        if asked.method == "POST" and "uploads" in parameters:
            return 200, {"x-amz-checksum-algorithm": self.algorithm}, b"<R><UploadId>u</UploadId></R>"
        if asked.method == "POST":
            self._keep(path, b"".join(self.parts[number] for number in sorted(self.parts)))
            return 200, {}, f"<R><ETag>{self._tag_of_parts()}</ETag></R>".encode()
        if asked.method == "PUT" and "partNumber" in parameters:
            self.parts[int(parameters["partNumber"][0])] = asked.body
            return 200, {"ETag": self._tag(asked.body)}, b""
        if asked.method == "PUT":
            self._keep(path, asked.body)
            return 200, {"ETag": self._tag(asked.body)}, b""
        return self._read(path, asked)

    def _read(self, path: str, asked: Asked) -> Answer:
        if path not in self.objects:
            return 404, {}, b"" if asked.method == "HEAD" else error("NoSuchKey")
        content = self.objects[path]
        if asked.method == "HEAD":
            return 200, {"Content-Length": str(len(content)), "x-amz-meta-blake3": self.blake3, "ETag": '"odd"'}, b""
        first, last = map(int, asked.headers["range"].removeprefix("bytes=").split("-"))
        return 206, {}, content[first : last + 1]

    blake3: str = ""

    def _keep(self, path: str, content: bytes) -> None:
        self.objects[path] = bytes([content[0] ^ 1]) + content[1:] if self.damages else content

    def _tag(self, content: bytes) -> str:
        return f'"{hashlib.md5(content).hexdigest()}"' if self.tags else '"encrypted"'

    def _tag_of_parts(self) -> str:
        if not self.tags:
            return '"encrypted"'
        digests = b"".join(hashlib.md5(self.parts[number]).digest() for number in sorted(self.parts))
        return f'"{hashlib.md5(digests).hexdigest()}-{len(self.parts)}"'


@pytest.fixture
def store() -> Iterator[Store]:
    with serving() as server:
        found = Store(server)
        server.answer = found.answer
        yield found


async def put(store: Store, folder: Path, size: int = 1000, **environ: str) -> str:
    """Store a file; gives its path on the store."""
    content = await digest_file(write_file(folder / "source", size))
    store.blake3 = content.blake3
    async with await open_store("s3://bucket/run", {"AWS_ENDPOINT_URL": store.server.url} | environ) as opened:
        await transfer(opened, "object", content, MemoryLedger(), parts_at_once=2, advance=nothing)
    return "/bucket/run/object"


def checksum_headers(asked: Asked) -> set[str]:
    return {name for name in asked.headers if name.startswith("x-amz-checksum") or name == "x-amz-sdk-checksum"}


def in_region(asked: Asked) -> str:
    return asked.headers["authorization"].split("/")[2]


REDIRECTS: dict[str, Answer] = {
    "AWS, by header": (301, {"x-amz-bucket-region": "eu-north-1"}, error("PermanentRedirect")),
    "AWS, signed for another": (
        400,
        {"x-amz-bucket-region": "eu-north-1"},
        error("AuthorizationHeaderMalformed", more="<Region>eu-north-1</Region>"),
    ),
    "MinIO, by document": (400, {}, error("AuthorizationHeaderMalformed", more="<Region>eu-north-1</Region>")),
    "a new bucket": (307, {"x-amz-bucket-region": "eu-north-1"}, error("TemporaryRedirect")),
}


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize("kind", REDIRECTS)
async def test_a_bucket_in_another_region_is_followed(kind: str, size: int, store: Store, tmp_path: Path) -> None:
    without_head = "x-amz-bucket-region" not in REDIRECTS[kind][1]

    def refuses(asked: Asked) -> Answer | None:
        if in_region(asked) == "eu-north-1":
            return None
        return (404, {}, b"") if without_head and asked.method == "HEAD" else REDIRECTS[kind]

    store.refuses = refuses
    path = await put(store, tmp_path, size)
    assert store.objects[path] == (tmp_path / "source").read_bytes()
    elsewhere = [asked for asked in store.server.asked if in_region(asked) == "us-east-1"]
    assert len(elsewhere) <= 2, "the wrong region is asked once, and the right one is kept"


async def test_an_unknown_region_needs_the_user(store: Store, tmp_path: Path) -> None:
    store.refuses = lambda asked: None if asked.method == "HEAD" else (301, {}, error("PermanentRedirect"))
    with pytest.raises(NeedsUser) as caught:
        await put(store, tmp_path)
    assert caught.value.reason == Reason.REGION
    assert "AWS_REGION" in caught.value.next_step


async def test_a_region_that_would_be_a_host_is_not_followed(store: Store, tmp_path: Path) -> None:
    evil = {"x-amz-bucket-region": "x.evil.example/"}
    store.refuses = lambda asked: None if asked.method == "HEAD" else (301, evil, error("PermanentRedirect"))
    with pytest.raises(NeedsUser):
        await put(store, tmp_path)


def test_a_bucket_of_aws_that_moves_has_the_address_of_its_region() -> None:
    assert locate("b", "eu-north-1", None, "auto") == BucketLocation(
        "https://b.s3.eu-north-1.amazonaws.com", "eu-north-1"
    )


UNKNOWN_HEADERS: dict[str, Answer] = {
    "B2": (400, {}, error("InvalidArgument", "Unsupported header 'x-amz-checksum-sha256' received for this API call.")),
    "R2": (501, {}, error("NotImplemented", "Header 'x-amz-checksum-sha256' with value 'SHA256' not implemented")),
    "older Ceph": (400, {}, error("InvalidRequest")),
    "Google's interoperable API": (403, {}, error("SignatureDoesNotMatch")),
    "no document": (400, {}, b""),
}


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize("kind", UNKNOWN_HEADERS)
async def test_headers_that_a_store_refuses_are_left_out_from_then_on(
    kind: str, size: int, store: Store, tmp_path: Path
) -> None:
    store.refuses = lambda asked: UNKNOWN_HEADERS[kind] if checksum_headers(asked) else None
    path = await put(store, tmp_path, size)
    assert store.objects[path] == (tmp_path / "source").read_bytes()
    refused = [asked for asked in store.server.asked if checksum_headers(asked)]
    assert len(refused) == len({asked.method for asked in refused}), "each kind of request learns once"
    sent = [asked for asked in store.server.asked if asked.method == "PUT" and asked not in refused]
    assert all("content-md5" in asked.headers for asked in sent)


async def test_a_header_that_is_taken_of_an_object_may_be_refused_of_a_part(store: Store, tmp_path: Path) -> None:
    """R2 takes the checksum of a whole object, and of no part."""
    store.algorithm = "SHA256"
    store.refuses = lambda asked: (
        UNKNOWN_HEADERS["R2"] if "partNumber" in asked.target and checksum_headers(asked) else None
    )
    async with await open_store("s3://bucket/run", {"AWS_ENDPOINT_URL": store.server.url}) as opened:
        for key, size in (("small", 10), ("large", LARGE)):
            content = await digest_file(write_file(tmp_path / key, size))
            await transfer(opened, key, content, MemoryLedger(), parts_at_once=1, advance=nothing)
    assert store.objects["/bucket/run/large"] == (tmp_path / "large").read_bytes()
    (completed,) = [asked.body for asked in store.server.asked if asked.method == "POST" and "uploadId" in asked.target]
    assert b"ChecksumSHA256" not in completed


async def test_what_was_learned_is_not_asked_again(store: Store, tmp_path: Path) -> None:
    store.refuses = lambda asked: UNKNOWN_HEADERS["no document"] if checksum_headers(asked) else None
    content = await digest_file(write_file(tmp_path / "source", 10))
    async with await open_store("s3://bucket/run", {"AWS_ENDPOINT_URL": store.server.url}) as opened:
        for key in ("a", "b", "c"):
            await transfer(opened, key, content, MemoryLedger(), parts_at_once=1, advance=nothing)
    refused = [asked.method for asked in store.server.asked if checksum_headers(asked)]
    assert sorted(refused) == ["HEAD", "PUT"]


async def test_credentials_that_expire_within_a_200_are_renewed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(asked: Asked) -> Answer | None:
        expired = asked.method == "PUT" and "AKIDEXAMPLE12345" in asked.headers["authorization"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDRENEWED12345")
        return (200, {}, error("ExpiredToken")) if expired else None

    store.refuses = refuses
    path = await put(store, tmp_path)
    assert store.objects[path] == (tmp_path / "source").read_bytes()


@pytest.mark.parametrize("size", [1000, LARGE])
async def test_checksums_that_are_not_wanted_are_not_sent(size: int, store: Store, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[default]\nrequest_checksum_calculation = when_required\nresponse_checksum_validation = when_required\n"
    )
    for settings in (
        {"AWS_REQUEST_CHECKSUM_CALCULATION": "WHEN_REQUIRED", "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"},
        {"AWS_CONFIG_FILE": str(config)},
    ):
        store.server.asked.clear()
        store.objects.clear()
        with pytest.MonkeyPatch.context() as patched:
            for name, value in settings.items():
                patched.setenv(name, value)
            await put(store, tmp_path, size)
        assert not any(checksum_headers(asked) for asked in store.server.asked)
        assert all("content-md5" in asked.headers for asked in store.server.asked if asked.method == "PUT")


@pytest.mark.parametrize("name", ["AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_RESPONSE_CHECKSUM_VALIDATION"])
async def test_an_invalid_choice_of_checksums_is_named(
    name: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "sometimes")
    with pytest.raises(UsageProblem, match=name):
        await put(store, tmp_path)


@pytest.mark.parametrize("size", [1000, LARGE])
async def test_without_a_checksum_to_compare_the_object_is_read_back(size: int, store: Store, tmp_path: Path) -> None:
    store.refuses = lambda asked: UNKNOWN_HEADERS["B2"] if checksum_headers(asked) else None
    store.tags = False
    await put(store, tmp_path, size)
    assert [asked for asked in store.server.asked if asked.method == "GET"]


@pytest.mark.parametrize("size", [1000, LARGE])
async def test_an_object_that_reads_back_differently_is_reported(size: int, store: Store, tmp_path: Path) -> None:
    store.refuses = lambda asked: UNKNOWN_HEADERS["B2"] if checksum_headers(asked) else None
    store.tags, store.damages = False, True
    with pytest.raises(Rejected, match="is not what was sent") as caught:
        await put(store, tmp_path, size)
    assert caught.value.reason == Reason.STORED_OBJECT_DIFFERS


async def test_without_permission_to_read_back_the_md5_suffices(store: Store, tmp_path: Path) -> None:
    def refuses(asked: Asked) -> Answer | None:
        if asked.method == "GET":
            return 403, {}, error("AccessDenied")
        return UNKNOWN_HEADERS["B2"] if checksum_headers(asked) else None

    store.refuses, store.tags = refuses, False
    await put(store, tmp_path)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
async def test_an_intermediary_is_waited_for(status: int, store: Store, tmp_path: Path) -> None:
    waited = [(status, {"Content-Type": "text/html"}, b"<html>Sign in to this network</html>")] * 2
    store.refuses = lambda asked: waited.pop() if waited and asked.method == "PUT" else None
    path = await put(store, tmp_path)
    assert store.objects[path] == (tmp_path / "source").read_bytes()


@pytest.mark.parametrize("status", [404, 405, 412])
async def test_a_refusal_without_a_reason_is_resumable(status: int, store: Store, tmp_path: Path) -> None:
    store.refuses = lambda asked: (status, {}, b"") if asked.method == "PUT" else None
    with pytest.raises(Transient) as caught:
        await put(store, tmp_path)
    assert caught.value.reason == Reason.NOT_S3


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        ((404, {}, error("NoSuchBucket")), Reason.NO_BUCKET, "create the bucket"),
        ((403, {}, error("AccessDenied", "User: writer is not authorized")), Reason.ACCESS_DENIED, "permission"),
        ((403, {}, error("AccessDenied", DENIED)), Reason.ACCESS_DENIED, "without headers of its own"),
        ((400, {}, error("KMS.DisabledException", "the key is disabled")), Reason.ACCESS_DENIED, "permission"),
        ((403, {}, error("InvalidAccessKeyId")), Reason.AUTH, "AWS_ACCESS_KEY_ID"),
        ((403, {}, error("SecondLevelDomainForbidden")), Reason.ADDRESSING, "addressing_style virtual"),  # OSS
        ((403, {}, error("PathStyleDomainForbidden")), Reason.ADDRESSING, "addressing_style virtual"),  # COS
        ((403, {}, error("InvalidPathAccess")), Reason.ADDRESSING, "addressing_style virtual"),  # TOS
    ],
)
async def test_what_the_user_can_change_needs_the_user(
    answer: Answer, reason: Reason, words: str, store: Store, tmp_path: Path
) -> None:
    store.refuses = lambda asked: None if asked.method == "HEAD" else answer
    with pytest.raises(NeedsUser) as caught:
        await put(store, tmp_path)
    assert caught.value.reason == reason
    assert (MEANINGS[reason].turn, MEANINGS[reason].conclusion) == (Turn.USER, Conclusion.NEEDS_USER)
    assert words in caught.value.next_step
    store.refuses = lambda asked: None
    await put(store, tmp_path)


@pytest.mark.parametrize(
    ("status", "document", "words"),
    [
        (403, b"<Error><Code>QuotaExceeded</Code><BucketName>b</BucketName></Error>", "(QuotaExceeded)"),  # Ceph's
        (400, error("XMinioAdminBucketQuotaExceeded"), "(XMinioAdminBucketQuotaExceeded: no)"),
    ],
)
async def test_a_full_bucket_is_not_a_final_refusal(
    status: int, document: bytes, words: str, store: Store, tmp_path: Path
) -> None:
    store.refuses = lambda asked: None if asked.method == "HEAD" else (status, {}, document)
    with pytest.raises(LocalProblem, match=re.escape(f"is full {words}")) as caught:
        await put(store, tmp_path)
    assert (caught.value.reason, caught.value.conclusion) == (Reason.DISK_FULL, Conclusion.INTERRUPTED)
    assert "quota" in caught.value.next_step
    store.refuses = lambda asked: None
    await put(store, tmp_path)


async def test_a_key_service_that_is_busy_is_waited_for(store: Store, tmp_path: Path) -> None:
    busy: list[Answer] = [(400, {}, error("KMS.ThrottlingException"))] * 2
    store.refuses = lambda asked: busy.pop() if busy and asked.method == "PUT" else None
    path = await put(store, tmp_path)
    assert store.objects[path] == (tmp_path / "source").read_bytes()


async def test_a_wrong_clock_is_reported(store: Store, tmp_path: Path) -> None:
    store.refuses = lambda asked: (403, {}, error("RequestTimeTooSkewed"))
    with pytest.raises(LocalProblem) as caught:
        await put(store, tmp_path)
    assert (caught.value.reason, caught.value.next_step) == (Reason.CLOCK, "set this machine's clock")
