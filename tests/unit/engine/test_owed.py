"""What follows a published lineage and cannot be done yet is in the journal, and is paid once."""

import errno
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from roar_publisher.auth.choice import Decision
from roar_publisher.engine.run import Run
from roar_publisher.engine.staging.delivery import describe_rejected
from roar_publisher.engine.steps import after_publish
from roar_publisher.glaas.acceptance import NotAccepted
from roar_publisher.glaas.features import RegistrationSessionFeatures
from roar_publisher.report import Noted
from roar_publisher.state.debts import Debt, DebtKind
from roar_publisher.state.errors import Conclusion, LocalProblem
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status_reader import count_status
from roar_publisher.state.units import Unit
from tests.support.engine.publishing import Publishing, Sent, answer, instead
from tests.support.lineage.captured import git
from tests.support.lineages import chain, cut
from tests.support.put.projects import capture, plan, put_project
from tests.support.registry.features import SINGLE_LINKS

pytestmark = pytest.mark.anyio
LINEAGE = cut(chain(4))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return put_project(tmp_path)


@pytest.fixture
def publishing(folder: StateFolder, project: Path, monkeypatch: pytest.MonkeyPatch) -> Publishing:
    """A publish of a put: its roar.db is real, and it is waited for no longer than a moment."""
    monkeypatch.setattr("roar_publisher.lineage.connections.WRITE_TIMEOUT", 0.0)
    publishing = Publishing(folder, None)
    publishing.lineage = LINEAGE
    capture(project, LINEAGE)
    publishing.begin(LINEAGE, roar_db=str(database(project)))
    publishing.paths.write_put_record(plan(project, "model.bin").put.record)
    return publishing


def database(project: Path) -> Path:
    return project / ".roar" / "roar.db"


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process writes for a long time."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def put_jobs(project: Path) -> int:
    return len(rows(database(project), "SELECT 1 FROM jobs WHERE job_type = 'put'"))


def mark(project: Path) -> Any:
    """What roar knows of the publication."""
    ((metadata,),) = rows(database(project), "SELECT metadata FROM sessions WHERE id = 1")
    return json.loads(metadata or "{}").get("roar", {}).get("remote_publication")


def owed(publishing: Publishing) -> list[str]:
    return [debt.what.value for debt in publishing.progress().owed]


async def test_a_record_that_cannot_be_written_is_owed_and_paid_once(publishing: Publishing, project: Path) -> None:
    with held(database(project)):
        progress = await publishing.run()
        assert progress.state is State.DONE
        assert owed(publishing) == ["record", "marks"]
        notes = [report.text for report in publishing.reports if isinstance(report, Noted)]
        assert any(
            "record of the put in roar.db is still to be written" in text and "locked by another process" in text
            for text in notes
        )
        assert any(f"roar publish --resume {publishing.paths.id}" in text for text in notes)
        sent = len(publishing.sent)
        with pytest.raises(LocalProblem, match="published, but the record of the put in roar") as caught:
            await publishing.run()
    assert (caught.value.reason, caught.value.conclusion) == (Reason.BUSY, Conclusion.INTERRUPTED)
    assert (owed(publishing), put_jobs(project), mark(project)) == (["record", "marks"], 0, None)
    found = count_status(publishing.paths)
    assert (found.owes, found.live, found.reason) == (True, False, Reason.OWED)

    assert (await publishing.run()).owed == ()
    await publishing.run()
    assert put_jobs(project) == 1
    assert mark(project) is not None
    assert len(publishing.sent) == sent, "what is published is not sent again"
    assert publishing.paths.read_put_record() is None
    assert count_status(publishing.paths).reason == Reason.PUBLISHED


