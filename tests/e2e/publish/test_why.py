"""The reason for a status: one documented code, who acts next, and what to type."""

import time
from collections.abc import Callable
from typing import cast

import pytest

from roar_publisher.exit_codes import exit_code_of
from roar_publisher.publishing.status import explain, next_step
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


def status_of(owned: OwnedPublish, *, daemon: int | None = None, room: bool = True) -> CountedStatus:
    return count_status(owned.paths, HostStatus(NOON, daemon, room))


@pytest.fixture
def unowned(folder: StateFolder) -> OwnedPublish:
    """A publish that no process works on; its journal is still open."""
    owned = frozen(folder, LINEAGE)
    owned._lock.release()
    return owned


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason not in ("published", "cancelled", "no plan")])
def test_a_recorded_reason_is_reported(unowned: OwnedPublish, reason: Reason) -> None:
    unowned.journal.note(reason=reason, detail="a detail")
    seen = status_of(unowned)
    assert (seen.reason, seen.meaning) == (reason, MEANINGS[reason])


@pytest.mark.parametrize(
    ("event", "code"),
    [(Event.REJECTED, "failed"), (Event.CANCELLED, "cancelled")],
)
def test_an_end_is_a_reason(unowned: OwnedPublish, event: Event, code: str) -> None:
    unowned.journal.checkpoint(event)
    assert status_of(unowned).reason == code


def test_an_undocumented_code_is_not_reported(unowned: OwnedPublish) -> None:
    unowned.journal.note(reason=cast(Reason, "something of a later release"), detail="x")
    assert status_of(unowned).reason == Reason.LOCAL
    unowned.journal.checkpoint(Event.REJECTED, reason=cast(Reason, "something else"))
    assert status_of(unowned).reason == Reason.FAILED


def test_a_full_disk_is_checked_now(unowned: OwnedPublish) -> None:
    unowned.journal.note(reason=Reason.OFFLINE, detail="x")
    assert status_of(unowned, room=False).reason == Reason.DISK_FULL
    assert status_of(unowned).reason == Reason.OFFLINE
    unowned.journal.checkpoint(Event.CANCELLED)
    assert status_of(unowned, room=False).reason == Reason.CANCELLED


def test_what_is_left_to_the_daemon_is_queued(unowned: OwnedPublish) -> None:
    assert (status_of(unowned).reason, status_of(unowned).label) == (Reason.CRASHED, "interrupted")
    unowned.journal.queue.detach()
    assert (status_of(unowned).reason, status_of(unowned).label) == (Reason.QUEUED, "queued")
    assert next_step(status_of(unowned)) == f"roar daemon start, or: roar publish --resume {unowned.paths.id}"
    unowned.journal.park(reason=Reason.AUTH, detail="sign in")
    assert (status_of(unowned).reason, status_of(unowned).label) == (Reason.AUTH, "parked")


@pytest.mark.parametrize("daemon", [None, 1])
def test_a_consent_is_asked_for_by_a_command_that_gives_it(unowned: OwnedPublish, daemon: int | None) -> None:
    """Also before the daemon that runs has parked it, and where none runs: starting one would not help."""
    unowned.journal.queue.detach()
    unowned.journal.note(reason=Reason.NEEDS_CONFIRMATION, detail="x")
    agree = f"roar publish --resume {unowned.paths.id} --yes"
    assert next_step(status_of(unowned, daemon=daemon)) == agree
    unowned.journal.park(reason=Reason.NEEDS_CONFIRMATION, detail="x")
    assert next_step(status_of(unowned, daemon=daemon)) == agree


def test_a_wait_has_an_end(unowned: OwnedPublish) -> None:
    unowned.journal.note(reason=Reason.THROTTLED, detail="x")
    unowned.journal.queue.postpone(attempts=1, until=NOON + 90)
    at = time.strftime("%H:%M:%S", time.localtime(NOON + 90))
    assert explain(status_of(unowned)) == f"throttled until {at}"
    unowned.journal.note(reason=Reason.OFFLINE, detail="x")
    assert explain(status_of(unowned, daemon=1)) == f"offline, next attempt {at}"
    assert explain(status_of(unowned)) == "offline"  # no process will attempt anything
    with Lock(unowned.paths.lock):
        assert status_of(unowned, daemon=1).next_attempt is None
    unowned.journal.queue.postpone(attempts=1, until=NOON - 1)
    assert (status_of(unowned, daemon=1).next_attempt, explain(status_of(unowned, daemon=1))) == (None, "offline")


def test_the_next_command_follows_from_who_acts_next(unowned: OwnedPublish) -> None:
    publish_id = unowned.paths.id
    resume, watch = f"roar publish --resume {publish_id}", f"roar publish --watch {publish_id}"
    unowned.journal.note(reason=Reason.OFFLINE, detail="x")
    assert next_step(status_of(unowned)) == resume
    assert next_step(status_of(unowned, daemon=1)) == watch
    unowned.journal.park(reason=Reason.AUTH, detail="x")
    assert next_step(status_of(unowned, daemon=1)) == f"sign in (roar login); then: {resume}"
    with Lock(unowned.paths.lock):
        assert next_step(status_of(unowned)) == watch
    unowned.journal.checkpoint(Event.REJECTED)
    assert next_step(status_of(unowned)) == f"roar journal retry {publish_id}"


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
    assert (answer["turn"], answer["exit_code"]) == (MEANINGS[reason].turn, exit_code_of(MEANINGS[reason].conclusion))
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
        assert f"{reason} {exit_code_of(meaning.conclusion):d} {meaning.text}" in shown
