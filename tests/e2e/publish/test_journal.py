"""`roar journal` as processes: what it shows, and what it changes."""

import json
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import asdict, replace

from roar_publisher.cli.journal import actions as actions
from roar_publisher.publishing import cancelling
from roar_publisher.publishing.running import Runner, run_here
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock
from roar_publisher.state.machine import Event
from roar_publisher.state.objects import ObjectRow
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import Unreadable, count_status, read_all
from roar_publisher.storage.store import Upload
from tests.support.cli.program import Program
from tests.support.lineages import chain, cut, frozen, plan_of
from tests.support.state.folders import new_publish

DAY = 86400.0


@pytest.fixture
def interrupted(program: Program, registry: str) -> str:
    """The id of a publish that needs user action's consent."""
    program("publish", "--anonymous", "--registry", registry).blames(4)
    return program.publishes[0]


def _journal(program: Program, publish_id: str) -> Path:
    return StateFolder(program.state).find(publish_id).journal


def _end(program: Program, publish_id: str, event: Event, *, days_ago: float = 0.0) -> None:
    """Bring a publish to an end in its journal, some days ago."""
    with Journal(_journal(program, publish_id), clock=lambda: time.time() - days_ago * DAY) as journal:
        journal.checkpoint(event, reason=Reason.REJECTED, detail="the registry refused: no")


def test_an_empty_journal_says_so(program: Program) -> None:
    done = program("journal", "list")
    assert (done.code, done.out) == (0, "")
    assert "No publishes" in done.err
    assert program("journal", "list", "--json").out == ""
    assert not program.state.exists()


def test_list_tells_why_it_stopped_and_what_to_type(program: Program, interrupted: str) -> None:
    line = program("journal", "list").out.splitlines()[1]
    for words in (
        interrupted,
        "interrupted",
        "0 %",
        "needs confirmation",
        f"roar publish --resume {interrupted} --yes",
    ):
        assert words in line


def test_list_as_json_is_an_object_a_line(program: Program, interrupted: str, registry: str) -> None:
    [facts] = program("journal", "list", "--json").events
    assert facts["publish_id"] == interrupted
    assert (facts["status"], facts["state"], facts["owner"]) == ("interrupted", "auth-select", None)
    assert (facts["registry"], facts["project"]) == (registry, str(program.cwd))
    assert facts["items"] == {"done": 0, "total": 22}
    assert facts["next"] == f"roar publish --resume {interrupted} --yes"


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


@pytest.mark.parametrize("zone", ["UTC+25", ":/nonexistent", "nonsense"])
def test_a_time_zone_that_is_none_is_no_defect(program: Program, interrupted: str, zone: str) -> None:
    """The C library takes offsets of more than a day, `datetime` does not."""
    shown = Program(program.cwd, program.state, program.env | {"TZ": zone})("journal", "show", interrupted)
    assert shown.code == 0, shown.err


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
    program("journal", "cancel", interrupted).blames(2, "already cancelled")


def test_a_publish_that_a_process_works_on_is_not_cancelled(program: Program, interrupted: str) -> None:
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
        journal.park(reason=Reason.AUTH, detail="sign in")
    [facts] = program("journal", "list", "--json").events
    assert (facts["parked"], facts["attempts"], facts["turn"]) == (True, 3, "person")
    assert program("journal", "retry", interrupted).code == 0
    [facts] = program("journal", "list", "--json").events
    assert (facts["parked"], facts["attempts"], facts["next_attempt"]) == (False, 0, None)


def test_what_was_cancelled_is_not_tried_again(program: Program, interrupted: str) -> None:
    _end(program, interrupted, Event.CANCELLED)
    program("journal", "retry", interrupted).blames(2, "is already cancelled")


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
    begun, left, owned = (new_publish(folder) for _ in range(3))
    for paths in (left, owned):
        Journal(paths.journal).close()
        os.utime(paths.folder, (time.time() - 61,) * 2)
    with Lock(owned.lock):
        os.utime(owned.folder, (time.time() - 61,) * 2)
        assert program("journal", "prune").out.startswith(f"Removed {left.id} (never finished")
        assert program.publishes == sorted([begun.id, owned.id])
        assert program("journal", "prune", "--all").out.startswith(f"Removed {begun.id} (never finished")
        assert program.publishes == [owned.id]


def test_a_plan_whose_process_died_is_not_listed(program: Program) -> None:
    OwnedPublish.create(StateFolder(program.state)).release()
    listed = program("journal", "list")
    assert (listed.code, listed.out) == (0, "")
    assert program.publishes == []


