"""Replies that are packed: those that were asked for are read, and no other is unpacked."""

import gzip
import zlib
from collections.abc import Callable

import anyio
import pytest

from roar_publisher.net.exchange import Exchange, Reply
from roar_publisher.net.route import Unreachable
from tests.support.cli.servers import answering, http

HEALTH = b'{"status": "ok"}'


def fetch(body: bytes, encoding: str) -> Reply:
    """The reply of a server on loopback that sends `body` under a Content-Encoding."""

    async def scenario(url: str) -> Reply:
        async with Exchange(url, connections=1) as exchange:
            return await exchange.send("GET", "/api/v1/health", None, None)

    with answering(http("200 OK", body, f"Content-Encoding: {encoding}")) as server:
        return anyio.run(scenario, server.url)


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("GZIP", gzip.compress), ("x-gzip", gzip.compress), ("deflate", zlib.compress)],
)
def test_a_packed_reply_is_read(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert fetch(pack(HEALTH), encoding).body == HEALTH


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "\x1b[1m"])
def test_an_encoding_that_was_not_requested_is_an_answer_that_is_not_unpacked(encoding: str) -> None:
    """Something in front of a registry may answer so. Its status and its Retry-After count; its text cannot be read."""
    packed = gzip.compress(HEALTH)
    assert fetch(packed, encoding).body == packed


@pytest.mark.parametrize("encoding", ["", "identity", "none", "utf-8"])
def test_a_word_that_is_no_compression_changes_nothing(encoding: str) -> None:
    assert fetch(HEALTH, encoding).body == HEALTH


def test_invalid_gzip_is_rejected() -> None:
    with pytest.raises(Unreachable, match="cannot be decoded"):
        fetch(HEALTH, "gzip")
