"""The limit on bytes a second, on virtual time: what it lets through, to whom, and how often it looks."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise

import anyio
import pytest

from roar_publisher.net.pace import SHARES, Pace
from roar_publisher.storage.slices import SEND_BYTES
from tests.support import virtual

RATE = 1_000_000
UPLOADS = 16
SECONDS = 60
Passed = list[tuple[float, int]]
"""When how many bytes went out."""


async def plenty(rate: int) -> AsyncGenerator[bytes, None]:
    """More than a rate lets through; it ends, so that a limit that limits nothing ends as well."""
    for _ in range(2 * rate * SECONDS // SEND_BYTES + 1):
        yield bytes(SEND_BYTES)


async def upload(pace: Pace, passed: Passed, rate: int = RATE) -> None:
    async with aclosing(plenty(rate)) as body, aclosing(pace.paced(body)) as pieces:
        async for piece in pieces:
            passed.append((anyio.current_time(), len(piece)))


def run(rate: int) -> list[Passed]:
    """UPLOADS of plenty, for SECONDS, that share one rate; what each of them sent."""
    passed: list[Passed] = [[] for _ in range(UPLOADS)]

    async def main() -> None:
        pace = Pace(rate)
        with anyio.move_on_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                for log in passed:
                    tasks.start_soon(upload, pace, log, rate)

    virtual.run(main)
    return passed


def sent_between(logs: list[Passed], begin: float, end: float) -> int:
    return sum(size for log in logs for when, size in log if begin <= when < end)


@pytest.mark.parametrize("rate", [1000, RATE, 50 * RATE])
def test_the_rate_is_kept_in_every_window(rate: int) -> None:
    logs = run(rate)
    for begin in range(0, SECONDS, 5):
        assert abs(sent_between(logs, begin, begin + 5) - 5 * rate) <= 2 * rate / SHARES


def test_uploads_that_share_a_rate_get_the_same() -> None:
    shares = [sum(size for _, size in log) for log in run(RATE)]
    assert max(shares) - min(shares) <= RATE / SHARES


@pytest.mark.parametrize("rate", [1000, RATE])
def test_no_upload_pauses_for_long(rate: int) -> None:
    for log in run(rate):
        times = [when for when, _ in log]
        assert max(later - earlier for earlier, later in pairwise(times)) < 1.1


def test_a_wait_is_one_wait() -> None:
    """No upload looks again and again whether it may go: a piece costs one wake-up."""
    pieces = sum(len(log) for log in run(RATE))
    assert pieces <= 1.2 * SECONDS * SHARES, "a chunk's last piece may be smaller"


def test_what_was_not_used_is_not_made_up_for() -> None:
    pace, passed = Pace(RATE), Passed()

    async def main() -> None:
        await anyio.sleep(30)
        with anyio.move_on_after(1):
            await upload(pace, passed)

    virtual.run(main)
    assert abs(sum(size for _, size in passed) - RATE) <= 2 * RATE / SHARES


def test_an_upload_that_ends_leaves_its_share_to_the_others() -> None:
    pace = Pace(RATE)
    one, other = Passed(), Passed()

    async def main() -> None:
        with anyio.move_on_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(upload, pace, one)
                with anyio.move_on_after(10):
                    await upload(pace, other)

    virtual.run(main)
    assert sent_between([one], 0, 10) == pytest.approx(5 * RATE, rel=0.05)
    assert sent_between([one], 10, 20) == pytest.approx(10 * RATE, rel=0.05)


def test_what_comes_out_is_what_went_in() -> None:
    chunks = [bytes([number]) * SEND_BYTES for number in range(3)]

    async def body() -> AsyncGenerator[bytes, None]:
        for chunk in chunks:
            yield chunk

    async def main() -> bytes:
        return b"".join([piece async for piece in Pace(RATE).paced(body())])

    assert virtual.run(main) == b"".join(chunks)
