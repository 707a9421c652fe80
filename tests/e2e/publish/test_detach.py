"""`--detach` as processes: planned here, carried out by a daemon, watched from anywhere."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path

import pytest

from roar_publisher.__main__ import run
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.lock import Lock
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import count_status
from tests.support.cli.program import PATIENCE, Program
from tests.support.cli.servers import answering, holding_up, http
from tests.support.daemon.daemons import daemons_of, pid_of, program_with_daemons, until
from tests.support.lineage.captured import captured_project, recorded
from tests.support.ports import reserved_port
from tests.support.put.projects import put_project

HASH = recorded("linear", "session")["finalized_hash"]
SLOW_DOWN = http("503 Service Unavailable", b"{}", "Retry-After: 1800")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The program in a fresh copy of the project `linear`; its daemon ends with the test."""
    with program_with_daemons(captured_project("linear", tmp_path), tmp_path) as program:
        yield program


@pytest.fixture
def unreachable() -> str:
    """An address at which nothing answers."""
    return f"http://127.0.0.1:{reserved_port()}"


def why(program: Program, publish_id: str) -> dict[str, object]:
    answer = program("journal", "show", publish_id, "--why", "--json")
    assert answer.code == 0, answer.err
    return dict(answer.last)


def test_the_id_is_the_result_and_the_daemon_publishes(program: Program, registry: str) -> None:
    left = program("publish", "--public", "-y", "--detach", "--registry", registry)
    [publish_id] = program.publishes
    assert (left.code, left.out) == (0, f"{publish_id}\n")
    assert "Left to the daemon: 2 jobs, 12 links" in left.err
    assert f"Watch it: roar publish --watch {publish_id}" in left.err
    assert len(daemons_of(program)) == 1
    watched = program("publish", "--watch", publish_id, "--json")
    assert (watched.code, watched.last["event"], watched.last["hash"]) == (0, "published", HASH)


def test_json_contains_the_id_and_the_watch_command(program: Program, registry: str) -> None:
    left = program("publish", "--public", "-y", "--detach", "--json", "--registry", registry)
    [publish_id] = program.publishes
    watch = f"roar publish --watch {publish_id}"
    assert left.events == [{"event": "detached", "publish_id": publish_id, "resumed": False, "watch": watch}]


def test_it_returns_without_a_network_and_the_reason_is_recorded(program: Program, unreachable: str) -> None:
    left = program("publish", "--public", "-y", "--detach", "-q", "--registry", unreachable)
    assert left.code == 0
    publish_id = left.out.strip()
    until(lambda: why(program, publish_id)["reason"] == "offline")


def test_a_retry_after_is_honoured_by_the_daemon(program: Program) -> None:
    with answering(SLOW_DOWN) as server:
        publish_id = program("publish", "--public", "-y", "--detach", "-q", "--registry", server.url).out.strip()
        until(lambda: why(program, publish_id)["reason"] == "throttled" and why(program, publish_id)["owner"] is None)
    event = why(program, publish_id)
    queued = count_status(StateFolder(program.state).find(publish_id)).queued
    assert event["next_attempt"] == queued.next_attempt is not None
    assert "throttled until" in program("journal", "list").out


def test_an_anonymous_publish_needs_consent_before_it_is_detached(program: Program, registry: str) -> None:
    refused = program("publish", "--detach", "--anonymous", "--registry", registry)
    assert refused.code == 4
    assert "needs your consent before the daemon takes it" in refused.err
    assert program.publishes == []


def test_a_second_publish_uses_the_running_daemon(program: Program, registry: str) -> None:
    assert program("daemon", "start").code == 0
    [daemon] = daemons_of(program)
    assert program("publish", "--public", "-y", "--detach", "--registry", registry).code == 0
    assert daemons_of(program) == [daemon]


