"""Why a publish stands as it does: one documented code, whose turn it is, and what to type."""

import time
from collections.abc import Callable
from typing import cast

import pytest

from roar_publisher.cli.status import explain, next_step
from roar_publisher.state.lock import Lock
from roar_publisher.state.machine import Event
from roar_publisher.state.meanings import MEANINGS
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status import CountedStatus, HostStatus
from roar_publisher.state.status_reader import count_status
from tests.support.cli.program import Program
from tests.support.lineages import chain, cut, frozen
from tests.support.state.folders import new_publish

NOON = 1_700_000_000.0
LINEAGE = cut(chain(2))
Injected = Callable[[OwnedPublish], object]


def standing(owned: OwnedPublish, *, daemon: int | None = None, room: bool = True) -> CountedStatus:
    return count_status(owned.paths, HostStatus(NOON, daemon, room))


@pytest.fixture
def left(folder: StateFolder) -> OwnedPublish:
    """A publish that nobody works on; its journal stays open."""
    owned = frozen(folder, LINEAGE)
    owned._lock.release()
    return owned


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in ("published", "cancelled", "no plan")])
def test_a_reason_in_the_journal_is_told_as_it_is(left: OwnedPublish, reason: Reason) -> None:
    left.journal.note(reason=reason, detail="a detail")
    seen = standing(left)
    assert (seen.reason, seen.meaning) == (reason, MEANINGS[reason])


@pytest.mark.parametrize(
    ("event", "code"),
    [(Event.REJECTED, "failed"), (Event.CANCELLED, "cancelled")],
)
def test_an_end_is_a_reason_too(left: OwnedPublish, event: Event, code: str) -> None:
    left.journal.checkpoint(event)
    assert standing(left).reason == code


def test_a_code_that_nobody_documented_is_not_told(left: OwnedPublish) -> None:
    left.journal.note(reason=cast(Reason, "something of a later release"), detail="x")
    assert standing(left).reason == Reason.LOCAL
    left.journal.checkpoint(Event.REJECTED, reason=cast(Reason, "something else"))
    assert standing(left).reason == Reason.FAILED


def test_a_disk_without_room_is_a_fact_of_now(left: OwnedPublish) -> None:
    left.journal.note(reason=Reason.OFFLINE, detail="x")
    assert standing(left, room=False).reason == Reason.DISK_FULL
    assert standing(left).reason == Reason.OFFLINE
    left.journal.checkpoint(Event.CANCELLED)
    assert standing(left, room=False).reason == Reason.CANCELLED


def test_what_is_left_to_the_daemon_is_queued(left: OwnedPublish) -> None:
    assert (standing(left).reason, standing(left).label) == (Reason.CRASHED, "interrupted")
    left.journal.queue.detach()
    assert (standing(left).reason, standing(left).label) == (Reason.QUEUED, "queued")
    assert next_step(standing(left)) == f"roar daemon start, or: roar publish --resume {left.paths.id}"
    left.journal.park(reason=Reason.AUTH, detail="sign in")
    assert (standing(left).reason, standing(left).label) == (Reason.AUTH, "parked")


def test_waiting_says_until_when(left: OwnedPublish) -> None:
    left.journal.note(reason=Reason.THROTTLED, detail="x")
    left.journal.queue.postpone(attempts=1, until=NOON + 90)
    at = time.strftime("%H:%M:%S", time.localtime(NOON + 90))
    assert explain(standing(left)) == f"throttled until {at}"
    left.journal.note(reason=Reason.OFFLINE, detail="x")
    assert explain(standing(left, daemon=1)) == f"offline, next attempt {at}"
    assert explain(standing(left)) == "offline"  # nobody will attempt anything
    with Lock(left.paths.lock):
        assert standing(left, daemon=1).next_attempt is None
    left.journal.queue.postpone(attempts=1, until=NOON - 1)
    assert (standing(left, daemon=1).next_attempt, explain(standing(left, daemon=1))) == (None, "offline")


def test_what_to_type_follows_from_whose_turn_it_is(left: OwnedPublish) -> None:
    publish_id = left.paths.id
    resume, watch = f"roar publish --resume {publish_id}", f"roar publish --watch {publish_id}"
    left.journal.note(reason=Reason.OFFLINE, detail="x")
    assert next_step(standing(left)) == resume
    assert next_step(standing(left, daemon=1)) == watch
    left.journal.park(reason=Reason.AUTH, detail="x")
    assert next_step(standing(left, daemon=1)) == f"sign in (roar login); then: {resume}"
    with Lock(left.paths.lock):
        assert next_step(standing(left)) == watch
    left.journal.checkpoint(Event.REJECTED)
    assert next_step(standing(left)) == f"roar journal retry {publish_id}"


@pytest.mark.parametrize("reason", [Reason.AUTH, Reason.FILE_CHANGED, Reason.OFFLINE])
def test_show_why_answers_with_one_code_and_its_exit_code(
    folder: StateFolder, program: Program, reason: Reason
) -> None:
    with frozen(StateFolder(program.state), LINEAGE) as owned:
        owned.journal.note(reason=reason, detail="what happened")
    asked = program("journal", "show", owned.paths.id, "--why", "--json")
    assert asked.code == 0
    [answer] = asked.events
    assert (answer["reason"], answer["detail"]) == (reason, "what happened")
    assert (answer["turn"], answer["exit_code"]) == (MEANINGS[reason].turn, MEANINGS[reason].code)
    shown = program("journal", "show", owned.paths.id, "--why").out
    for words in (reason, MEANINGS[reason].text, "what happened", answer["next"]):
        assert words in shown


def test_why_of_a_damaged_journal_is_an_answer(program: Program) -> None:
    paths = new_publish(StateFolder(program.state))
    [answer] = program("journal", "show", paths.id, "--why", "--json").events
    assert (answer["status"], answer["reason"], answer["exit_code"]) == ("unreadable", "no plan", 1)
    paths.journal.write_bytes(b"noise" * 2_000)
    [answer] = program("journal", "show", paths.id, "--why", "--json").events
    assert (answer["reason"], answer["turn"]) == ("damaged journal", "person")


def test_every_code_is_in_the_help(program: Program) -> None:
    shown = " ".join(program("journal", "show", "--help").out.split())
    for reason, meaning in MEANINGS.items():
        assert f"{reason} {meaning.code:d} {meaning.text}" in shown