def test_what_can_not_be_read_temporary_problem_is_not_called_nothing(program: Program, interrupted: str) -> None:
    """Its journal is a link to itself: the system refuses it, as it would with EIO."""
    journal = _journal(program, interrupted)
    journal.rename(journal.with_suffix(".kept"))
    journal.symlink_to(journal)
    resumed = program("publish", "--resume")
    resumed.blames(3, f"{journal} cannot be used at this moment", f"roar publish --resume {interrupted}")
    program("publish", "--watch").blames(3, f"{journal} cannot be used at this moment")
    program("journal", "prune", "--all")
    journal.with_suffix(".kept").replace(journal)
    assert program("journal", "show", interrupted).code == 0


def test_prune_all_asks_no_clock(program: Program, interrupted: str) -> None:
    _end(program, interrupted, Event.CANCELLED, days_ago=-1)  # the clock was set back since
    assert "Nothing to remove" in program("journal", "prune").err
    assert program("journal", "prune", "--all").out == f"Removed {interrupted} (cancelled, 0 s ago)\n"


def test_one_lock_that_can_not_be_opened_keeps_no_other_from_being_removed(program: Program) -> None:
    folder = StateFolder(program.state)
    closed, other, damaged = (_failed(folder) for _ in range(3))
    damaged.journal.write_bytes(b"noise" * 5000)
    for paths in (closed, damaged):
        paths.lock.unlink()
        paths.lock.mkdir()
    pruned = program("journal", "prune", "--all")
    assert pruned.code == 0, pruned.err
    for words in (f"Kept {closed.id} (failed): the lock ", f"Kept {damaged.id} (damaged): the lock ", other.id):
        assert words in pruned.out
    assert set(folder.all_publishes()) == {closed, damaged}
    kept = program("journal", "prune", "--all", "--json").events
    assert {(fact["event"], fact["publish_id"], fact["reason"]) for fact in kept} == {
        ("kept", paths.id, "state directory") for paths in (closed, damaged)
    }


def _failed(folder: StateFolder) -> PublishPaths:
    with frozen(folder, cut(chain(1))) as owned:
        owned.journal.checkpoint(Event.REJECTED)
    return owned.paths


def _pruned_all(folder: StateFolder, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object]) -> None:
    """Prune everything; something happens between listing and the first removal."""

    def listed(folder: StateFolder) -> list[JournalStatus | Unreadable]:
        found = list(read_all(folder))
        meanwhile()
        return found

    monkeypatch.setattr(actions, "read_all", listed)
    actions.prune(folder, older_than=0.0, damaged=True, as_json=False)


