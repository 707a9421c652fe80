"""The same put, planned by two processes at once."""

import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path

import anyio
import pytest

from roar_publisher.auth.choice import Flag
from roar_publisher.lineage.project import find_project
from roar_publisher.planning import freezing
from roar_publisher.planning.freezing import FrozenPlan, freeze
from roar_publisher.planning.plans import PublishRequest
from roar_publisher.planning.put.prepare import put_planner
from roar_publisher.planning.put.record import PutRecord
from roar_publisher.planning.put.record_writer import record_put
from roar_publisher.state import status_reader
from roar_publisher.state.errors import Owned
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock, is_held
from roar_publisher.state.machine import Event
from roar_publisher.state.objects import Objects
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.record import NamedBy
from tests.support.lineage.captured import captured_project
from tests.support.put.projects import NOW, put_project, request

SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
"""In the message of a put: its redaction asks for consent, and meanwhile another process plans the same."""


class Planning:
    """Plans the same put each time it is called."""

    def __init__(self, folder: Path) -> None:
        put = request(put_project(folder), "model.bin", message=f"with {SECRET}")
        self.folder = StateFolder(folder / "state")
        self._request = PublishRequest(
            put.project, "model.bin", put.project.root, "https://registry.example", Flag.PUBLIC, NamedBy.OPTION
        )
        self._planner = anyio.run(partial(put_planner, put, report=lambda report: None, clock=lambda: NOW))

    def plan_another(self) -> None:
        """Plan a put with another message from now on."""
        put = request(self._request.project.root, "model.bin", message=f"again with {SECRET}")
        self._planner = anyio.run(partial(put_planner, put, report=lambda report: None, clock=lambda: NOW))

    def __call__(self, consent: Callable[[Mapping[str, int]], None], *, again: bool = False) -> FrozenPlan:
        return freeze(
            self._request, self.folder, clock=lambda: NOW, consent=consent, planner=self._planner, again=again
        )


def test_the_labels_of_a_put_are_not_younger_than_its_plan(tmp_path: Path) -> None:
    """What is younger than the plan is not marked as sent."""
    moments = itertools.count(NOW)
    put = request(put_project(tmp_path), "model.bin", name="a name")
    wanted = PublishRequest(
        put.project, "model.bin", put.project.root, "https://registry.example", Flag.PUBLIC, NamedBy.OPTION
    )
    planner = anyio.run(partial(put_planner, put, report=lambda report: None, clock=lambda: next(moments)))
    frozen = freeze(wanted, StateFolder(tmp_path / "state"), clock=lambda: next(moments), planner=planner)
    with frozen.publish as publish:
        record = PutRecord.from_json(publish.paths.read_put_record() or "")
    record_put(put.project.database, record)
    with closing(sqlite3.connect(put.project.database)) as connection:
        rows = connection.execute("SELECT l.created_at FROM labels l JOIN jobs j ON j.id = l.job_id").fetchall()
    assert rows
    assert max(row[0] for row in rows) <= frozen.plan.created_at


class Consent:
    """A user who agrees; another process plans the same put while the user is asked."""

    def __init__(self, planning: Planning, *, owns: bool = False) -> None:
        self._planning = planning
        self._owns = owns
        self.other: list[FrozenPlan] = []

    def __call__(self, redactions: Mapping[str, int]) -> None:
        if not self.other:
            self.other.append(self._planning(agree))
            if not self._owns:
                self.other[0].publish.release()


def agree(redactions: Mapping[str, int]) -> None:
    """A user who agrees at once."""


def test_a_put_that_another_process_planned_meanwhile_is_reused(tmp_path: Path) -> None:
    planning = Planning(tmp_path)
    consent = Consent(planning)
    met = planning(consent)
    assert met.resumed
    assert met.plan.id == consent.other[0].plan.id
    assert os.listdir(planning.folder.publishes) == [met.plan.id]


def test_a_put_that_another_process_owns_is_refused(tmp_path: Path) -> None:
    planning = Planning(tmp_path)
    consent = Consent(planning, owns=True)
    with pytest.raises(Owned) as caught:
        planning(consent)
    assert caught.value.publish_id == consent.other[0].plan.id
    assert os.listdir(planning.folder.publishes) == [consent.other[0].plan.id]


def test_again_never_reuses_an_earlier_put(tmp_path: Path) -> None:
    planning = Planning(tmp_path)
    first, second = planning(agree), planning(agree, again=True)
    assert not second.resumed
    assert first.plan.id != second.plan.id