def test_an_interrupted_publish_can_be_left_to_the_daemon(program: Program, registry: str) -> None:
    with answering(SLOW_DOWN) as server:
        stopped = program("publish", "--public", "-y", "--registry", server.url)
    assert stopped.code == 3
    [publish_id] = program.publishes
    left = program("publish", "--resume", publish_id, "--detach", "-y", "--json")
    assert (left.code, left.last["resumed"]) == (0, True)
    until(lambda: why(program, publish_id)["reason"] == "offline")


@pytest.fixture
def held_up(program: Program) -> Iterator[tuple[str, str]]:
    """The id of a publish that the daemon works on until the test ends, and its registry."""
    with holding_up() as registry:
        publish_id = program("publish", "--public", "-y", "--detach", "-q", "--registry", registry).out.strip()
        until(lambda: why(program, publish_id)["owner"] == pid_of(program) is not None)
        yield publish_id, registry


def test_resuming_a_publish_of_the_daemon_watches_it(program: Program, held_up: tuple[str, str]) -> None:
    publish_id, _ = held_up
    with program.started("publish", "--resume", publish_id) as watching:
        assert watching.stderr is not None
        assert any("the daemon is already working on" in line for line in watching.stderr)
        watching.send_signal(2)
        out, err = watching.communicate(timeout=PATIENCE)
    assert (watching.returncode, out) == (130, ""), err
    assert f"roar publish --watch {publish_id}" in err
    assert len(daemons_of(program)) == 1


def test_publishing_the_same_in_the_foreground_watches_it(program: Program, held_up: tuple[str, str]) -> None:
    publish_id, registry = held_up
    again = program("publish", "--public", "-y", "--detach", "--json", "--registry", registry)
    assert (again.code, again.last["publish_id"]) == (0, publish_id)
    assert program.publishes == [publish_id]


