"""What follows finalize happens at once: labels, receipt and marks wait for each other only where they must."""

import threading
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import httpx2
import pytest
from anyio import to_thread

from roar_publisher.engine.steps import after_publish
from roar_publisher.lineage.publication import PublicationMarks
from roar_publisher.registry.api.app import ALL_BULK_FEATURES, ALL_FEATURES
from roar_publisher.report import Noted
from roar_publisher.state.debts import DebtKind
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from tests.support.engine.publishing import Publishing, Sent, answer, instead
from tests.support.lineages import chain, cut
from tests.support.put.projects import capture, plan, put_project

pytestmark = pytest.mark.anyio
PATIENCE = 60


class Meeting(Publishing):
    """Answers neither the labels nor the receipt before both were asked for and roar.db is marked.

    It finalizes once the modules of receipts are being imported and what will be marked is collected.
    imported, collected, marked: receipts' modules, jobs and artifacts.
    happened: answers and the marks of labels, in this order.
    """

    def __init__(self, folder: StateFolder) -> None:
        super().__init__(folder, None, features=ALL_FEATURES, bulk=ALL_BULK_FEATURES)
        self.imported, self.collected, self.marked = threading.Event(), threading.Event(), threading.Event()
        self.happened: list[str] = []
        self.database = Path()
        self._asked = {"labels/batch": anyio.Event(), "receipt": anyio.Event()}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call = next((call for call in self._asked if request.url.path.endswith(call)), None)
        if call is not None:
            self._asked[call].set()
            with anyio.fail_after(PATIENCE):
                for asked in self._asked.values():
                    await asked.wait()
            assert await to_thread.run_sync(self.marked.wait, PATIENCE)
            await anyio.wait_all_tasks_blocked()
        elif request.url.path.endswith("/finalize"):
            for meanwhile in (self.imported, self.collected):
                assert await to_thread.run_sync(meanwhile.wait, PATIENCE)
        response = await super().handle_async_request(request)
        self.happened += [f"answered {call}"] if call is not None else []
        return response


@pytest.fixture
def publishing(folder: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Meeting:
    """A publish of a put, with a real roar.db."""
    project, lineage = put_project(tmp_path), cut(chain(4))
    publishing = Meeting(folder)
    publishing.lineage = lineage
    publishing.database = project / ".roar" / "roar.db"
    capture(project, lineage)
    publishing.begin(lineage, roar_db=str(publishing.database))
    publishing.paths.write_put_record(plan(project, "model.bin").put.record)

    def import_and_tell(name: str) -> ModuleType:
        publishing.imported.set()
        return import_module(name)

    init = PublicationMarks.__init__
    mark_published, mark_labels = PublicationMarks.mark_published, PublicationMarks.mark_labels

    def collect(marks: PublicationMarks, *args: Any) -> None:
        init(marks, *args)
        publishing.collected.set()

    def mark(marks: PublicationMarks, **kwargs: Any) -> None:
        mark_published(marks, **kwargs)
        publishing.marked.set()

    def note_labels(marks: PublicationMarks, **kwargs: Any) -> None:
        publishing.happened.append("labels marked")
        mark_labels(marks, **kwargs)

    monkeypatch.setattr(after_publish, "import_module", import_and_tell)
    monkeypatch.setattr(PublicationMarks, "__init__", collect)
    monkeypatch.setattr(PublicationMarks, "mark_published", mark)
    monkeypatch.setattr(PublicationMarks, "mark_labels", note_labels)
    return publishing


async def test_labels_receipt_and_marks_are_under_way_at_once(publishing: Meeting) -> None:
    """Labels are marked as sent after the registry has taken them."""
    progress = await publishing.run()
    assert (progress.state, progress.owed) == (State.DONE, ())
    *answers, last = publishing.happened
    assert set(answers) == {"answered labels/batch", "answered receipt"}
    assert last == "labels marked"


async def test_labels_that_were_refused_are_not_marked(publishing: Meeting) -> None:
    publishing.intercept = instead("labels/batch", lambda: answer(422, detail="no labels today"))
    progress = await publishing.run()
    assert [debt.what for debt in progress.owed] == [DebtKind.LABELS]
    assert "labels marked" not in publishing.happened
    publishing.intercept = lambda sent: None
    await publishing.run()
    assert publishing.happened[-1] == "labels marked"


async def test_a_missing_roar_db_is_reported_once(folder: StateFolder, tmp_path: Path) -> None:
    publishing = Publishing(folder, None)
    publishing.begin(cut(chain(4)), roar_db=str(tmp_path / "gone.db"))
    assert (await publishing.run()).owed == ()
    notes = [report.text for report in publishing.reports if isinstance(report, Noted)]
    assert [note for note in notes if "gone.db" in note] == [notes[-1]]


async def test_marks_that_cannot_be_collected_during_finalize_are_collected_after_it(
    publishing: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    init, failures = PublicationMarks.__init__, 0

    def fail_once(marks: PublicationMarks, *args: Any) -> None:
        nonlocal failures
        if not publishing.collected.is_set():
            failures += 1
            publishing.collected.set()
            raise LocalProblem("no room for temporary files")
        init(marks, *args)

    monkeypatch.setattr(PublicationMarks, "__init__", fail_once)
    progress = await publishing.run()
    assert (failures, progress.state, progress.owed) == (1, State.DONE, ())
    assert publishing.marked.is_set()


async def test_a_roar_db_that_is_removed_during_finalize_is_reported(publishing: Meeting) -> None:
    publishing.paths.forget_put_record()
    database = publishing.database

    def remove(sent: Sent) -> None:
        if sent.call == "finalize":  # what will be marked is collected before this
            database.unlink()
            publishing.marked.set()

    publishing.intercept = remove
    assert (await publishing.run()).owed == ()
    notes = [report.text for report in publishing.reports if isinstance(report, Noted)]
    assert [note for note in notes if f"there is no {database}" in note] == [notes[-1]]