async def test_a_token_that_cannot_be_removed_leaves_nothing_owed(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing.intercept = instead("labels/batch", lambda: answer(422, detail="no labels today"))
    await publishing.run()
    publishing.intercept = lambda sent: None

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("roar_publisher.state.paths.forget_private", refuse)
    assert (await publishing.run()).owed == ()
    assert count_status(publishing.paths).reason == Reason.PUBLISHED


async def test_labels_that_were_refused_are_sent_later(publishing: Publishing, project: Path) -> None:
    publishing.intercept = instead("labels/batch", lambda: answer(422, detail="no labels today"))
    await publishing.run()
    assert owed(publishing) == ["labels"]
    assert publishing.files_with_a_token() == {"session-token"}, "nothing else signs them"
    stamped = "SELECT count(*) FROM labels WHERE synced_at IS NOT NULL"
    assert rows(database(project), stamped) == [(0,)]
    with pytest.raises(LocalProblem, match="no labels today"):
        await publishing.run()
    publishing.intercept = lambda sent: None
    await publishing.run()
    assert owed(publishing) == []
    assert publishing.published() == publishing.expected()
    assert publishing.files_with_a_token() == set()
    assert len(publishing.calls("finalize")) == 1


@pytest.mark.parametrize("features", [SINGLE_LINKS, None], ids=["staged", "legacy"])
async def test_a_label_that_is_too_large_for_the_registry_does_not_undo_the_publish(
    folder: StateFolder, features: RegistrationSessionFeatures | None
) -> None:
    publishing = Publishing(folder, LINEAGE, features=features)
    large = ("labels/batch", "labels/sync")
    publishing.intercept = lambda sent: answer(413, detail="too large") if sent.call in large else None
    progress = await publishing.run()
    assert (progress.state, progress.hash) == (State.DONE, LINEAGE.hash), progress.detail
    assert owed(publishing) == ["labels"]
    publishing.intercept = lambda sent: None
    assert (await publishing.run()).owed == ()
    assert publishing.published() == publishing.expected()


class Killed(Exception):
    """The process ends here."""


async def test_labels_that_were_refused_before_a_crash_are_refused_after_it(
    publishing: Publishing, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(run: Run) -> None:
        raise Killed

    publishing.intercept = instead("labels/batch", lambda: answer(200, errors=["not this one"]))
    with monkeypatch.context() as patched:
        patched.setattr(after_publish, "make_tags", die)  # what follows the labels
        with pytest.raises(Killed):
            await publishing.run()
    assert (await publishing.run()).unconfirmed is not None
    assert owed(publishing) == ["refused labels"]
    stamped = "SELECT count(*) FROM labels WHERE synced_at IS NOT NULL"
    assert rows(database(project), stamped) == [(0,)]
    asked = len(publishing.calls("labels/batch"))
    await publishing.run()
    assert len(publishing.calls("labels/batch")) == asked, "roar alone can send them again"


async def test_only_the_refused_labels_that_are_shown_are_looked_for_in_the_plan(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each search reads the whole plan, so one for each of many batches would never end."""
    publishing, described = Publishing(folder, None), []
    publishing.lineage = cut(chain(4 * after_publish.MOST_SHOWN), batch=lambda: 1)
    publishing.begin(publishing.lineage)
    real = describe_rejected

    async def counted(run: Run, unit: Unit, missing: Sequence[NotAccepted]) -> str:
        described.append(unit.seq)
        return await real(run, unit, missing)

    monkeypatch.setattr(after_publish, "describe_rejected", counted)
    publishing.intercept = instead("labels/batch", lambda: answer(200, errors=["not this one"]))
    await publishing.run()
    assert "refused labels" in owed(publishing)
    assert len(described) == after_publish.MOST_SHOWN


@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 422, 200])
async def test_a_published_session_that_is_not_opened_again_does_not_undo_the_publish(
    publishing: Publishing, status: int
) -> None:
    """The token of the labels is rejected, so a credential is chosen and the session is asked for once more."""

    def expired(sent: Sent) -> httpx2.Response | None:
        if sent.call == "labels/batch":
            return answer(401, detail="that token has expired")
        if sent.call == "registration-sessions" and sent.number == 2:
            if status == 200:  # without the token
                return answer(200, registration_session_id=sent_to(publishing.calls("finalize")[0]))
            return answer(status, detail="closed for good")
        return None

    publishing.intercept = expired
    progress = await publishing.run()
    assert (progress.state, progress.hash) == (State.DONE, LINEAGE.hash), progress.detail
    assert owed(publishing) == ["refused labels"]
    assert len(publishing.calls("registration-sessions")) == 2
    assert publishing.published()[:2] == (1, LINEAGE.hash)


def sent_to(sent: Sent) -> str:
    """Return the session of a request."""
    return sent.path.split("/registration-sessions/")[1].split("/")[0]


async def test_labels_whose_token_is_void_are_left_to_roar(publishing: Publishing) -> None:
    """An anonymous session has no other credential."""
    publishing.intercept = instead("labels/batch", lambda: answer(401, detail="who is that"))
    await publishing.run()
    (debt,) = publishing.progress().owed
    assert (debt.what, debt.payable, debt.command) == (DebtKind.REFUSED_LABELS, False, "roar label sync")
    assert not count_status(publishing.paths).owes
    assert publishing.progress().credential == Decision.ANONYMOUS_SESSION
    assert publishing.files_with_a_token() == set()


async def test_a_tag_that_git_does_not_make_is_owed_with_its_command(
    folder: StateFolder, tmp_path: Path, publishing: Publishing
) -> None:
    project, commit = tmp_path / "elsewhere", "ab" * 20
    plan_without = publishing.paths
    with OwnedPublish.open(plan_without) as other, other.journal.transaction():
        tags = json.dumps([[f"roar/{commit}", commit, "", ""]])
        other.journal.db.execute("UPDATE plan SET tags = ?, project = ?", [tags, str(project)])
    await publishing.run()
    (debt,) = publishing.progress().owed
    assert (debt.what, debt.command) == (DebtKind.TAG, f"git tag roar/{commit} {commit}")
    project.mkdir()
    git("init", "--quiet", cwd=project)
    with pytest.raises(LocalProblem, match="git tag is still to be made") as caught:
        await publishing.run()
    assert caught.value.next_step.endswith(f"roar publish --resume {publishing.paths.id}; or: {debt.command}")


def test_a_debt_says_what_pays_it() -> None:
    debt = Debt(DebtKind.TAG, "the remote is away", Reason.LOCAL, "git push origin refs/tags/x")
    assert (
        debt.text == "the git tag is still to be made (the remote is away); to complete it: git push origin refs/tags/x"
    )
    assert (
        Debt(DebtKind.MARKS, "it is locked", Reason.BUSY).text
        == "the marks in roar.db are still to be written (it is locked)"
    )