def test_a_publish_that_the_daemon_takes_meanwhile_is_watched(
    program: Program, unreachable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with no_daemon(program):
        program("publish", "--public", "-y", "--detach", "--registry", unreachable)
    [publish_id] = program.publishes
    monkeypatch.chdir(program.cwd)
    monkeypatch.setenv("ROAR_STATE_DIR", str(program.state))
    folder = StateFolder(program.state)
    answers = chain([False], repeat(True))
    monkeypatch.setattr(JournalStatus, "owned_by_daemon", property(lambda status: next(answers)))
    with Lock(folder.find(publish_id).lock):
        assert run(["publish", "--resume", publish_id, "--detach", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["event"] == "detached"


def test_a_resume_changes_only_the_given_options(program: Program, unreachable: str) -> None:
    with no_daemon(program):
        program("publish", "--public", "-y", "--detach", "--registry", unreachable, "--limit-rate", "1M")
        [publish_id] = program.publishes
        program("publish", "--resume", publish_id, "--detach", "--jobs", "2")
    with OwnedPublish.open(StateFolder(program.state).find(publish_id)) as owned:
        queued = owned.journal.queue.read()
    assert (queued.agreed, queued.limits) == (True, TransferLimits(jobs=2, limit_rate=1_000_000))


def test_a_moved_publish_is_resumed_only_by_its_id(program: Program, unreachable: str, tmp_path: Path) -> None:
    with no_daemon(program):
        program("publish", "--public", "-y", "--detach", "--registry", unreachable)
        [publish_id] = program.publishes
        program("journal", "export", publish_id, str(tmp_path / "moved"))
        program("publish", "--resume", "--detach").blames(2, "moved to another machine", f"--resume {publish_id}")
        program("publish", "--public", "-y", "--detach", "--registry", unreachable)
    assert len(program.publishes) == 2


def test_the_daemon_continues_an_interrupted_foreground_publish(program: Program, registry: str) -> None:
    assert program("daemon", "start").code == 0
    with answering(http("503 Service Unavailable", b"{}", "Retry-After: 400")) as server:
        stopped = program("publish", "--public", "-y", "--registry", server.url)
        [publish_id] = program.publishes
        assert stopped.code == 3
        assert "The daemon continues it." in stopped.err
        assert f"roar publish --watch {publish_id}" in stopped.err
        until(lambda: why(program, publish_id)["next_attempt"] is not None)


@contextmanager
def no_daemon(program: Program) -> Iterator[None]:
    """Each ends at once, because a folder is where its lock would be."""
    lock = StateFolder(program.state).daemon_lock
    lock.mkdir(parents=True, mode=0o700)
    yield
    lock.rmdir()


def test_without_a_daemon_it_is_queued(program: Program, registry: str) -> None:
    with no_daemon(program):
        left = program("publish", "--public", "-y", "--detach", "--registry", registry)
    [publish_id] = program.publishes
    assert left.code == 3
    assert f"Publish {publish_id} is queued" in left.err
    assert program("daemon", "start").code == 0
    watched = program("publish", "--watch", publish_id, "--json")
    assert (watched.code, watched.last["hash"]) == (0, HASH)


def test_a_put_is_left_to_the_daemon(registry: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with program_with_daemons(put_project(tmp_path), tmp_path) as program:
        order = ("put", str(store), "-m", "overnight", "--public", "-y", "--no-tag", "--registry", registry)
        left = program(*order, "--detach", "--json")
        assert left.code == 0, left.out
        watched = program("publish", "--watch", left.last["publish_id"], "--json")
        assert watched.code == 0, watched.out
    kept = [path.name for path in store.rglob("*") if path.is_file()]
    assert kept
    assert not [name for name in kept if name.startswith(".roar-")]


def test_a_publish_that_needs_the_user_is_parked_and_notified(registry: str, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    desktop = tmp_path / "bin" / "notify-send"
    desktop.parent.mkdir()
    desktop.write_text(f'#!/bin/sh\necho "$@" > {shown}.new && mv {shown}.new {shown}\n')
    desktop.chmod(0o755)
    on_desktop = {"PATH": f"{desktop.parent}:{os.environ['PATH']}", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
    project = put_project(tmp_path)
    with program_with_daemons(project, tmp_path, **on_desktop) as program:
        order = (
            "put",
            str(tmp_path / "store"),
            "-m",
            "overnight",
            "--public",
            "-y",
            "--no-tag",
            "--registry",
            registry,
        )
        with no_daemon(program):
            program(*order, "--detach")
        [publish_id] = program.publishes
        stored = json.loads(program("put", *order[1:], "--dry-run", "--json").out)["files"]
        changed = next(path for path in project.rglob(Path(stored[0]["key"]).name) if path.is_file())
        with changed.open("ab") as file:
            file.write(b"more")
        assert program("daemon", "start").code == 0
        until(shown.exists)
        assert (why(program, publish_id)["reason"], why(program, publish_id)["turn"]) == ("file changed", "person")
        program("publish", "--watch", publish_id).blames(3, changed.name, "waits for you")
    assert "A publish needs you" in shown.read_text()
    assert changed.name in shown.read_text()


def test_detach_rejects_options_that_contradict_it(program: Program) -> None:
    program("publish", "--detach", "--dry-run").blames(2, "--detach does not go with --dry-run")
    program("publish", "--watch", "--detach").blames(2, "--watch does not go with --detach")


def test_the_hook_is_run_at_the_end(program: Program, registry: str, tmp_path: Path) -> None:
    heard = tmp_path / "heard.json"
    hook = tmp_path / "hook.py"
    hook.write_text(
        "import json, os, sys\n"
        f"json.dump({{k: v for k, v in os.environ.items() if k.startswith('ROAR_PUBLISH')}}, open({str(heard)!r}, 'w'))"
    )
    config = tmp_path / "home" / ".config" / "roar"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(f"[publisher]\non_done = ['python3', '{hook}']\n")
    publish_id = program("publish", "--public", "-y", "--detach", "-q", "--registry", registry).out.strip()
    until(lambda: count_status(StateFolder(program.state).find(publish_id)).queued.notified is True)
    event = json.loads(heard.read_text())
    assert event["ROAR_PUBLISH_ID"] == publish_id
    assert event["ROAR_PUBLISH_HASH"] == HASH
    assert event["ROAR_PUBLISH_STATE"] == "done"
