"""The synchronous functions: what they return and raise, and what they leave alone."""

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
import pytest

import roar_publisher
from roar_publisher import aio, errors, events
from roar_publisher.publishing import calls, detaching
from roar_publisher.publishing.threads import ThreadRunner
from roar_publisher.state import mounts
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.queue import Queue
from tests.e2e.python.conftest import opened_once_stopped
from tests.support.cli.program import Program
from tests.support.lineage.captured import captured_project

VOLATILE = {"publish_id", "receipt", "per_second", "seconds_left"}


def published(project: Path, registry: str) -> roar_publisher.Published:
    return roar_publisher.publish(project, visibility="public", registry=registry, yes=True)


def stopped_when_open(project: Path, registry: str) -> str:
    """Stop a publish when it opens its session, as Ctrl-C does, and return its id."""
    with pytest.raises(KeyboardInterrupt) as stopped, opened_once_stopped():
        roar_publisher.publish(
            project, visibility="public", registry=registry, yes=True, on_progress=interrupting(KeyboardInterrupt)
        )
    cause = stopped.value.__cause__
    assert isinstance(cause, errors.Unfinished)
    assert cause.reason == "interrupted"
    return cause.publish_id


def interrupting(error: type[BaseException]) -> Callable[[events.Event], None]:
    def raise_when_open(event: events.Event) -> None:
        if isinstance(event, events.StateEvent) and event.state == "open":
            raise error

    return raise_when_open


def test_the_events_are_those_of_the_command_line(program: Program, project: Path, registry: str) -> None:
    """The same lineage again is a new publish, whose events are the same."""
    published(project, registry)
    seen: list[events.Event] = []
    result = roar_publisher.publish(project, visibility="public", registry=registry, yes=True, on_progress=seen.append)
    lines = program("publish", "--public", "-y", "--json", "--registry", registry).events
    ours = [event.as_dict() for event in seen]
    assert [without(line) for line in ours] == [without(line) for line in lines]
    assert [list(line) for line in ours] == [list(line) for line in lines]
    assert seen[-1] == result
    assert isinstance(seen[0], events.PlannedEvent)