def test_the_plan_lock_is_held_while_a_put_is_frozen_and_not_while_its_objects_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others wait for the lock for some seconds, and a put may have millions of objects."""
    planning = Planning(tmp_path)
    held: list[tuple[str, bool]] = []

    def watch(owner: type, name: str) -> None:
        real = getattr(owner, name)

        def watched(*given: object, **options: object) -> object:
            held.append((name, is_held(planning.folder.root / "plan.lock")))
            return real(*given, **options)

        monkeypatch.setattr(owner, name, watched)

    watch(Objects, "add")
    watch(PublishPaths, "write_put_record")
    watch(Journal, "freeze")
    planning(agree)
    assert held == [("add", False), ("write_put_record", False), ("freeze", True)]


def planned_in(project: Path, state: StateFolder) -> FrozenPlan:
    """A publish of the lineage, typed in this folder."""
    wanted = PublishRequest(
        find_project(project), None, project, "https://registry.example", Flag.PUBLIC, NamedBy.OPTION
    )
    frozen = freeze(wanted, state, clock=lambda: NOW)
    frozen.publish.release()
    return frozen


def test_only_a_publish_of_the_same_folder_is_continued(tmp_path: Path) -> None:
    """Another one would mark the roar.db of the other folder."""
    state, project, copy = StateFolder(tmp_path / "state"), tmp_path / "diamond", tmp_path / "copy"
    first = planned_in(captured_project("diamond", tmp_path), state)
    assert planned_in(project, state).plan.id == first.plan.id
    shutil.copytree(project, copy)
    copied = planned_in(copy, state)
    assert (copied.resumed, copied.plan.roar_db) == (False, str(copy / ".roar" / "roar.db"))
    project.rename(tmp_path / "renamed")
    renamed = planned_in(tmp_path / "renamed", state)
    assert (renamed.resumed, renamed.plan.project) == (False, str(tmp_path / "renamed"))
    project.symlink_to(tmp_path / "renamed")
    assert planned_in(project, state).resumed


def test_a_put_that_is_published_is_met_wherever_it_is_repeated(tmp_path: Path) -> None:
    planning = Planning(tmp_path)
    with planning(agree).publish as owned:
        owned.journal.remember(hash="ab" * 32)
        owned.journal.db.execute("UPDATE plan SET roar_db = '/elsewhere/.roar/roar.db'")
    met = planning(agree)
    assert (met.resumed, met.plan.id) == (True, owned.paths.id)


def test_only_the_same_that_was_planned_meanwhile_is_read_while_other_puts_wait(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state folder may hold thousands of publishes, and many puts may be typed at once."""
    planning = Planning(tmp_path)
    for _ in range(3):
        planning(agree, again=True).publish.release()
    planning.plan_another()
    others = [OwnedPublish.create(planning.folder) for _ in range(3)]  # they are still planning
    locked = freezing._planning_locked

    def watched(folder: StateFolder) -> AbstractContextManager[None]:
        opened.clear()
        return locked(folder)

    monkeypatch.setattr(freezing, "_planning_locked", watched)
    assert not planning(agree).resumed
    assert opened == []
    for other in others:
        other.release()


def test_a_put_that_waits_too_long_says_what_it_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roar_publisher.state.lock.WAIT_SECONDS", 0.0)
    planning = Planning(tmp_path)
    planning.folder.make()
    with Lock(planning.folder.root / "plan.lock"), pytest.raises(Owned, match="other puts are being planned") as caught:
        planning(agree)
    assert caught.value.next_step == "repeat the command"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the publishes whose journals were opened to read their status."""
    found: list[str] = []
    real = status_reader.open_current

    def watched(paths: PublishPaths) -> Journal:
        found.append(paths.id)
        return real(paths)

    monkeypatch.setattr(status_reader, "open_current", watched)
    return found


def test_no_publish_opens_those_of_something_else(tmp_path: Path, opened: list[str]) -> None:
    """Otherwise the last of thousands would take seconds before its first request."""
    planning = Planning(tmp_path)
    with planning(agree).publish as first:
        first.journal.remember(hash="ab" * 32)
        first.paths.forget_put_record()  # as after its end
        (first.paths.folder / "uploads").mkdir()
    planning.plan_another()
    opened.clear()
    planned_in(captured_project("diamond", tmp_path), planning.folder)
    second = planning(agree)
    second.publish.release()
    assert (second.resumed, opened) == (False, [])
    assert planning(agree).plan.id == second.plan.id
    assert set(opened) == {second.plan.id}


@pytest.mark.parametrize("name", ["session-token", "uploads/1.new", "put-record.new"])
def test_what_a_killed_process_left_is_found_in_every_publish(tmp_path: Path, name: str) -> None:
    planning = Planning(tmp_path)
    with planning(agree).publish as first:
        first.journal.checkpoint(Event.CANCELLED)
        first.paths.forget_put_record()
        (first.paths.folder / "uploads").mkdir()
        (first.paths.folder / name).write_bytes(b"left")
    planning.plan_another()
    planning(agree).publish.release()
    assert not (first.paths.folder / name).exists()


def test_a_publish_that_notes_no_fingerprint_is_continued(tmp_path: Path) -> None:
    """An import notes none."""
    project, state = captured_project("diamond", tmp_path), StateFolder(tmp_path / "state")
    first = planned_in(project, state)
    (note,) = first.publish.paths.folder.glob("fingerprint.*")
    note.unlink()
    assert planned_in(project, state).plan.id == first.plan.id
