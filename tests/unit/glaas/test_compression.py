"""Compressed bodies: where they are sent, what a signature covers, and the way back to plain ones."""

import gzip
import os
from collections.abc import Callable

import httpx2
import pytest

from roar_publisher.glaas.client import Refused
from roar_publisher.glaas.compression import SMALLEST_BYTES, Compression
from roar_publisher.glaas.replies import AnyReply
from tests.support import virtual
from tests.support.glaas.scripted import Answer, Calls, Script, reply

FAR = "https://registry.example"
PATH = "/api/v1/registration-sessions/1/jobs/batch"
BODY = b'{"jobs":[%b]}' % b",".join(b'{"n":%d}' % n for n in range(2000))


class Signer:
    """Notes what it is asked to sign."""

    def __init__(self) -> None:
        self.signed: list[bytes | None] = []

    async def header(self, method: str, path: str, body: bytes | None) -> str:
        self.signed.append(body)
        return "Signature"

    async def renew(self, rejected: str) -> bool:
        return False


def compressing(answers: list[Answer], registry: str = FAR) -> Calls:
    calls = Calls(Script(answers), registry=registry)
    calls.client.compression.learn(accepted=True)
    return calls


def send(calls: Calls, *bodies: bytes, signer: Signer | None = None) -> list[httpx2.Request]:
    """Send bodies one after the other, and return the requests that came of it, but for the first contact."""

    async def scenario() -> None:
        async with calls.connection:
            await calls.client.call("GET", "/api/v1/first", expect=AnyReply)
            for body in bodies:
                await calls.client.call("POST", PATH, body, expect=AnyReply, authorize=signer or Signer())

    virtual.run(scenario)
    return calls.script.requests[1:]


def is_compressed(request: httpx2.Request) -> bool:
    said = request.headers.get("content-encoding")
    assert said in (None, "gzip")
    return said == "gzip"


def test_a_large_body_is_compressed_and_a_small_one_is_not() -> None:
    small = b"x" * SMALLEST_BYTES
    first, second, third = send(compressing([]), BODY, small, small + b"x")
    assert [is_compressed(sent) for sent in (first, second, third)] == [True, False, True]
    assert gzip.decompress(first.content) == BODY
    assert second.content == small
    assert first.headers["content-type"] == "application/json"
    assert int(first.headers["content-length"]) == len(first.content) < len(BODY) / 3


def test_nothing_is_compressed_unless_the_registry_reads_it() -> None:
    (sent,) = send(Calls(Script([]), registry=FAR), BODY)
    assert not is_compressed(sent)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "[::1]:80", "localhost", "registry.localhost"])
def test_nothing_is_compressed_for_this_machine(host: str) -> None:
    (sent,) = send(compressing([], registry=f"http://{host}/glaas"), BODY)
    assert not is_compressed(sent)
    assert sent.content == BODY


def test_a_signature_is_made_over_the_bytes_on_the_wire() -> None:
    signer = Signer()
    failed = reply(503)
    requests = send(compressing([reply(200, b"{}"), failed, reply(415, b'{"detail": "?"}')]), BODY, signer=signer)
    assert [is_compressed(sent) for sent in requests] == [True, True, False]
    assert [sent.content for sent in requests] == signer.signed


@pytest.mark.parametrize(
    "refusal",
    [
        lambda: reply(415, b'{"detail": "unknown encoding"}'),
        lambda: reply(400, b'{"detail": "the body is not valid JSON"}'),
        lambda: reply(422, b'{"detail": "JSON decode error"}'),
        lambda: reply(415, b"<html>"),
        lambda: reply(400),
        lambda: reply(403, b"<html>a firewall</html>"),
    ],
)
def test_a_refusal_that_may_be_about_the_encoding_leads_back_to_plain_bodies(refusal: Callable[[], Answer]) -> None:
    requests = send(compressing([reply(200, b"{}"), reply(200, b"{}"), refusal()]), BODY, BODY, BODY)
    assert [is_compressed(sent) for sent in requests] == [True, True, False, False]
    assert {sent.content for sent in requests if not is_compressed(sent)} == {BODY}


def test_what_is_refused_as_a_plain_body_too_is_refused() -> None:
    calls = compressing([reply(200, b"{}"), *(reply(422, b'{"detail": "jobs.3: missing"}') for _ in range(2))])
    with pytest.raises(Refused, match=r"jobs\.3: missing") as refused:
        send(calls, BODY)
    assert refused.value.status == 422
    assert [is_compressed(sent) for sent in calls.script.requests[1:]] == [True, False]


@pytest.mark.parametrize("status", [403, 404, 409, 413])
def test_another_refusal_is_final(status: int) -> None:
    calls = compressing([reply(200, b"{}"), reply(status, b'{"detail": "no"}')])
    with pytest.raises(Refused):
        send(calls, BODY)
    assert len(calls.script.requests) == 2


def test_content_that_does_not_shrink_is_sent_all_the_same() -> None:
    body = os.urandom(SMALLEST_BYTES + 1)
    compression = Compression(FAR)
    compression.learn(accepted=True)
    sent, encoding = compression.applied(body)
    assert (gzip.decompress(sent or b""), encoding) == (body, "gzip")
