"""`--json` is never without an event for more than 10 s while it waits for something."""

import io
import itertools
import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx2
import pytest

from roar_publisher.cli.display.jsonlines import JsonDisplay
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.publish.signals import TICK_SECONDS
from roar_publisher.glaas.replies import Receipt
from roar_publisher.publishing.emitting import HEARTBEAT_SECONDS
from roar_publisher.report import Advanced, Entered, Planned, Retrying, Waiting
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.machine import Event, State
from roar_publisher.state.reasons import Reason
from roar_publisher.state.units import Kind
from tests.support import virtual
from tests.support.cli.reports import HandClock
from tests.support.glaas.scripted import OK, Answer, Calls, Script, reply

LONGEST_SILENCE_SECONDS = 10.0


class Events(Output):
    """A `--json` run on virtual time: what is written, and when."""

    def __init__(self) -> None:
        super().__init__(io.StringIO())
        self.times = [0.0]
        self.events: list[dict[str, Any]] = []
        self.display = JsonDisplay(self, anyio.current_time)

    def line(self, text: str) -> None:
        self.times.append(anyio.current_time())
        self.events.append(json.loads(text))

    async def tick(self) -> None:
        while True:
            await anyio.sleep(TICK_SECONDS)
            self.display.tick()

    @property
    def longest_silence(self) -> float:
        times = [*self.times, anyio.current_time()]
        return max(b - a for a, b in itertools.pairwise(times))


class Never(httpx2.AsyncByteStream):
    """A body that never comes."""

    async def __aiter__(self) -> Any:
        await anyio.sleep_forever()
        yield b""


def never() -> Answer:
    return httpx2.Response(200, stream=Never())


def away() -> Answer:
    return httpx2.ConnectError("away")


@pytest.mark.parametrize("met", [False, True])
@pytest.mark.parametrize("takes_long", [False, True])
@pytest.mark.parametrize(
    ("trouble", "health"),
    [
        (never, never),
        (never, lambda: reply(200, b"{}")),
        (away, away),
        (lambda: reply(500, b"{}"), away),
        (lambda: reply(429, retry_after="200"), away),
        (lambda: reply(503), away),
    ],
    ids=["hung", "one request hung", "offline", "failing", "throttled until", "throttled"],
)
def test_there_is_an_event_every_ten_seconds_while_waiting(
    met: bool, takes_long: bool, trouble: Callable[[], Answer], health: Callable[[], Answer]
) -> None:
    async def scenario() -> None:
        events = Events()
        answers = [trouble() for _ in range(3)]
        calls = Calls(Script(answers, default=lambda: reply(200, OK), health=health), report=events.display.report)
        calls.connection.gate_state.answered_before = met

        async def work() -> None:
            try:
                async with calls.client.reporting_silence():
                    await calls.client.call("POST", "/thing", b"{}", expect=Receipt, takes_long=takes_long)
            except PublisherError:
                pass

        await ticking(events, work)
        assert events.longest_silence <= LONGEST_SILENCE_SECONDS
        assert {event["event"] for event in events.events} <= {"waiting", "retrying"}

    virtual.run(scenario)


async def ticking(events: Events, work: Callable[[], Awaitable[None]]) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(events.tick)
        await work()
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("reports", "heartbeat"),
    [
        ([], {"event": "waiting", "reason": "working", "seconds": 0.0}),
        ([Waiting(Reason.THROTTLED, 60.0)], {"event": "waiting", "reason": "throttled", "seconds": 55.0}),
        ([Waiting(Reason.OFFLINE, 1.0)], {"event": "waiting", "reason": "offline", "seconds": 0.0}),
        ([Retrying("HTTP 500", 2, 15.0)], {"event": "waiting", "reason": "retrying", "seconds": 10.0}),
        ([Waiting(Reason.OFFLINE, 1.0), Entered(State.PROBE, None)], {"event": "waiting", "reason": "working"}),
        ([Planned({Kind.JOBS: 9}, {Kind.JOBS: 1})], {"event": "progress", "done": 1, "total": 9}),
        ([Planned({Kind.JOBS: 9}, {Kind.JOBS: 1}), Advanced(Kind.JOBS, 2)], {"event": "progress", "done": 3}),
        ([Planned({Kind.JOBS: 9}, {Kind.JOBS: 1}), Waiting(Reason.NO_ANSWER, 15.0)], {"reason": "no answer"}),
        ([Entered(State.STAGE, Event.OPENED)], {"event": "waiting", "reason": "working"}),
    ],
)
def test_a_heartbeat_says_what_is_known(reports: list[Any], heartbeat: dict[str, object]) -> None:
    out, clock = io.StringIO(), HandClock()
    display = JsonDisplay(Output(out), clock)
    for report in reports:
        display.report(report)
    before = len(out.getvalue().splitlines())
    clock.sleep(HEARTBEAT_SECONDS - 0.1)
    display.tick()
    assert len(out.getvalue().splitlines()) == before
    clock.sleep(0.1)
    display.tick()
    display.tick()
    written = [json.loads(line) for line in out.getvalue().splitlines()[before:]]
    assert len(written) == 1
    assert heartbeat.items() <= written[0].items()
