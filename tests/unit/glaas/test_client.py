"""Calls under the retry policy, on virtual time: hours of trouble in milliseconds."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from email.utils import format_datetime

import anyio
import httpx2
import pytest

from roar_publisher.glaas.client import Refused
from roar_publisher.net.exchange import ANSWER_SECONDS, MAX_REPLY_BYTES
from roar_publisher.net.policy import LONGEST_BACKOFF_SECONDS, MAX_ATTEMPTS, MAX_GARBLED, MAX_OUTAGES
from roar_publisher.report import Retrying, Waiting
from roar_publisher.state.errors import Interrupted, Transient
from tests.support import virtual
from tests.support.glaas.scripted import NOW, OK, Answer, Calls, Script, call, repeated, reply
from tests.support.sampling import EXHAUSTIVE

HOUR = 3600.0


def lost() -> Answer:
    return httpx2.ReadError("the connection broke")


def silent() -> Answer:
    return httpx2.ReadTimeout("silence")


@pytest.mark.parametrize(
    "trouble",
    [
        lambda: reply(500, b"<html>"),
        lambda: reply(502),
        *[lambda status=status: reply(status) for status in (408, 420, 421, 423, 425, 429, 503, 529)],
        lambda: reply(503, retry_after="30"),
        lambda: reply(200, b"<html>a proxy</html>"),
        lambda: reply(200, OK[:20]),
        lambda: reply(200, b""),
        lambda: reply(200, b"[1, 2]"),
        lambda: reply(200, b'{"hash": 7}'),
        lost,
        silent,
        lambda: httpx2.ConnectError("refused"),
        lambda: httpx2.RemoteProtocolError("cut"),
        lambda: OSError("no route"),
    ],
)
def test_temporary_failures_are_retried(trouble: Callable[[], Answer]) -> None:
    async def scenario() -> None:
        calls = Calls(Script(repeated(3, trouble)))
        assert (await call(calls)).hash == "a" * 64
        assert len(calls.script.requests) == 4

    virtual.run(scenario)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 413, 422])
def test_a_refusal_fails_at_once(status: int) -> None:
    async def scenario() -> None:
        script = Script([reply(status, b'{"detail": "because"}')])
        with pytest.raises(Refused, match="because") as caught:
            await call(Calls(script))
        assert caught.value.status == status
        assert len(script.requests) == 1, "nothing is repeated"
        assert anyio.current_time() == 0

    virtual.run(scenario)


def test_a_reply_that_is_too_large_is_final() -> None:
    """As of a registry that serves a whole lineage in one reply: it would be as large each time."""

    async def scenario() -> None:
        script = Script([reply(200, b'{"jobs": "' + bytes(MAX_REPLY_BYTES) + b'"}')])
        with pytest.raises(Refused, match="its reply is larger than 8 MiB"):
            await call(Calls(script))
        assert len(script.requests) == 1

    virtual.run(scenario)


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    async def scenario() -> None:
        script = Script([reply(status, b'{"detail": "over there"}', location="https://elsewhere.example/x")])
        with pytest.raises(Transient, match=r"redirects to elsewhere\.example, which is not followed") as caught:
            await call(Calls(script))
        assert caught.value.reason == "not glaas"
        assert caught.value.next_step
        assert len(script.requests) == 1
        assert anyio.current_time() == 0

    virtual.run(scenario)


@pytest.mark.parametrize(
    ("trouble", "attempts", "reason"),
    [
        (lambda: reply(500, b'{"detail": "broken"}'), MAX_ATTEMPTS, "server failing"),
        (lambda: reply(200, b"<html>"), MAX_GARBLED, "not glaas"),
        (lost, MAX_ATTEMPTS, "server failing"),
    ],
)
def test_lasting_failures_of_a_registry_that_answers_end_the_call(
    trouble: Callable[[], Answer], attempts: int, reason: str
) -> None:
    async def scenario() -> None:
        script = Script([], default=trouble)
        with pytest.raises(Transient) as caught:
            await call(Calls(script))
        assert caught.value.reason == reason
        assert len(script.requests) == attempts
        assert anyio.current_time() <= attempts * LONGEST_BACKOFF_SECONDS

    virtual.run(scenario)


def test_a_long_time_offline_costs_no_attempt() -> None:
    length = (24 if EXHAUSTIVE else 2) * HOUR

    async def scenario() -> None:
        away = [True]

        def network() -> Answer:
            return httpx2.ConnectError("away") if away[0] and anyio.current_time() < length else reply(200, OK)

        script = Script([reply(200, OK)], default=network, health=network)
        calls = Calls(script, patience=float("inf"))
        await call(calls)
        await call(calls)
        assert length <= anyio.current_time() < length + 6
        assert not [report for report in calls.reports if isinstance(report, Retrying)]
        assert len(script.requests) == 3, "one met, one lost, one sent again; the rest was knocking"

    virtual.run(scenario)


def test_offline_beyond_patience_ends() -> None:
    async def scenario() -> None:
        def gone() -> Answer:
            return httpx2.ConnectError("away")

        calls = Calls(Script([reply(200, OK)], default=gone, health=gone), patience=60)
        await call(calls)
        with pytest.raises(Transient, match=r"the registry http://registry\.localhost/glaas cannot be reached"):
            await call(calls)
        assert 60 <= anyio.current_time() < 70

    virtual.run(scenario)


def test_a_request_that_crashes_the_server_is_not_repeated_forever() -> None:
    """The server restarts each time: it answers in the end, but never to this request."""

    async def scenario() -> None:
        back_at = 0.0

        def die() -> Answer:
            nonlocal back_at
            back_at = anyio.current_time() + 2
            return lost()

        def health() -> Answer:
            return httpx2.ConnectError("down") if anyio.current_time() < back_at else reply(200, b"{}")

        calls = Calls(Script([], default=die, health=health))
        with anyio.fail_after(HOUR), pytest.raises(Transient, match="became unreachable") as caught:
            await call(calls)
        assert caught.value.reason == "server failing"
        assert len(calls.script.requests) == MAX_OUTAGES

    virtual.run(scenario)


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_waited_for_and_costs_no_attempt(as_date: bool) -> None:
    async def scenario() -> None:
        until = format_datetime(datetime.fromtimestamp(NOW + 120, UTC), usegmt=True)
        busy = [reply(503, retry_after=until if as_date else "120")]
        calls = Calls(Script([*busy, *repeated(MAX_ATTEMPTS - 1, lambda: reply(500))]))
        await call(calls)
        first, second = calls.script.times[:2]
        assert 120 <= second - first <= 132
        assert calls.reports[0].__class__ is Waiting

    virtual.run(scenario)


def test_hours_of_throttling_cost_one_request_per_hour() -> None:
    async def scenario() -> None:
        calls = Calls(Script(repeated(5, lambda: reply(429, retry_after="3600"))), patience=float("inf"))
        await call(calls)
        assert len(calls.script.requests) == 6
        assert anyio.current_time() >= 5 * HOUR

    virtual.run(scenario)


def test_throttling_without_a_time_ends_with_patience() -> None:
    async def scenario() -> None:
        calls = Calls(Script([], default=lambda: reply(429)), patience=100)
        with pytest.raises(Transient) as caught:
            await call(calls)
        assert caught.value.reason == "throttled"
        assert 100 < anyio.current_time() < 110

    virtual.run(scenario)


def test_patience_with_throttling_begins_again_after_another_answer() -> None:
    """A server that has asked to wait, and then failed, may ask to wait again."""

    async def scenario() -> None:
        answers = [reply(503, retry_after="80"), reply(500), reply(503, retry_after="80"), reply(200, OK)]
        assert (await call(Calls(Script(answers), patience=100))).hash == "a" * 64
        assert anyio.current_time() > 160

    virtual.run(scenario)


def test_a_wait_that_patience_does_not_cover_ends_at_once() -> None:
    async def scenario() -> None:
        calls = Calls(Script([], default=lambda: reply(503, retry_after="301")), patience=300)
        with pytest.raises(Transient):
            await call(calls)
        assert anyio.current_time() == 0

    virtual.run(scenario)


class Endless(httpx2.AsyncByteStream):
    """A body that goes on for ever: a chunk every so many seconds."""

    def __init__(self, chunk: bytes, seconds: float) -> None:
        self._chunk = chunk
        self._seconds = seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await anyio.sleep(self._seconds)
            yield self._chunk


def test_a_reply_without_end_is_cut_off() -> None:
    async def scenario() -> None:
        calls = Calls(Script([httpx2.Response(200, stream=Endless(b" " * 1_000_000, 0.1))]))
        await call(calls)
        assert len(calls.script.requests) == 2, "cut off, it was no JSON"
        assert anyio.current_time() < 10

    virtual.run(scenario)


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("seconds", [0.01, 1, 19])
def test_a_reply_that_drips_is_not_waited_for_to_its_end(status: int, seconds: float) -> None:
    """Each byte comes before the silence gets too long, so that no timeout of a read ever ends it."""

    async def scenario() -> None:
        def drip() -> Answer:
            return httpx2.Response(status, stream=Endless(b" ", seconds))

        calls = Calls(Script([drip()]))
        with anyio.fail_after(HOUR):
            await call(calls)
        assert len(calls.script.requests) == 2
        assert ANSWER_SECONDS <= anyio.current_time() < ANSWER_SECONDS + 3

        calls = Calls(Script([], default=drip, health=drip))
        with anyio.fail_after(HOUR), pytest.raises(Transient, match="no answer in time"):
            await call(calls)

    virtual.run(scenario)


def test_a_long_reply_on_a_slow_line_is_read_to_its_end() -> None:
    """Two kilobytes a second, for a minute."""

    async def scenario() -> None:
        async def slowly() -> AsyncIterator[bytes]:
            for piece in [OK[:1], *[b" " * 2_000] * 60, OK[1:]]:
                await anyio.sleep(1)
                yield piece

        calls = Calls(Script([httpx2.Response(200, content=slowly())]))
        assert (await call(calls)).hash == "a" * 64
        assert len(calls.script.requests) == 1
        assert anyio.current_time() == 62

    virtual.run(scenario)


@pytest.mark.parametrize(
    "trouble", [lambda: reply(500), lambda: reply(429), lambda: reply(503, retry_after="200"), lost]
)
def test_after_a_stop_a_call_neither_waits_nor_sends_again(trouble: Callable[[], Answer]) -> None:
    async def scenario() -> None:
        def away() -> Answer:
            assert calls.script.probes < 10, "it probes without a pause"
            return httpx2.ConnectError("away")

        calls = Calls(Script([reply(200, OK)], default=trouble, health=away))
        await call(calls)
        sent = 0

        async def stop_during_a_wait() -> None:
            nonlocal sent
            await anyio.sleep(0.01)
            sent = len(calls.script.requests)
            calls.stop.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stop_during_a_wait)
            with pytest.raises(Interrupted):
                await call(calls)
        assert anyio.current_time() < 0.1
        assert len(calls.script.requests) == sent

    virtual.run(scenario)


def test_a_cancelled_call_releases_its_slot() -> None:
    async def scenario() -> None:
        calls = Calls(Script(repeated(1, lambda: reply(503, retry_after="200"))), most=1)
        with anyio.move_on_after(1) as scope:
            await call(calls)
        assert scope.cancelled_caught
        await call(calls)
        assert anyio.current_time() >= 200

    virtual.run(scenario)
