"""Requests that a proxy may read differently, and requests that only cost: over a real socket."""

import asyncio
from collections.abc import Callable

import pytest
from starlette.applications import Starlette

from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.data import Store
from roar_publisher.registry.server.http11 import MAX_CHUNKS, MAX_FIELDS, MAX_HEAD_BYTES
from roar_publisher.registry.server.protocol import PIPELINED_SECONDS
from tests.support.registry.harness import run_inline
from tests.support.registry.http_server import HEALTH, SteppedLoop, run_stepped, served

POST = b"POST /api/v1/sessions HTTP/1.1\r\nHost: registry\r\nContent-Type: application/json\r\n"
SMUGGLED = b"GET /api/v1/health HTTP/1.1\r\nHost: registry\r\n\r\n"


@pytest.fixture
def app() -> Callable[[], Starlette]:
    return lambda: create_app(Store.in_memory(), run=run_inline)


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="CL.TE"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", id="TE.CL"),
        pytest.param(POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", id="the same length twice"),
        pytest.param(POST + b"Content-Length: 2\r\ncontent-length: 9\r\n\r\n{}", id="two lengths"),
        pytest.param(POST + b"Content-Length: 2, 2\r\n\r\n{}", id="a list of lengths"),
        pytest.param(POST + b"Content-Length: +2\r\n\r\n{}", id="a sign"),
        pytest.param(POST + b"Content-Length: -2\r\n\r\n{}", id="a negative length"),
        pytest.param(POST + b"Content-Length: 0x2\r\n\r\n{}", id="a hexadecimal length"),
        pytest.param(POST + b"Content-Length: 2_0\r\n\r\n{}", id="a length with an underscore"),
        pytest.param(POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}", id="an endless length"),
        pytest.param(POST + b"Content-Length:\r\n\r\n{}", id="an empty length"),
        pytest.param(POST + b"Content-Length : 2\r\n\r\n{}", id="a space before the colon"),
        pytest.param(POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="a space before the other colon"),
        pytest.param(POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="another coding"),
        pytest.param(POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", id="a vertical tab"),
        pytest.param(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="two codings"),
        pytest.param(
            POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", id="coding twice"
        ),
        pytest.param(POST + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="a folded field"),
        pytest.param(POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", id="a folded value"),
        pytest.param(POST + b"X: a\r\n\tb\r\n\r\n", id="folded by a tab"),
        pytest.param(POST + b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="a newline alone"),
        pytest.param(b"GET /api/v1/health HTTP/1.1\nHost: registry\n\n", id="newlines everywhere"),
        pytest.param(POST + b"X: a\rContent-Length: 5\r\n\r\n", id="a carriage return alone"),
        pytest.param(POST + b"X: a\x00b\r\n\r\n", id="a NUL"),
        pytest.param(POST + b"X\r\n\r\n", id="no colon"),
        pytest.param(POST + b": x\r\n\r\n", id="no name"),
        pytest.param(POST + b"Host: other\r\n\r\n", id="two hosts"),
        pytest.param(b"GET /api/v1/health HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(
            b"POST /api/v1/sessions HTTP/1.0\r\nHost: registry\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="chunks in HTTP 1.0",
        ),
        pytest.param(b"GET /api/v1/health HTTP/9.1\r\nHost: registry\r\nX: \xff\x00\r\n\r\n", id="another version"),
        pytest.param(b"GET  /api/v1/health HTTP/1.1\r\nHost: registry\r\n\r\n", id="two spaces"),
        pytest.param(b"GET /\xc3\xa9 HTTP/1.1\r\nHost: registry\r\n\r\n", id="letters beyond ASCII"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS\r\n\r\n", id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP 2"),
    ],
)
def test_requests_that_a_proxy_may_parse_differently_are_refused(
    app: Callable[[], Starlette], request_bytes: bytes
) -> None:
    async def scenario(loop: SteppedLoop) -> None:
        async with served(app()) as registry:
            attacker = await registry.connect()
            status, body = await attacker.ask(request_bytes + SMUGGLED)
            assert (status, list(body)) == (400, ["detail"])
            assert (await attacker.answer())[0] == 0
            assert await registry.answers()

    run_stepped(scenario)


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(b"-1\r\n{}\r\n0\r\n\r\n", id="negative"),
        pytest.param(b"0x2\r\n{}\r\n0\r\n\r\n", id="with a prefix"),
        pytest.param(b" 2\r\n{}\r\n0\r\n\r\n", id="with a space before"),
        pytest.param(b"2\n{}\r\n0\r\n\r\n", id="ended by a newline alone"),
        pytest.param(b"2\r\n{}xx0\r\n\r\n", id="not ended"),
        pytest.param(b"2;\nxx\r\n{}\r\n0\r\n\r\n", id="extended by another line"),
        pytest.param(b"f" * 30 + b"\r\n{}\r\n0\r\n\r\n", id="endless"),
        pytest.param(b"\r\n{}\r\n0\r\n\r\n", id="none"),
        pytest.param(b"1\r\n{\r\n" + b"1\r\n \r\n" * (MAX_CHUNKS + 1), id="too many"),
    ],
)
def test_a_body_in_bad_chunks_ends_the_connection(app: Callable[[], Starlette], chunks: bytes) -> None:
    async def scenario(loop: SteppedLoop) -> None:
        async with served(app()) as registry:
            attacker = await registry.connect()
            status, _ = await attacker.ask(POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + SMUGGLED)
            assert status == 400
            assert (await attacker.answer())[0] == 0
            assert await registry.answers()

    run_stepped(scenario)


