"""Which destination is which store, and where a bucket is."""

from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element, TreeBuilder

import pytest

from roar_publisher.net.exchange import Reply
from roar_publisher.net.policy import Verdict
from roar_publisher.state.errors import UsageProblem
from roar_publisher.storage import s3_xml
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.gcs_account import open_account as open_google
from roar_publisher.storage.s3_account import open_account
from roar_publisher.storage.s3_errors import judge_s3
from roar_publisher.storage.s3_location import locate
from roar_publisher.storage.s3_xml import NotXml, completion, error_in, parse
from roar_publisher.storage.store import Part

LAUGHS = (
    b"""<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><Error><Code>&b;</Code></Error>"""
)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("url", "destination"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://my.bucket/a b/c/", "s3://my.bucket/a b/c"),
        ("gs://bucket/x", "gs://bucket/x"),
        ("/tmp/a b", "file:///tmp/a%20b"),
        ("file:///tmp/a%20b", "file:///tmp/a%20b"),
        ("file://localhost/tmp", "file:///tmp"),
    ],
)
async def test_a_destination_is_one_store(url: str, destination: str) -> None:
    async with await open_store(url, {}) as store:
        assert store.destination == destination
        assert store.url("k/ey") == f"{destination}/k/ey"


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url",
    [
        "",
        "bucket",
        "relative/path",
        "s3:",
        "s3://",
        "s3:///key",
        "http://host/x",
        "file://host/x",
        "s3://[",
        "s3://b/?x=1",
        "s3://user:secret@bucket/x",
    ],
)
async def test_an_invalid_destination_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        await open_store(url, {})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("bucket", "region", "endpoint", "style", "base"),
    [
        ("b", "eu-west-1", None, "auto", "https://b.s3.eu-west-1.amazonaws.com"),
        ("b", "eu-west-1", None, "path", "https://s3.eu-west-1.amazonaws.com/b"),
        ("my.bucket", "eu-west-1", None, "auto", "https://s3.eu-west-1.amazonaws.com/my.bucket"),
        ("b", "cn-north-1", None, "auto", "https://b.s3.cn-north-1.amazonaws.com.cn"),
        ("b", "auto", "https://account.example.com/", "auto", "https://account.example.com/b"),
        ("MyBucket", "us-east-1", None, "auto", "https://s3.us-east-1.amazonaws.com/MyBucket"),
        ("MyBucket", "us-east-1", None, "virtual", "https://s3.us-east-1.amazonaws.com/MyBucket"),
        ("my_bucket", "us-east-1", None, "auto", "https://s3.us-east-1.amazonaws.com/my_bucket"),
        ("-bucket", "us-east-1", None, "auto", "https://s3.us-east-1.amazonaws.com/-bucket"),
        ("my.bucket", "r", "https://store.example.com", "virtual", "https://my.bucket.store.example.com"),
        ("b", "r", "https://store.example.com", "virtual", "https://b.store.example.com"),
        ("b", "r", "http://127.0.0.1:9000/s3", "auto", "http://127.0.0.1:9000/s3/b"),
    ],
)
def test_a_bucket_has_one_address(bucket: str, region: str, endpoint: str | None, style: str, base: str) -> None:
    assert locate(bucket, region, endpoint, style).base == base


@pytest.mark.parametrize(
    "endpoint", ["", "ftp://x", "https://", "https://user:pw@host", "https://host?x=1", "host:9000"]
)
def test_an_invalid_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(UsageProblem):
        locate("b", "r", endpoint, "auto")


