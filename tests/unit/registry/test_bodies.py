"""Reading of bodies: whole, in whatever pieces they arrive, and without needless copies."""

import pytest
from starlette.requests import Request
from starlette.types import Message

from roar_publisher.registry.api.bodies import read_raw

pytestmark = pytest.mark.anyio


def request_with(*chunks: bytes) -> Request:
    """A request whose body arrives in these chunks."""
    left = list(chunks)

    async def receive() -> Message:
        chunk = left.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    return Request({"type": "http", "headers": [(b"content-type", b"application/json")]}, receive)


@pytest.mark.parametrize(
    "chunks", [(b"",), (b"one",), (b"", b"one"), (b"one", b""), (b"one ", b"two ", b"", b"three"), (b"x",) * 100]
)
async def test_a_body_is_what_its_chunks_are_together(chunks: tuple[bytes, ...]) -> None:
    assert await read_raw(request_with(*chunks), 100) == b"".join(chunks)


async def test_a_body_of_one_chunk_is_not_copied() -> None:
    chunk = bytes(1000)
    assert await read_raw(request_with(chunk, b""), 1000) is chunk
