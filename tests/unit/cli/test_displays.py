"""The displays, fed by hand: what they say, when they say it, and how it fits a terminal."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from roar_publisher.cli.display.base import Display
from roar_publisher.cli.display.jsonlines import JsonDisplay
from roar_publisher.cli.display.live import LiveDisplay, _bar, draw
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.plain import PlainDisplay
from roar_publisher.publishing.meter import Meter
from roar_publisher.publishing.result import Result
from roar_publisher.report import Advanced, Entered, Noted, ObjectStored, Planned, Retrying, Waiting
from roar_publisher.state.machine import Event, State
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.state.units import Kind
from tests.support.cli.reports import PLAN, HandClock

DONE = Progress(state=State.DONE, hash="a" * 64, url="https://registry.example/dag/a")
STAGED = Planned({Kind.JOBS: 1_000, Kind.INPUTS: 3_000}, {Kind.JOBS: 1_000, Kind.INPUTS: 0}, {Kind.INPUTS: 300})


@pytest.fixture
def seconds() -> HandClock:
    return HandClock()


# -------------------------------------------------------------------------------------------------------- the meter


def test_what_earlier_runs_sent_counts_as_done_but_not_as_speed(seconds: HandClock) -> None:
    meter = Meter(seconds)
    meter.take(Entered(State.STAGE, Event.OPENED))
    meter.take(STAGED)
    assert (meter.done, meter.total, meter.rate) == (1_000, 4_000, None)
    for _ in range(2):
        seconds.sleep(1)
        meter.take(Advanced(Kind.INPUTS, 500))
    assert (meter.done, meter.rate) == (2_000, 500.0)


def test_the_time_that_is_left_is_told_once_it_is_known(seconds: HandClock) -> None:
    assert _busy(seconds).seconds_left == pytest.approx(20.0)
    meter = Meter(seconds)
    meter.take(STAGED)
    seconds.sleep(1)
    meter.take(Advanced(Kind.INPUTS, 500, 50))
    assert meter.seconds_left is None


def test_the_rate_is_that_of_the_last_seconds(seconds: HandClock) -> None:
    meter = Meter(seconds)
    meter.take(STAGED)
    for items in [1] * 20 + [100] * 20:
        seconds.sleep(1)
        meter.take(Advanced(Kind.INPUTS, items))
    assert meter.rate == pytest.approx(100.0)


def test_a_delay_counts_down_and_ends_when_something_moves(seconds: HandClock) -> None:
    meter = Meter(seconds)
    meter.take(STAGED)
    meter.take(Waiting(Reason.OFFLINE, 4.0))
    seconds.sleep(1)
    delays = [meter.delay]
    meter.take(Advanced(Kind.INPUTS, 1))
    delays.append(meter.delay)
    meter.take(Retrying("HTTP 500", 1, 2.0))
    seconds.sleep(2)
    delays.append(meter.delay)
    assert delays == [("offline", 3.0), None, None]


def test_a_new_phase_starts_from_nothing(seconds: HandClock) -> None:
    meter = Meter(seconds)
    meter.take(STAGED)
    meter.take(Waiting(Reason.OFFLINE, 4.0))
    meter.take(Entered(State.FINALIZE, Event.STAGED))
    assert (meter.done, meter.total, meter.delay, meter.elapsed) == (0, 0, None, 0.0)


# ------------------------------------------------------------------------------------------------------ plain lines


def _lines(display: Display, seconds: HandClock) -> None:
    display.planning()
    display.planned(PLAN, resumed=True)
    display.report(Entered(State.PROBE, None))
    display.report(Entered(State.STAGE, Event.OPENED))
    display.report(STAGED)
    for _ in range(25):
        seconds.sleep(1)
        display.report(Advanced(Kind.INPUTS, 100, 10))
        display.tick()
    display.report(Waiting(Reason.THROTTLED, 30.0))
    seconds.sleep(6)
    display.tick()
    display.report(Noted("the labels are still to be sent"))
    display.report(Entered(State.FINALIZE, Event.STAGED))
    display.report(Entered(State.DONE, Event.FINALIZED))
    display.published(Result(PLAN, DONE))
    display.close()


def test_plain_lines_are_one_a_phase_and_one_every_ten_seconds(seconds: HandClock) -> None:
    out, err = io.StringIO(), io.StringIO()
    _lines(PlainDisplay(Output(out), Output(err), seconds, verbose=False), seconds)
    assert err.getvalue().splitlines() == [
        "Reading the lineage",
        "Resuming 12ab34cd, begun earlier: 1,500 jobs, 15,000 links to https://registry.example",
        "Asking the registry",
        "Sending lineage",
        "Sending lineage: 2,000/4,000 items, 100/s",
        "Sending lineage: 3,000/4,000 items, 100/s, 10 s left",
        "Sending lineage: 3,500/4,000 items, the registry asks to wait, next try in 24 s",
        "Note: the labels are still to be sent",
        "  2,500 items in 31 s",
        "Publishing",
        "Public, published anonymously.",
        "Published 1,500 jobs, 7,500 inputs and 7,500 outputs in 31 s:",
    ]
    assert out.getvalue().splitlines() == ["a" * 64, "https://registry.example/dag/a"]


@pytest.mark.parametrize("moving", [False, True])
def test_what_is_watched_is_not_said_to_be_published_here(seconds: HandClock, moving: bool) -> None:
    out, err, console = Output(io.StringIO()), io.StringIO(), _console(100)
    watcher = LiveDisplay(out, console, seconds, verbose=False)
    display: Display = watcher if moving else PlainDisplay(out, Output(err), seconds, verbose=False)
    display.watching(PLAN)
    seconds.sleep(60)
    display.published(Result(PLAN, DONE))
    display.close()
    shown = _written(console) if moving else err.getvalue()
    assert "Watching 12ab34cd: 1,500 jobs, 15,000 links to https://registry.example" in shown
    assert "Published 1,500 jobs, 7,500 inputs and 7,500 outputs:" in shown
    assert "Publishing" not in shown


def test_a_setback_is_told_in_words(seconds: HandClock) -> None:
    err = io.StringIO()
    display = PlainDisplay(Output(io.StringIO()), Output(err), seconds, verbose=True)
    display.report(Entered(State.OPEN, Event.SESSION_LOST))
    display.report(Retrying("HTTP 500\x1b[2J", 2, 0.25))
    assert err.getvalue().splitlines() == [
        "Note: the registry lost the session: everything is sent again in a new one",
        "Opening a session",
        "  session-lost → open",
        "  attempt 2 failed (HTTP 500 [2J): again in 0.2 s",
    ]


# ------------------------------------------------------------------------------------------------------- JSON lines


def test_json_progress_comes_once_a_second_and_with_the_last_count(seconds: HandClock) -> None:
    out = io.StringIO()
    display = JsonDisplay(Output(out), seconds)
    display.planned(PLAN, resumed=False)
    display.report(Entered(State.STAGE, Event.OPENED))
    display.report(STAGED)
    for _ in range(24):
        seconds.sleep(0.125)
        display.report(Advanced(Kind.INPUTS, 125))
    display.report(Waiting(Reason.OFFLINE, 1.23456))
    display.report(Retrying("HTTP 500", 1, 0.5))
    display.report(Noted("by the way"))
    display.report(Entered(State.FINALIZE, Event.STAGED))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    progress = [event for event in events if event["event"] == "progress"]
    assert [event["done"] for event in progress] == [1_000, 2_000, 3_000, 4_000]
    assert progress[1] == _progress(2_000, 1_000.0, None)
    assert events[-4:] == [
        {"event": "waiting", "reason": "offline", "seconds": 1.235},
        {"event": "retrying", "what": "HTTP 500", "attempt": 1, "seconds": 0.5},
        {"event": "note", "text": "by the way"},
        {"event": "state", "publish_id": PLAN.id, "state": "finalize", "because": "staged"},
    ]


def test_json_progress_ends_a_phase_with_what_was_done(seconds: HandClock) -> None:
    out = io.StringIO()
    display = JsonDisplay(Output(out), seconds)
    display.report(Entered(State.STAGE, Event.OPENED))
    display.report(STAGED)
    seconds.sleep(0.5)
    display.report(Advanced(Kind.INPUTS, 3_000))
    display.report(Entered(State.FINALIZE, Event.STAGED))
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert events[-2] == _progress(4_000, None, None)


def _progress(done: int, per_second: float | None, seconds_left: float | None) -> dict[str, Any]:
    counts = {"event": "progress", "state": "stage", "done": done, "total": 4_000, "unit": "items"}
    return counts | {"per_second": per_second, "seconds_left": seconds_left}


# ------------------------------------------------------------------------------------------------ a moving terminal


def _console(width: int, *, encoding: str = "utf-8") -> Console:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    return Console(file=stream, width=width, height=24, force_terminal=True, color_system=None, legacy_windows=False)


def _busy(seconds: HandClock) -> Meter:
    meter = Meter(seconds)
    meter.take(Entered(State.STAGE, Event.OPENED))
    meter.take(STAGED)
    for _ in range(100):
        seconds.sleep(0.1)
        meter.take(Advanced(Kind.INPUTS, 10))
    return meter


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (100, "Sending lineage        ━━━━━━━━━━━━━━━━━━━━──────────────────── 2,000/4,000  100/s  20 s left"),
        (60, "Sending lineage         2,000/4,000  100/s  20 s left"),
        (67, "Sending lineage        ━━━━━━─────── 2,000/4,000  100/s  20 s left"),
        (30, "Sending lineage         2,00…"),
    ],
)
def test_the_line_of_a_phase_fits_the_terminal(seconds: HandClock, width: int, line: str) -> None:
    [drawn] = draw(_busy(seconds), _console(width))
    assert drawn.plain == line
    assert len(drawn.plain) < width


def test_a_terminal_without_unicode_gets_plain_bars(seconds: HandClock) -> None:
    [drawn] = draw(_busy(seconds), _console(100, encoding="ascii"))
    assert "====----" in drawn.plain


def test_a_bar_is_full_at_the_end_alone() -> None:
    """The last percent of ten terabytes takes hours."""
    bars = [_bar(share, 20, ascii_only=True).plain for share in (0.0, 0.04, 0.05, 0.999, 1.0, 1.2)]
    assert bars == ["-" * 20, "-" * 20, "=" + "-" * 19, "=" * 19 + "-", "=" * 20, "=" * 20]


def test_a_delay_is_shown_below_its_phase_without_a_speed(seconds: HandClock) -> None:
    meter = _busy(seconds)
    meter.take(Waiting(Reason.OFFLINE, 3.0))
    drawn = [line.plain for line in draw(meter, _console(80))]
    assert drawn[0].endswith(" 2,000/4,000")
    assert drawn[1] == "  the registry cannot be reached, next try in 3 s"


@pytest.mark.parametrize("width", [24, 60, 100])
def test_the_moving_display_leaves_a_line_for_each_phase(seconds: HandClock, width: int) -> None:
    out, console = io.StringIO(), _console(width)
    _lines(LiveDisplay(Output(out), console, seconds, verbose=False), seconds)
    screen = _written(console)
    for words in ("Asking the registry", "Sending lineage", "Published 1,500 jobs", "labels are still to be sent"):
        assert words.split()[0] in screen
    assert out.getvalue().splitlines() == ["a" * 64, "https://registry.example/dag/a"]


def test_an_interrupted_phase_stays_visible_and_the_cursor_too(seconds: HandClock) -> None:
    console = _console(100)
    display = LiveDisplay(Output(io.StringIO()), console, seconds, verbose=False)
    display.planned(PLAN, resumed=False)
    display.report(Entered(State.STAGE, Event.OPENED))
    display.report(STAGED)
    display.stopping()
    display.close()
    display.close()
    screen = _written(console)
    assert screen.rstrip().endswith("1,000/4,000")
    assert "Stopping" in screen
    assert screen.rfind("\x1b[?25h") > screen.rfind("\x1b[?25l")


def _written(console: Console) -> str:
    stream = console.file
    assert isinstance(stream, io.TextIOWrapper)
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


@pytest.mark.parametrize("moving", [False, True])
def test_a_file_is_one_line_even_with_control_characters(moving: bool, seconds: HandClock) -> None:
    err = io.StringIO()
    out, console = Output(io.StringIO()), Console(file=err, width=200, force_terminal=False)
    display: Display = LiveDisplay(out, console, seconds, verbose=True)
    if not moving:
        display = PlainDisplay(out, Output(err), seconds, verbose=True)
    display.report(ObjectStored("a: 1 B\nPublished 5 jobs\x1b[2J", 7, sent=True))
    assert err.getvalue() == "  a: 1 B\\nPublished 5 jobs\\x1b[2J: 7 B\n"