class TestConfiguration:
    """What `~/.aws/config` and the environment say, by botocore's own reading."""

    CONFIG: ClassVar[str] = """
[default]
region = eu-west-3
[profile lab]
region = us-west-2
endpoint_url = https://lab.example.com
s3 =
    addressing_style = virtual
[profile team]
services = ours
[services ours]
s3 =
    endpoint_url = https://team.example.com
"""

    @pytest.mark.anyio
    @pytest.mark.parametrize(
        ("environ", "base", "region"),
        [
            ({}, "https://b.s3.eu-west-3.amazonaws.com", "eu-west-3"),
            ({"AWS_PROFILE": "lab"}, "https://b.lab.example.com", "us-west-2"),
            ({"AWS_REGION": "eusc-de-east-1"}, "https://b.s3.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1"),
            ({"AWS_REGION": "us-iso-east-1"}, "https://b.s3.us-iso-east-1.c2s.ic.gov", "us-iso-east-1"),
            ({"AWS_REGION": "us-gov-west-1"}, "https://b.s3.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
            ({"AWS_REGION": "new-place-1"}, "https://b.s3.new-place-1.amazonaws.com", "new-place-1"),
            ({"AWS_PROFILE": "team"}, "https://team.example.com/b", "us-east-1"),
            (
                {"AWS_ENDPOINT_URL": "http://one:1", "AWS_ENDPOINT_URL_S3": "http://two:2"},
                "http://two:2/b",
                "eu-west-3",
            ),
            ({"AWS_PROFILE": "lab", "AWS_REGION": "eu-north-1"}, "https://b.lab.example.com", "eu-north-1"),
        ],
    )
    async def test_the_configuration_determines_the_location(
        self, environ: dict[str, str], base: str, region: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = tmp_path / "config"
        config.write_text(self.CONFIG)
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        for name, value in ({"AWS_CONFIG_FILE": str(config)} | environ).items():
            monkeypatch.setenv(name, value)
        account = await open_account("b", environ)
        assert (account.place.base, account.place.region) == (base, region)

    @pytest.mark.anyio
    async def test_a_missing_profile_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(UsageProblem, match="nobody"):
            await open_account("b", {})


@pytest.mark.parametrize("host", ["http://127.0.0.1:9", "127.0.0.1:9", "http://127.0.0.1:9/"])
def test_the_address_of_an_emulator_is_used(host: str) -> None:
    assert open_google({"STORAGE_EMULATOR_HOST": host}).base == "http://127.0.0.1:9"
    assert open_google({}).base == "https://storage.googleapis.com"


@pytest.mark.parametrize("body", [LAUGHS, b"", b"<html>", b"\xff\xfe<\0", b"not xml", LAUGHS.decode().encode("utf-16")])
def test_xml_with_a_document_type_is_not_read(body: bytes) -> None:
    with pytest.raises(NotXml):
        parse(body)
    assert error_in(body).code == ""


@pytest.mark.parametrize("encoding", ["gb2312", "Shift_JIS", "utf-7", "none"])
def test_xml_in_an_encoding_that_the_parser_does_not_have_comes_from_no_store(encoding: str) -> None:
    """Such as the page of a portal, which is waited out."""
    body = f"<?xml version='1.0' encoding='{encoding}'?><html/>".encode()
    assert error_in(body).code == ""
    assert judge_s3(Reply(403, {}, body)) is Verdict.GARBLED


def test_an_error_document_is_read_and_shown_on_one_line() -> None:
    body = "<Error xmlns='http://s3.amazonaws.com/doc/'><Code>Odd</Code><Message>a\n\x85 b</Message></Error>".encode()
    assert (error_in(body).code, error_in(body).message) == ("Odd", "a b")


def test_of_a_long_document_that_is_no_error_only_the_first_element_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at several times for each reply, in the event loop."""
    read: list[str] = []

    class Builder(TreeBuilder):
        def start(self, tag: str, attributes: dict[str, str]) -> Element:
            read.append(tag)
            return super().start(tag, attributes)

    monkeypatch.setattr(s3_xml, "TreeBuilder", Builder)
    listing = b"<ListPartsResult>" + b"<Part><Error/></Part>" * 1000 + b"</ListPartsResult>"
    assert error_in(listing).code == ""
    assert read == []
    assert len(list(parse(listing).iter("Part"))) == 1000
    assert error_in(b"<Error><Code>a</Code><Error/></Error>").code == "a"


def test_a_completion_names_parts_in_order() -> None:
    parts = {n: Part(n, 5, f'"tag<{n}>"', "") for n in (10, 2, 1)}
    root = parse(completion(parts, {1: "c1"}))
    assert [part.findtext("PartNumber") for part in root.iter("Part")] == ["1", "2", "10"]
    assert [part.findtext("ETag") for part in root.iter("Part")] == ['"tag<1>"', '"tag<2>"', '"tag<10>"']
    assert [part.findtext("ChecksumSHA256") for part in root.iter("Part")] == ["c1", None, None]


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (200, "", Verdict.ACCEPTED),
        (200, "InternalError", Verdict.FAILED),
        (200, "AccessDenied", Verdict.REFUSED),
        (503, "SlowDown", Verdict.BUSY),
        (400, "RequestTimeout", Verdict.FAILED),
        (400, "BadDigest", Verdict.FAILED),
        (400, "EntityTooSmall", Verdict.REFUSED),
        (500, "", Verdict.FAILED),
        (301, "PermanentRedirect", Verdict.REFUSED),
    ],
)
def test_an_error_code_takes_precedence_over_the_status(status: int, code: str, expected: Verdict) -> None:
    body = f"<Error><Code>{code}</Code></Error>".encode() if code else b""
    assert judge_s3(Reply(status, {}, body)) is expected
