"""What a publish waits for, as other processes read it in the journal: noted if it lasts, and taken back at its end."""

from typing import cast

import anyio
import pytest

from roar_publisher.engine.journal import AsyncJournal
from roar_publisher.engine.waits import DEBOUNCE_SECONDS, WaitRecorder
from roar_publisher.report import Advanced, Entered, Noted, ObjectStored, Report, Retrying, Sent, Waiting
from roar_publisher.state.machine import State
from roar_publisher.state.reasons import Reason
from roar_publisher.state.units import Kind
from tests.support import virtual


class Notes:
    """A journal that keeps what was noted."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    async def note_wait(self, reason: str) -> None:
        self.reasons.append(reason)


def noted(*reports: Report, pause: float = 2 * DEBOUNCE_SECONDS) -> list[str]:
    """Return what was noted of reports. pause: seconds after each."""
    notes, forwarded = Notes(), list[Report]()

    async def scenario() -> None:
        recorder = WaitRecorder(cast(AsyncJournal, notes), forwarded.append)
        async with recorder.recorded():
            for report in reports:
                recorder.report(report)
                await anyio.sleep(pause)

    virtual.run(scenario)
    assert forwarded == list(reports)
    return notes.reasons


@pytest.mark.parametrize(
    "progress",
    [Entered(State.STAGE, None), Advanced(Kind.JOBS, 1), ObjectStored("key", 1, sent=True), Sent("key", 1)],
    ids=lambda report: type(report).__name__,
)
def test_a_wait_ends_with_the_next_progress(progress: Report) -> None:
    assert noted(Waiting(Reason.OFFLINE, 5.0), progress) == [Reason.OFFLINE, ""]


def test_a_step_that_waits_for_the_same_at_once_is_noted_again() -> None:
    """The checkpoint before it has cleared the journal's reason."""
    notes = Notes()

    async def scenario() -> None:
        recorder = WaitRecorder(cast(AsyncJournal, notes), lambda report: None)
        async with recorder.recorded():
            for report in (Waiting(Reason.OFFLINE, 5.0), Entered(State.STAGE, None)):
                recorder.report(report)
                recorder.report(Waiting(Reason.OFFLINE, 5.0))
                await anyio.sleep(2 * DEBOUNCE_SECONDS)

    virtual.run(scenario)
    assert notes.reasons == [Reason.OFFLINE, Reason.OFFLINE]


def test_what_is_no_progress_ends_no_wait() -> None:
    assert noted(Waiting(Reason.OFFLINE, 5.0), Noted("text"), Retrying("what", 1, 1.0)) == [Reason.OFFLINE]


def test_short_waits_are_not_written() -> None:
    short = DEBOUNCE_SECONDS / 4
    assert noted(Waiting(Reason.THROTTLED, 0.1), Sent("key", 1), Waiting(Reason.OFFLINE, 5.0), pause=short) == []
