"""What a destination says is where it is stored: what could end up elsewhere is refused, and the path on the wire is
the one that was signed and recorded."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from roar_publisher.state.errors import UsageProblem
from roar_publisher.storage.addresses import Destination, parse_destination, parse_object
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.store import LONGEST_KEY_BYTES
from roar_publisher.storage.transfer import transfer
from tests.support.net.servers import Asked, Server, serving
from tests.support.storage.memory import MemoryLedger, nothing, write_file

POINT = "arn:aws:s3:eu-west-1:123456789012:accesspoint/my-point"
OUTPOST = "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01234567890123456/accesspoint/point"


@pytest.mark.parametrize("place", ["s3://bucket/{}", "gs://bucket/{}", "file:///folder/{}", "/folder/{}"])
@pytest.mark.parametrize(
    "path", ["..", ".", "a/..", "../b", "a/../b", "a/./b", "./a", "/a", "a//b", "a//", "//", "a\tb", "a\nb", "a\x7f"]
)
def test_a_path_that_could_end_up_elsewhere_is_refused(place: str, path: str) -> None:
    with pytest.raises(UsageProblem):
        parse_destination(place.format(path))


@pytest.mark.parametrize(
    "url",
    [
        "//folder",
        "//host/share",
        "file:////folder",
        "file:///folder/%2e%2e/other",
        "file:///folder/a%2F%2Fb",
        "file:///folder/a%00b",
        "s3://../other/x",
        "s3://./x",
        "gs://../other",
        "s3://bu cket/x",
        "s3://bücket/x",
        "s3://bucket:80/x",
        "s3://b%2e%2e/x",
        "s3://bucket/x?",
        "s3://bucket/x#",
        "s3://bucket/\udcff",
        "file:///folder/\udcff",
        "s3://arn:aws:s3:eu-west-1:123:bucket/x",
        "s3://arn:aws:iam::123456789012:role/x",
        f"s3://{POINT}.evil:80/x",
        f"gs://{POINT}",
    ],
)
def test_an_ambiguous_destination_is_refused(url: str) -> None:
    with pytest.raises(UsageProblem):
        parse_destination(url)


@pytest.mark.parametrize(
    ("parse", "url", "what"),
    [
        (parse_destination, "ftp://host/x", "of this kind are not supported"),
        (parse_destination, "s3:///x", "names no bucket"),
        (parse_destination, "gs://", "names no bucket"),
        (parse_destination, "s3://user:secret@bucket/x", "contains a user name"),
        (parse_destination, "file://server/x", "not the address of a folder of this machine"),
        (parse_destination, "file:///folder/a%00b", "contains a control character"),
        (parse_object, "s3://bucket", "names no object"),
        (parse_object, "s3://bucket/folder/", "names no object"),
        (parse_object, "file:///", "names no object"),
        (parse_object, "https://user:secret@host/x", "contains a user name"),
        (parse_object, "https://host:port/x", "names no server"),
    ],
)
def test_what_is_wrong_with_an_address_is_named(parse: Callable[[str], Destination], url: str, what: str) -> None:
    with pytest.raises(UsageProblem, match=what) as caught:
        parse(url)
    assert "secret" not in caught.value.detail


@pytest.mark.parametrize("mark", ["?", "#"])
def test_a_character_that_ends_a_path_is_named(mark: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        parse_destination(f"s3://bucket/run{mark}1")
    assert f"'{mark}'" in caught.value.what
    assert f"'{mark}'" in caught.value.next_step


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("s3://bucket/a/b/", Destination("s3", "bucket", "a/b")),
        ("s3://bucket/...", Destination("s3", "bucket", "...")),
        ("s3://bucket/a..b/.c", Destination("s3", "bucket", "a..b/.c")),
        ("s3://bucket/%2e%2e/x", Destination("s3", "bucket", "%2e%2e/x")),
        (f"s3://{POINT}/run/7", Destination("s3", POINT, "run/7")),
        (f"s3://{POINT.replace('/my', ':my')}", Destination("s3", POINT.replace("/my", ":my"), "")),
        (f"s3://{OUTPOST}/run", Destination("s3", OUTPOST, "run")),
        ("file:///folder/%ff", Destination("file", "", "/folder/\udcff")),
        ("/", Destination("file", "", "/")),
    ],
)
def test_an_unambiguous_destination_is_parsed(url: str, address: Destination) -> None:
    assert parse_destination(url) == address


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["s3://bucket/run", "gs://bucket/run", "/folder/run"])
@pytest.mark.parametrize("key", ["..", "../x", "a/../x", "a//x", "/x", "x/", ".", "", "x\0"])
async def test_a_key_that_leaves_its_destination_is_refused(url: str, key: str) -> None:
    async with await open_store(url, {}) as store:
        with pytest.raises(UsageProblem, match="is not a key"):
            store.url(key)


@pytest.mark.anyio
async def test_prefix_and_key_together_have_the_stores_limit() -> None:
    async with await open_store(f"s3://bucket/{'p' * 600}", {}) as store:
        assert store.url("k" * (LONGEST_KEY_BYTES - 601))
        with pytest.raises(UsageProblem, match="longer than"):
            store.url("k" * (LONGEST_KEY_BYTES - 600))


def content_at(url: str) -> bytes:
    return Path(unquote(url.removeprefix("file://"))).read_bytes()


@pytest.mark.anyio
async def test_the_address_in_a_folder_is_a_url_that_leads_there(tmp_path: Path) -> None:
    async with await open_store(str(tmp_path / "a b"), {}) as store:
        content = await digest_file(write_file(tmp_path / "source", 10))
        await transfer(store, "c%20 d", content, MemoryLedger(), parts_at_once=1, advance=nothing)
        assert content_at(store.url("c%20 d")) == content_at(f"file://{tmp_path}/source")


@pytest.mark.anyio
@pytest.mark.parametrize("above", ["", "below"])
async def test_a_destination_that_is_a_file_is_refused_before_anything_is_read(tmp_path: Path, above: str) -> None:
    path = Path(write_file(tmp_path / "model.bin", 10)) / above
    async with await open_store(str(path), {}) as store:
        with pytest.raises(UsageProblem, match=re.escape("model.bin is a file")):
            await store.check()


@pytest.fixture
def bucket() -> Iterator[Server]:
    """What answers as S3 does to whatever it is asked for."""
    with serving() as server:
        server.answer = lambda asked: (404 if asked.method == "HEAD" else 200, {"ETag": '"e"'}, b"")
        yield server


def signed_path(asked: Asked) -> str:
    """The path that a request's signature is for, by botocore's own verification of it."""
    from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
    from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
    from botocore.credentials import Credentials  # type: ignore[import-untyped]

    path = asked.target.partition("?")[0]
    names = asked.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    signer = S3SigV4Auth(Credentials("AKIDEXAMPLE12345", "SECRETEXAMPLE12345"), "s3", "us-east-1")
    signer.payload = lambda request: asked.headers["x-amz-content-sha256"]
    url = f"http://{asked.headers['host']}{asked.target}"
    request = AWSRequest(asked.method, url, headers={name: asked.headers[name] for name in names if name != "host"})
    request.context["timestamp"] = asked.headers["x-amz-date"]
    canonical = signer.canonical_request(request)
    expected = signer.signature(signer.string_to_sign(request, canonical), request)
    return path if asked.headers["authorization"].endswith(f"Signature={expected}") else "signed for another path"


@pytest.mark.anyio
@pytest.mark.parametrize("prefix", ["run", "a b", "%2e%2e/x", "...", "ünï/~", "a+b=c&d;e", "(1)'!*", "a%2Fb"])
async def test_the_path_on_the_wire_is_the_one_that_is_signed_and_recorded(
    prefix: str, bucket: Server, tmp_path: Path
) -> None:
    content = await digest_file(write_file(tmp_path / "source", 10))
    async with await open_store(f"s3://bucket/{prefix}", {"AWS_ENDPOINT_URL": f"{bucket.url}/s3"}) as store:
        await transfer(store, "k %41.bin", content, MemoryLedger(), parts_at_once=1, advance=nothing)
        recorded = store.url("k %41.bin").removeprefix("s3://")
    assert [asked.method for asked in bucket.asked] == ["HEAD", "PUT"]
    for asked in bucket.asked:
        assert unquote(asked.target) == f"/s3/{recorded}"
        assert signed_path(asked) == asked.target


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/a/../b", "/a//b", "/./a", "/a b", "/ü"])
async def test_an_endpoint_with_an_ambiguous_path_is_refused(path: str, bucket: Server) -> None:
    with pytest.raises(UsageProblem, match="AWS_ENDPOINT_URL"):
        await open_store("s3://bucket/run", {"AWS_ENDPOINT_URL": bucket.url + path})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("arn", "host", "signed_for"),
    [
        (POINT, "my-point-123456789012.s3-accesspoint.eu-west-1.amazonaws.com", ("eu-west-1", "s3")),
        (
            OUTPOST,
            "point-123456789012.op-01234567890123456.s3-outposts.us-west-2.amazonaws.com",
            ("us-west-2", "s3-outposts"),
        ),
        (
            POINT.replace("aws:s3:eu-west-1", "aws-cn:s3:cn-north-1"),
            "my-point-123456789012.s3-accesspoint.cn-north-1.amazonaws.com.cn",
            ("cn-north-1", "s3"),
        ),
    ],
)
async def test_an_access_point_is_where_aws_says(arn: str, host: str, signed_for: tuple[str, str]) -> None:
    from roar_publisher.storage.s3_account import open_account

    place = (await open_account(arn, {})).place
    assert (place.base, (place.region, place.service)) == (f"https://{host}", signed_for)


@pytest.mark.anyio
async def test_a_multi_region_access_point_is_refused_clearly() -> None:
    with pytest.raises(UsageProblem, match="multi-region access point") as caught:
        await open_store("s3://arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap/run", {})
    assert "put to the bucket" in caught.value.next_step