@pytest.mark.parametrize("first", [b"", b"5\r\n"], ids=["after the head", "within the body"])
def test_a_bad_chunk_after_the_answer_only_ends_the_connection(app: Callable[[], Starlette], first: bytes) -> None:
    """An answer that needs no body is out before the body is; the fault then has no request left to answer."""

    async def scenario(loop: SteppedLoop) -> None:
        async with served(app()) as registry:
            attacker = await registry.connect()
            head = b"POST /nowhere HTTP/1.1\r\nHost: registry\r\nTransfer-Encoding: chunked\r\n\r\n"
            assert (await attacker.ask(head + first))[0] == 404
            await attacker.send(b"no chunk at all\r\n")
            assert (await attacker.answer())[0] == 0
            assert await attacker.is_closed()

    run_stepped(scenario)


def test_data_after_the_last_request_of_a_connection_closes_it(app: Callable[[], Starlette]) -> None:
    async def scenario(loop: SteppedLoop) -> None:
        async with served(app()) as registry:
            attacker = await registry.connect()
            head = b"POST /api/v1/sessions HTTP/1.0\r\nHost: registry\r\nContent-Length: 2\r\n\r\n"
            attacker.writer.write(head + b"{}")
            for _ in range(3):
                attacker.writer.write(SMUGGLED)
                await asyncio.sleep(0)
            await attacker.answer()
            assert (await attacker.answer())[0] == 0

    run_stepped(scenario)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"X: " + b"a" * (2 * MAX_HEAD_BYTES) + b"\r\n\r\n", id="one long field"),
        pytest.param(b"X: " + b"a" * (2 * MAX_HEAD_BYTES), id="one long field without an end"),
        pytest.param(b"X: a\r\n" * MAX_FIELDS + b"\r\n", id="too many fields"),
    ],
)
def test_a_head_is_bounded(app: Callable[[], Starlette], head: bytes) -> None:
    async def scenario(loop: SteppedLoop) -> None:
        async with served(app()) as registry:
            attacker = await registry.connect()
            status, body = await attacker.ask(POST + head)
            assert (status, list(body)) == (431, ["detail"])
            assert await attacker.is_closed()

    run_stepped(scenario)


def test_requests_of_usual_clients_are_accepted(app: Callable[[], Starlette]) -> None:
    token = b"Authorization: Bearer " + b"t" * 8192 + b"\r\n"
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;name=value\r\n}\r\n0\r\nTrailer: x\r\n\r\n"

    async def scenario(loop: SteppedLoop) -> None:
        async with served(app()) as registry:
            client = await registry.connect()
            assert (await client.ask(HEALTH))[0] == 200
            assert (await client.ask(chunked))[0] == 422
            assert (await client.ask(HEALTH[:-2] + token + b"\r\n"))[0] == 200

    run_stepped(scenario)


def test_requests_that_are_sent_ahead_are_served_one_a_second(app: Callable[[], Starlette]) -> None:
    async def scenario(loop: SteppedLoop) -> None:
        async with served(app()) as registry:
            ahead = await registry.connect()
            await ahead.send(HEALTH * 1000)
            for _ in range(3):
                assert (await ahead.answer())[0] == 200
                await loop.skip(PIPELINED_SECONDS / 2)
                assert not ahead.reader._buffer  # type: ignore[attr-defined]
                await loop.skip(PIPELINED_SECONDS / 2)
            for _ in range(100):
                assert await registry.answers()
            assert (await ahead.answer())[0] == 200
            assert not ahead.reader._buffer  # type: ignore[attr-defined]

    run_stepped(scenario)
