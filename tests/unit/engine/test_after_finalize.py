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
from roar_publisher.lineage import publication
from roar_publisher.lineage.publication import mark_labels, mark_published
from roar_publisher.registry.api.app import ALL_BULK_FEATURES, ALL_FEATURES
from roar_publisher.report import Noted
from roar_publisher.state.debts import DebtKind
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from tests.support.engine.publishing import Publishing, answer, instead
from tests.support.lineages import chain, cut
from tests.support.put.projects import plan, put_project

pytestmark = pytest.mark.anyio
PATIENCE = 60


class Meeting(Publishing):
    """Answers neither the labels nor the receipt before both were asked for and roar.db is marked.

    It finalizes once the modules of receipts are being imported.
    imported, marked: receipts' modules, jobs and artifacts. happened: answers and the marks of labels, in this order.
    """

    def __init__(self, folder: StateFolder) -> None:
        super().__init__(folder, None, features=ALL_FEATURES, bulk=ALL_BULK_FEATURES)
        self.imported, self.marked = threading.Event(), threading.Event()
        self.happened: list[str] = []
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
            assert await to_thread.run_sync(self.imported.wait, PATIENCE)
        response = await super().handle_async_request(request)
        self.happened += [f"answered {call}"] if call is not None else []
        return response


@pytest.fixture
def publishing(folder: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Meeting:
    """A publish of a put, with a real roar.db."""
    project, lineage = put_project(tmp_path), cut(chain(4))
    publishing = Meeting(folder)
    publishing.lineage = lineage
    publishing.begin(lineage, roar_db=str(project / ".roar" / "roar.db"))
    publishing.paths.write_put_record(plan(project, "model.bin").put.record)

    def import_and_tell(name: str) -> ModuleType:
        publishing.imported.set()
        return import_module(name)

    def mark(*args: Any, **kwargs: Any) -> None:
        mark_published(*args, **kwargs)
        publishing.marked.set()

    def note_labels(*args: Any, **kwargs: Any) -> None:
        publishing.happened.append("labels marked")
        mark_labels(*args, **kwargs)

    monkeypatch.setattr(after_publish, "import_module", import_and_tell)
    monkeypatch.setattr(publication, "mark_published", mark)
    monkeypatch.setattr(publication, "mark_labels", note_labels)
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
