"""`roar journal` as processes: what it shows, and what it changes."""

import os
import time
from pathlib import Path

import pytest

from state.errors import PublisherError
from state.journal import Journal
from state.lock import Lock
from state.machine import Event
from state.paths import StateFolder
from tests.cli.program import Program

DAY = 86400.0


@pytest.fixture
def interrupted(program: Program, registry: str) -> str:
    """The id of a publish that waits for a person's consent."""
    program("publish", "--anonymous", "--registry", registry).blames(4)
    return program.publishes[0]


def _journal(program: Program, publish_id: str) -> Path:
    return StateFolder(program.state).find(publish_id).journal


def _end(program: Program, publish_id: str, event: Event, *, days_ago: float = 0.0) -> None:
    """Bring a publish to an end in its journal, some days ago."""
    with Journal(_journal(program, publish_id), clock=lambda: time.time() - days_ago * DAY) as journal:
        journal.checkpoint(event, reason="rejected", detail="the registry refused: no")


def test_an_empty_journal_says_so(program: Program) -> None:
    done = program("journal", "list")
    assert (done.code, done.out) == (0, "")
    assert "No publishes" in done.err
    assert program("journal", "list", "--json").out == ""
    assert not program.state.exists()


def test_list_tells_why_it_stopped_and_what_to_type(program: Program, interrupted: str) -> None:
    line = program("journal", "list").out.splitlines()[1]
    for words in (interrupted, "interrupted", "0 %", "needs confirmation", f"roar publish --resume {interrupted}"):
        assert words in line


def test_list_as_json_is_an_object_a_line(program: Program, interrupted: str, registry: str) -> None:
    [facts] = program("journal", "list", "--json").events
    assert facts["publish_id"] == interrupted
    assert (facts["status"], facts["state"], facts["owner"]) == ("interrupted", "auth-select", None)
    assert (facts["registry"], facts["project"]) == (registry, str(program.cwd))
    assert facts["items"] == {"done": 0, "total": 22}
    assert facts["next"] == f"roar publish --resume {interrupted}"


def test_list_shows_who_works_on_a_publish(program: Program, interrupted: str) -> None:
    with Lock(_journal(program, interrupted).with_name("lock")):
        [facts] = program("journal", "list", "--json").events
        shown = program("journal", "list").out
    assert (facts["status"], facts["owner"]) == ("running", os.getpid())
    assert f"auth-select, owned by pid {os.getpid()}" in shown


def test_show_has_the_plan_the_units_and_the_history(program: Program, interrupted: str) -> None:
    shown = program("journal", "show", interrupted[:3])
    assert shown.code == 0
    for words in (interrupted, "2 jobs, 6 inputs, 6 outputs", "probe → auth-select", "needs your consent"):
        assert words in shown.out
    [facts] = program("journal", "show", interrupted, "--json").events
    assert [row["event"] for row in facts["history"]] == ["probed"]
    assert facts["kinds"]["jobs"] == {"units": 1, "acked_units": 0, "items": 2, "acked_items": 0}


def test_a_terminal_without_unicode_is_no_defect(program: Program, interrupted: str) -> None:
    plain = Program(program.cwd, program.state, program.env | {"PYTHONIOENCODING": "latin-1"})
    shown = plain("journal", "show", interrupted)
    assert shown.code == 0
    assert "probe \\u2192 auth-select" in shown.out


def test_show_of_what_is_not_there_is_a_usage_error(program: Program) -> None:
    program("journal", "show", "12ab").blames(2, "there is no publish '12ab'", "roar journal list")


def test_cancel_ends_it_and_forgets_the_session_token(program: Program, interrupted: str) -> None:
    paths = StateFolder(program.state).find(interrupted)
    paths.write_session_token("a token")
    assert program("journal", "cancel", interrupted).code == 0
    assert not paths.session_token.exists()
    [facts] = program("journal", "list", "--json").events
    assert facts["status"] == "cancelled"
    program("journal", "cancel", interrupted).blames(2, "cancelled already")