def another_project(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    folder.mkdir()
    return captured_project("diamond", folder)


def without(line: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in line.items() if name not in VOLATILE}


def test_nothing_is_printed_and_no_signal_handler_is_installed(
    project: Path, registry: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kinds = (signal.SIGINT, signal.SIGTERM)
    before, during, threads = [signal.getsignal(kind) for kind in kinds], [], set()

    def look(event: events.Event) -> None:
        during.append([signal.getsignal(kind) for kind in kinds])
        threads.add(threading.get_ident())

    roar_publisher.publish(project, visibility="public", registry=registry, yes=True, on_progress=look)
    assert len(during) > 5
    assert all(each == before for each in during)
    assert [signal.getsignal(kind) for kind in kinds] == before
    assert threads == {threading.get_ident()}, "callbacks come in the thread that waits"
    assert capfd.readouterr() == ("", "")


def test_what_would_be_asked_is_an_error_that_says_how_to_agree(project: Path, registry: str) -> None:
    with pytest.raises(errors.Unfinished) as refused:
        roar_publisher.publish(project, visibility="public", registry=registry)
    error = refused.value
    assert (error.conclusion, error.reason) == (errors.Conclusion.NEEDS_USER, "needs confirmation")
    assert error.publish_id in error.next_step
    assert isinstance(error.__cause__, errors.NeedsUser)
    assert roar_publisher.resume(error.publish_id, yes=True).publish_id == error.publish_id


def test_an_explicitly_anonymous_publish_needs_no_other_consent(project: Path, registry: str) -> None:
    assert roar_publisher.publish(project, visibility="anonymous", registry=registry).identity == "anonymous"


@pytest.mark.parametrize("visibility", ["none", "everyone", ""])
def test_an_unknown_visibility_is_refused(project: Path, visibility: str) -> None:
    with pytest.raises(errors.UsageProblem, match="there is no visibility"):
        roar_publisher.publish(project, visibility=visibility)  # type: ignore[call-overload]


def test_a_put_returns_where_its_files_are(project: Path, registry: str, tmp_path: Path) -> None:
    (project / "weights.bin").write_bytes(b"w" * 1000)
    seen: list[events.Event] = []
    result = roar_publisher.put(
        "weights.bin",
        tmp_path / "store",
        "v1",
        visibility="public",
        project=project,
        registry=registry,
        yes=True,
        tag=False,
        on_progress=seen.append,
    )
    assert (result.files, result.bytes) == (1, 1000)
    assert [event for event in seen if isinstance(event, events.StoredEvent)] == [
        events.StoredEvent(key="weights.bin", bytes=1000, sent=True)
    ]
    assert result.destination is not None
    assert [path.read_bytes() for path in (tmp_path / "store").rglob("weights.bin")] == [b"w" * 1000]


def test_a_detached_publish_returns_its_status_and_is_published_by_the_next_drain(
    program: Program, project: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[StateFolder] = []
    monkeypatch.setattr(detaching, "start", started.append)
    status = roar_publisher.publish(project, visibility="public", registry=registry, yes=True, detach=True)
    assert (status.status, status.reason, status.detached, len(started)) == ("interrupted", "queued", True, 1)
    assert program("daemon", "run", "--drain", "-q").code == 0
    [status] = roar_publisher.publishes(project)
    assert (status.status, status.percent) == ("done", 100)
    again = roar_publisher.resume(status.publish_id, detach=True)
    assert (again.status, again.publish_id) == ("done", status.publish_id), "a status, also of what is finished"


def test_a_state_folder_whose_locks_do_not_protect_is_refused(program: Program, registry: str, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from roar_publisher.state import mounts;"
        "mounts.MOUNT_TABLE = Path(sys.argv.pop(1));"
        "from roar_publisher.__main__ import run; sys.exit(run(sys.argv[1:]))"
    )
    table = tmp_path / "mountinfo"
    table.write_text("30 1 254:0 / / rw,relatime - fuse.sshfs host:/ rw\n")
    done = subprocess.run(
        [sys.executable, "-c", code, str(table), "publish", "--public", "-y", "--registry", registry],
        cwd=program.cwd,
        env=program.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "it is on fuse.sshfs, whose locks do not reach other machines" in done.stderr
    assert "Nothing was sent or kept." in done.stderr
    assert "or mount this one with locks; then publish again" in done.stderr
    assert program.publishes == []


def test_no_daemon_is_started_where_the_user_starts_it_elsewhere(
    project: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a compute node, which shares the state folder with the login node."""
    config = Path(os.environ["HOME"], ".config", "roar", "config.toml")
    config.parent.mkdir(parents=True)
    config.write_text("[publisher]\nstart_daemon = false\n")
    started: list[StateFolder] = []
    monkeypatch.setattr(detaching, "start", started.append)
    status = roar_publisher.publish(project, visibility="public", registry=registry, yes=True, detach=True)
    assert (status.reason, started) == ("queued", [])


def test_ctrl_c_stops_cleanly_and_the_publish_can_be_resumed(project: Path, registry: str) -> None:
    publish_id = stopped_when_open(project, registry)
    [status] = roar_publisher.publishes(project)
    assert (status.publish_id, status.status, status.parked) == (publish_id, "interrupted", True)
    assert roar_publisher.resume(publish_id).publish_id == publish_id


def test_ctrl_c_at_the_very_end_is_not_lost(project: Path, registry: str) -> None:
    """The program that is interrupted must not go on because its publish had just succeeded."""

    def interrupt(event: events.Event) -> None:
        if isinstance(event, events.StateEvent) and event.state == "done":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as interrupted:
        roar_publisher.publish(project, visibility="public", registry=registry, yes=True, on_progress=interrupt)
    [status] = roar_publisher.publishes(project)
    assert status.status == "done"
    assert status.publish_id in str(interrupted.value)


def test_ctrl_c_while_a_publish_is_cancelled_is_not_lost(
    project: Path, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_id = stopped_when_open(project, registry)

    def interrupted(paths: object, folder: object, runner: ThreadRunner) -> str:
        runner.interrupted = True
        return "nothing of it is visible"

    monkeypatch.setattr(calls, "cancel_publish", interrupted)
    with pytest.raises(KeyboardInterrupt, match=publish_id):
        roar_publisher.cancel(publish_id)


def test_a_callback_that_fails_does_not_stop_a_publish(
    project: Path, registry: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "roar_publisher"):
        roar_publisher.publish(
            project, visibility="public", registry=registry, yes=True, on_progress=interrupting(ZeroDivisionError)
        )
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True]
    assert any("Published(" in record.getMessage() for record in caplog.records if record.name == "roar_publisher")


def test_it_runs_where_an_event_loop_runs(project: Path, registry: str) -> None:
    """As in a notebook."""

    async def cell() -> roar_publisher.Published:
        return published(project, registry)

    assert asyncio.run(cell()).visibility == "public"


def test_threads_publish_at_the_same_time(project: Path, registry: str, tmp_path: Path) -> None:
    other = another_project(tmp_path)
    results: dict[Path, roar_publisher.Published] = {}
    folders = (project, other)
    threads = [
        threading.Thread(target=lambda folder: results.update({folder: published(folder, registry)}), args=(folder,))
        for folder in folders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({results[folder].publish_id for folder in folders}) == 2


def test_a_publish_is_cancelled_and_a_failed_one_tried_again(project: Path, registry: str) -> None:
    publish_id = stopped_when_open(project, registry)
    roar_publisher.cancel(publish_id)
    with pytest.raises(errors.UsageProblem, match="already cancelled"):
        roar_publisher.retry(publish_id)
    with pytest.raises(errors.Cancelled):
        list(roar_publisher.watch(publish_id))
    second = stopped_when_open(project, registry)
    with OwnedPublish.open(
        StateFolder.from_environment({"ROAR_STATE_DIR": str(project.parent / "state")}).find(second)
    ) as owned:
        owned.journal.checkpoint(Event.REJECTED, detail="no")
    with pytest.raises(errors.Failed):
        roar_publisher.resume(second)
    assert roar_publisher.retry(second).status == "interrupted"
    assert roar_publisher.resume(second).publish_id == second


@pytest.mark.parametrize(
    "retry", [roar_publisher.retry, lambda publish_id: anyio.run(aio.retry, publish_id)], ids=["api", "aio"]
)
def test_what_a_published_lineage_owes_is_completed_without_a_daemon(
    project: Path,
    registry: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    retry: Callable[[str], roar_publisher.PublishStatus],
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text("30 1 254:0 / / rw,relatime - nfs4 server:/ rw,local_lock=none\n")
    monkeypatch.setattr(mounts, "MOUNT_TABLE", table)
    with closing(sqlite3.connect(project / ".roar" / "roar.db")) as roar:
        roar.execute("PRAGMA journal_mode = WAL")
        roar.execute("CREATE TABLE written (n)")
        publish_id = published(project, registry).publish_id
        [status] = roar_publisher.publishes(project)
        assert (status.status, len(status.owed)) == ("done", 1)
        with pytest.raises(errors.Unfinished, match="another machine"):
            retry(publish_id)
    assert retry(publish_id).owed == ()
    with pytest.raises(errors.UsageProblem, match="already done"):
        retry(publish_id)


def test_watching_yields_the_events_of_another_process(project: Path, registry: str) -> None:
    with pytest.raises(errors.UsageProblem):
        roar_publisher.watch("12345678")
    with pytest.raises(errors.UsageProblem):
        roar_publisher.watch("")
    publish_id = stopped_when_open(project, registry)
    with pytest.raises(errors.Halted):
        list(roar_publisher.watch(publish_id))
    following = roar_publisher.watch(publish_id)
    first = next(following)
    assert isinstance(first, events.PlannedEvent)
    result = roar_publisher.resume(publish_id)
    assert list(roar_publisher.watch(publish_id))[-1] == result


def test_publishes_lists_those_of_one_project_and_what_cannot_be_read(
    project: Path, registry: str, tmp_path: Path
) -> None:
    result = published(project, registry)
    other = another_project(tmp_path)
    published(other, registry)
    assert [status.publish_id for status in roar_publisher.publishes(project)] == [result.publish_id]
    assert len(roar_publisher.publishes()) == 2
    journal = tmp_path / "state" / "publishes" / result.publish_id / "journal.db"
    journal.write_bytes(b"no database" * 100)
    [broken] = [status for status in roar_publisher.publishes(project) if status.publish_id == result.publish_id]
    assert (broken.status, broken.reason) == ("unreadable", "damaged journal")


def test_another_owner_is_an_error_that_names_the_publish(project: Path, registry: str, tmp_path: Path) -> None:
    publish_id = stopped_when_open(project, registry)
    with Lock(tmp_path / "state" / "publishes" / publish_id / "lock"), pytest.raises(errors.Owned):
        roar_publisher.resume(publish_id)
    assert roar_publisher.resume(publish_id).publish_id == publish_id


@pytest.mark.parametrize(("writer", "name"), [(Journal, "record_named_by"), (Queue, "configure")])
def test_a_publish_that_cannot_be_continued_now_is_released(
    project: Path, registry: str, monkeypatch: pytest.MonkeyPatch, writer: type, name: str
) -> None:
    """A daemon or a notebook that kept its lock would keep it from everyone, itself included."""
    publish_id = stopped_when_open(project, registry)

    def full(*_arguments: object, **_given: object) -> None:
        raise errors.LocalProblem("the disk is full")

    with monkeypatch.context() as disk:
        disk.setattr(writer, name, full)
        with pytest.raises(errors.LocalProblem, match="the disk is full"):
            roar_publisher.publish(project, visibility="public", registry=registry, yes=True)
        with pytest.raises(errors.LocalProblem, match="the disk is full"):
            roar_publisher.resume(publish_id, registry=registry, yes=True)
    assert roar_publisher.resume(publish_id, yes=True).publish_id == publish_id