def test_what_is_retried_meanwhile_is_not_pruned(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    retried, other = _failed(folder), _failed(folder)

    def retry() -> None:
        with OwnedPublish.open(retried) as owned:
            owned.journal.checkpoint(Event.RETRIED)

    _pruned_all(folder, monkeypatch, retry)
    assert list(folder.all_publishes()) == [retried]
    assert count_status(retried).live
    assert capsys.readouterr().out.startswith(f"Removed {other.id} (failed, ")


def test_what_is_planned_to_the_end_meanwhile_is_not_pruned(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = new_publish(folder)
    Journal(paths.journal).close()
    os.utime(paths.folder, (time.time() - 61,) * 2)
    monkeypatch.setattr(actions, "UNFINISHED_SECONDS", 0.0)

    def plan() -> None:
        with OwnedPublish.open(paths) as owned:
            owned.journal.freeze(plan_of(cut(chain(1)), paths.id))

    _pruned_all(folder, monkeypatch, plan)
    assert count_status(paths).live


def test_what_another_prune_removes_meanwhile_is_no_problem(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = _failed(folder)
    _pruned_all(folder, monkeypatch, OwnedPublish.open(paths).discard)
    assert capsys.readouterr() == ("", "Nothing to remove.\n")


def _damage(program: Program, publish_id: str) -> None:
    journal = _journal(program, publish_id)
    journal.write_bytes(journal.read_bytes()[:20_000])


def test_prune_all_removes_what_is_damaged(program: Program, interrupted: str) -> None:
    _damage(program, interrupted)
    listed = program("journal", "list", "--json").last
    assert (listed["reason"], listed["next"]) == (
        "damaged journal",
        "publish it again; to remove what is damaged: roar journal prune --all",
    )
    assert "Nothing to remove" in program("journal", "prune", "--older-than", "0s").err
    assert program.publishes == [interrupted]
    assert program("journal", "prune", "--all").out.startswith(f"Removed {interrupted} (damaged, ")
    assert program.publishes == []


def test_what_is_damaged_and_owned_is_left_to_its_owner(program: Program, interrupted: str) -> None:
    _damage(program, interrupted)
    with Lock(_journal(program, interrupted).with_name("lock")):
        assert "Nothing to remove" in program("journal", "prune", "--all").err
        program("journal", "cancel", interrupted).blames(5, f"pid {os.getpid()}")
    assert program.publishes == [interrupted]


def test_what_a_newer_release_journaled_is_never_pruned(program: Program, interrupted: str) -> None:
    with closing(sqlite3.connect(_journal(program, interrupted))) as connection, connection:
        connection.execute("UPDATE _sqlite_migrations SET name = 'm999_of_tomorrow' WHERE name LIKE 'm001%'")
        connection.execute("ALTER TABLE progress ADD COLUMN of_tomorrow TEXT")
    before = _journal(program, interrupted).read_bytes()
    assert "Nothing to remove" in program("journal", "prune", "--all").err
    program("journal", "cancel", interrupted).blames(1, "newer release", "--upgrade")
    assert _journal(program, interrupted).read_bytes() == before


def test_what_is_damaged_where_only_a_checkpoint_goes_can_be_cancelled(program: Program, interrupted: str) -> None:
    with closing(sqlite3.connect(_journal(program, interrupted))) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'events'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with _journal(program, interrupted).open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    StateFolder(program.state).find(interrupted).write_upload(1, "{}")
    assert "is damaged" in program("publish", "--resume", interrupted, "-y").err
    assert "Nothing to remove" in program("journal", "prune", "--all").err
    cancelled = program("journal", "cancel", interrupted)
    assert cancelled.code == 0, cancelled.err
    for words in ("Its journal is damaged, so it is removed", "1 unfinished upload may remain at its store"):
        assert words in cancelled.out
    assert program.publishes == []


def test_prune_keeps_a_put_whose_store_keeps_an_upload(program: Program) -> None:
    cloudless = Program(program.cwd, program.state, program.env | {"AWS_EC2_METADATA_DISABLED": "true"})
    with OwnedPublish.create(StateFolder(program.state)) as owned:
        paths = owned.paths
        owned.journal.objects.add([ObjectRow(1, "large.bin", "s3://bucket/large.bin", 9, "{}")])
        owned.journal.freeze(replace(plan_of(cut(chain(1)), paths.id), destination="s3://bucket"))
    paths.write_upload(1, json.dumps(asdict(Upload("large.bin", "an-upload", 9, 9))))
    assert "1 upload could not be aborted" in cloudless("journal", "cancel", paths.id).out
    for _ in range(2):
        pruned = cloudless("journal", "prune", "--all")
        assert pruned.out.startswith(f"Kept {paths.id} (cancelled): 1 upload could not be aborted")
        assert f"rm -r {paths.folder}" in pruned.out
    [kept] = cloudless("journal", "prune", "--all", "--json").events
    assert kept == {"event": "kept", "publish_id": paths.id, "status": "cancelled", "uploads": 1}
    paths.forget_upload(1)
    assert cloudless("journal", "prune", "--all").out.startswith(f"Removed {paths.id} (cancelled, ")
    assert program.publishes == []


@pytest.mark.parametrize("age", ["30", "d30", "-1d", "soon"])
def test_an_age_that_is_none_is_a_usage_error(program: Program, age: str) -> None:
    program("journal", "prune", f"--older-than={age}").blames(2, "is not an age")


def test_uploads_are_given_up_before_a_publish_counts_as_cancelled(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, it can be cancelled again, and nothing is left in the folder that it stored to."""
    publish = frozen(folder, cut(chain(1)))

    def killed(owned: OwnedPublish, run: Runner) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cancelling, "abort_uploads", killed)
    with publish as owned, pytest.raises(KeyboardInterrupt):
        cancelling.cancel_owned(owned, run_here)
    assert count_status(publish.paths).interrupted


def test_a_token_that_can_not_be_removed_does_not_stop_a_cancel(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = frozen(folder, cut(chain(1)))
    publish.paths.session_token.mkdir()
    with publish as owned:
        assert cancelling.cancel_owned(owned, run_here) == "Nothing of it is visible."
    assert not count_status(publish.paths).live
