"""An intermediary answers in place of the registry during a publish: an outage, never a refusal.

On virtual time: what a proxy does for minutes takes milliseconds here.
"""

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from roar_publisher.report import Waiting
from roar_publisher.state.errors import Conclusion, Transient
from roar_publisher.state.machine import State
from roar_publisher.state.record import Progress
from tests.support.faults.simulation import World, run_virtually
from tests.support.faults.weather import Weather
from tests.support.lineages import chain, cut

LINEAGE = cut(chain(6))
HTML = b"<html><title>Not here</title></html>"
FRONTS = {
    **{f"{status} HTML": (status, HTML) for status in (400, 401, 402, 403, 404, 405, 406, 409, 410, 422, 451, 501)},
    "404 in plain text": (404, b"default backend - 404"),
    "403 without a body": (403, b""),
    "404 with JSON that has no words": (404, b'{"status": 404, "path": "/api"}'),
    "400 with half a document": (400, b'{"detail": "bad'),
    "404 with a JSON text": (404, b'"Not Found"'),
    "200 of a sign-in page": (200, HTML),
    "200 without a body": (200, b""),
}


class Front:
    """An ASGI app before another one: it answers itself while `hides` says so of (path, virtual seconds)."""

    def __init__(self, registry: ASGIApp, hides: Callable[[str, float], bool], status: int, body: bytes) -> None:
        self._registry = registry
        self._hides = hides
        self._response = Response(body, status)
        self.answered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._hides(scope["path"], anyio.current_time()):
            await self._registry(scope, receive, send)
            return
        self.answered += 1
        await self._response(scope, receive, send)


def behind(front: str, hides: Callable[[str, float], bool], root: Path) -> tuple[World, Front]:
    """A world whose registry stands behind a front."""
    world = World(root, LINEAGE)
    placed = Front(world.app, hides, *FRONTS[front])
    world.app = placed
    return world, placed


class Spell:
    """A front that begins to answer with the first request to `call`, and goes on for so many seconds.

    late: how many seconds after its end the next request came.
    """

    def __init__(self, call: str, seconds: float) -> None:
        self.call, self.seconds = call, seconds
        self.began: float | None = None
        self.late: float | None = None

    def __call__(self, path: str, now: float) -> bool:
        if self.began is None and path.endswith(self.call):
            self.began = now
        if self.began is None:
            return False
        late = now - self.began - self.seconds
        if late >= 0 and self.late is None:
            self.late = late
        return late < 0


CALLS = [
    "/registration-sessions",
    "/jobs/batch",
    "/artifacts/batch",
    "/composites",
    "/inputs",
    "/outputs",
    "/finalize",
    "/labels/batch",
]


@pytest.mark.parametrize(
    ("call", "front"), [*((call, "404 HTML") for call in CALLS), *(("/inputs", front) for front in FRONTS)]
)
def test_a_front_is_waited_out_and_nothing_is_sent_twice(call: str, front: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        spell = Spell(call, 120)
        world, placed = behind(front, spell, tmp_path)
        end = await world.live(Weather(random.Random(1)), patience=300)
        assert isinstance(end, Progress), end
        assert (end.state, end.epoch) == (State.DONE, 0), end.detail
        assert placed.answered
        world.check_published()
        waits = [report for report in world.reports if isinstance(report, Waiting)]
        assert {wait.reason for wait in waits} == {"intermediary"}
        assert max(wait.seconds for wait in waits) <= 4
        assert spell.late is not None
        assert spell.late < 5, "a registry that is back is noticed within five seconds"

    run_virtually(scenario, 0)


@pytest.mark.parametrize("front", ["404 HTML", "401 HTML", "200 of a sign-in page"])
def test_an_intermediary_that_stays_interrupts_and_the_next_process_waits_as_well(front: str, tmp_path: Path) -> None:
    async def scenario() -> None:
        world, _ = behind(front, Spell("/inputs", 500), tmp_path)
        calm = Weather(random.Random(1))
        end = await world.live(calm, patience=300)
        assert isinstance(end, Transient), end
        assert (end.reason, end.conclusion) == ("intermediary", Conclusion.INTERRUPTED)
        assert "in place of the registry" in end.what
        assert end.next_step
        resumed = await world.live(calm, patience=300)
        assert isinstance(resumed, Progress), resumed
        assert (resumed.state, resumed.epoch) == (State.DONE, 0)
        world.check_published()

    run_virtually(scenario, 0)


def test_an_intermediary_that_answers_first_is_not_a_registry(tmp_path: Path) -> None:
    async def scenario() -> None:
        world, _ = behind("404 HTML", lambda path, now: True, tmp_path)
        end = await world.live(Weather(random.Random(1)), patience=300)
        assert isinstance(end, Transient), end
        assert (end.reason, end.conclusion) == ("not glaas", Conclusion.INTERRUPTED)
        assert anyio.current_time() < 10
        assert set(world.requests) == {"/api/v1/health"}, "a web server is not sent the lineage"

    run_virtually(scenario, 0)


def test_a_front_and_a_busy_registry_in_turns_do_not_wait_for_ever(tmp_path: Path) -> None:
    async def scenario() -> None:
        world, _ = behind("404 HTML", lambda path, now: path.endswith("/inputs"), tmp_path)
        world.app = Front(world.app, by_turns("/inputs"), 429, b"")
        end = await world.live(Weather(random.Random(1)), patience=60)
        assert isinstance(end, Transient), end
        assert anyio.current_time() < 120

    run_virtually(scenario, 0)


def by_turns(call: str) -> Callable[[str, float], bool]:
    """Every second request of one kind."""
    number = itertools.count()
    return lambda path, now: path.endswith(call) and next(number) % 2 == 0