def test_what_somebody_works_on_is_not_cancelled(program: Program, interrupted: str) -> None:
    with Lock(_journal(program, interrupted).with_name("lock")):
        program("journal", "cancel", interrupted).blames(5, f"pid {os.getpid()}")
    [facts] = program("journal", "list", "--json").events
    assert facts["status"] == "interrupted"


def test_a_failed_publish_is_retried_and_then_published(program: Program, interrupted: str) -> None:
    _end(program, interrupted, Event.REJECTED)
    [facts] = program("journal", "list", "--json").events
    assert (facts["status"], facts["next"]) == ("failed", f"roar journal retry {interrupted}")
    [retried] = program("journal", "retry", interrupted, "--json").events
    assert retried["next"] == f"roar publish --resume {interrupted}"
    assert program("publish", "--resume", interrupted, "-y").code == 0


def test_what_is_parked_or_waits_may_be_tried_again_at_once(program: Program, interrupted: str) -> None:
    with Journal(_journal(program, interrupted)) as journal:
        journal.queue.postpone(attempts=3, until=time.time() + DAY)
        journal.queue.park(reason="auth", detail="sign in")
    [facts] = program("journal", "list", "--json").events
    assert (facts["parked"], facts["attempts"], facts["turn"]) == (True, 3, "person")
    assert program("journal", "retry", interrupted).code == 0
    [facts] = program("journal", "list", "--json").events
    assert (facts["parked"], facts["attempts"], facts["next_attempt"]) == (False, 0, None)


def test_what_was_cancelled_is_not_tried_again(program: Program, interrupted: str) -> None:
    _end(program, interrupted, Event.CANCELLED)
    program("journal", "retry", interrupted).blames(2, "is cancelled already")


def test_prune_removes_what_ended_long_ago_and_says_so(program: Program, interrupted: str, registry: str) -> None:
    program("publish", "@1", "--anonymous", "--registry", registry).blames(4)
    [younger] = set(program.publishes) - {interrupted}
    _end(program, interrupted, Event.REJECTED, days_ago=31)
    _end(program, younger, Event.CANCELLED, days_ago=29)
    pruned = program("journal", "prune")
    assert (pruned.code, pruned.out) == (0, f"Removed {interrupted} (failed, 31 d ago)\n")
    assert program.publishes == [younger]
    assert "Nothing to remove" in program("journal", "prune").err
    [removed] = program("journal", "prune", "--older-than", "4w", "--json").events
    assert removed == {"event": "removed", "publish_id": younger, "status": "cancelled"}
    assert program.publishes == []


def test_prune_all_takes_the_young_too_but_never_what_can_be_resumed(
    program: Program, interrupted: str, registry: str
) -> None:
    program("publish", "@1", "--anonymous", "--registry", registry).blames(4)
    [other] = set(program.publishes) - {interrupted}
    _end(program, other, Event.CANCELLED)
    assert program("journal", "prune", "--all").code == 0
    assert program.publishes == [interrupted]


def test_prune_removes_plans_that_were_never_finished(program: Program) -> None:
    folder = StateFolder(program.state)
    begun, left, owned = (folder.new_publish() for _ in range(3))
    for paths in (left, owned):
        Journal(paths.journal).close()
        os.utime(paths.folder, (time.time() - 61,) * 2)
    with Lock(owned.lock):
        os.utime(owned.folder, (time.time() - 61,) * 2)
        assert program("journal", "prune").out.startswith(f"Removed {left.id} (never finished")
    assert program.publishes == sorted([begun.id, owned.id])


def test_prune_leaves_what_it_can_not_read(program: Program, interrupted: str) -> None:
    _journal(program, interrupted).write_bytes(b"noise" * 5000)
    assert program("journal", "prune", "--all").code == 0
    assert program.publishes == [interrupted]
    with pytest.raises(PublisherError), Journal(_journal(program, interrupted)) as journal:
        journal.plan()


@pytest.mark.parametrize("age", ["30", "d30", "-1d", "soon"])
def test_an_age_that_is_none_is_a_usage_error(program: Program, age: str) -> None:
    program("journal", "prune", f"--older-than={age}").blames(2, "is no age")
