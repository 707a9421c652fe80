"""`roar daemon` as a person types it: what it prints, what it exits with, and that it changes nothing when asked."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roar_publisher.daemon.log import FILES
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from tests.support.cli.program import PATIENCE, Program, ended
from tests.support.daemon.daemons import daemons_of, pid_of, program_with_daemons, until
from tests.support.lineages import chain, cut, frozen

COMMANDS = ["run", "start", "stop", "status", "logs", "install", "uninstall"]
HEAVY = {"asyncssh", "httpx2", "pydantic", "starlette", "uvicorn", "botocore"}
TERMINAL_COLUMNS = 80
TOMORROW = 86_400.0


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with program_with_daemons(tmp_path, tmp_path) as program:
        yield program


def publish(program: Program, act: Callable[[OwnedPublish], object] = lambda made: None) -> PublishPaths:
    """A publish in the program's state folder after `act`, which no process works on."""
    with frozen(StateFolder(program.state), cut(chain(2))) as made:
        act(made)
        return made.paths


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_documents_its_exit_codes(command: str, program: Program) -> None:
    done = program("daemon", command, "--help")

    assert (done.code, done.err) == (0, "")
    assert "Exit codes: 0" in done.out
    assert max(map(len, done.out.splitlines())) <= TERMINAL_COLUMNS


def test_help_lists_every_command_and_an_example(program: Program) -> None:
    out = program("daemon", "--help").out

    assert all(f"\n  {command} " in out for command in COMMANDS)
    assert "roar daemon install" in out


@pytest.mark.parametrize("arguments", [["--help"], ["status"], ["logs"], ["stop"]])
def test_frequent_commands_load_no_heavy_library(arguments: list[str], program: Program) -> None:
    code = (
        "import sys; from roar_publisher.__main__ import run; run(sys.argv[1:]);"
        f"sys.exit(str(heavy) if (heavy := {HEAVY!r} & set(sys.modules)) else 0)"
    )
    command = [sys.executable, "-P", "-c", code, "daemon", *arguments]

    done = subprocess.run(command, cwd=program.cwd, env=program.env, capture_output=True, text=True, timeout=PATIENCE)

    assert done.returncode == 0, done.stderr


def test_status_without_a_state_folder_creates_nothing(program: Program) -> None:
    done = program("daemon", "status")

    assert (done.code, done.err) == (3, "")
    assert done.out.splitlines() == [
        "No daemon is running.",
        f"State folder: {program.state}",
        f"Log: {program.state}/daemon.log",
    ]
    assert not program.state.exists()


def test_status_shows_every_live_publish(program: Program) -> None:
    later = time.time() + TOMORROW
    places = {
        publish(program, lambda made: made.journal.queue.detach()).id: "queued",
        publish(program, lambda made: made.journal.queue.postpone(attempts=3, until=later)).id: "waiting",
        publish(program, lambda made: made.journal.park(reason=Reason.AUTH, detail="sign in")).id: "parked",
    }
    over = publish(program, lambda made: made.journal.checkpoint(Event.CANCELLED, reason=Reason.CANCELLED)).id
    with frozen(StateFolder(program.state), cut(chain(2))) as mine:
        places[mine.paths.id] = "running"
        text, done = program("daemon", "status"), program("daemon", "status", "--json")
        listed = {event["publish_id"]: event for event in program("journal", "list", "--json").events}

    (facts,) = done.events
    shown_publishes = {publish["publish_id"]: publish for publish in facts["publishes"]}
    assert (done.code, facts["running"], facts["pid"]) == (3, False, None)
    assert facts["counts"] == {"running": 1, "queued": 1, "waiting": 1, "parked": 1}
    assert facts["next_attempt"] == pytest.approx(later)
    assert shown_publishes.keys() == places.keys()
    assert all(publish.keys() == listed[publish_id].keys() for publish_id, publish in shown_publishes.items())

    assert (text.code, text.err) == (3, "Next: roar daemon start\n")
    assert "1 running, 1 queued, 1 waiting (next attempt " in text.out
    shown = {words[0]: words[1] for words in map(str.split, text.out.splitlines()) if words[0] in listed}
    assert shown == places
    assert over not in shown


def test_status_leaves_out_what_cannot_be_read(program: Program) -> None:
    publish(program).journal.write_bytes(b"no database" * 100)
    good = publish(program)

    (facts,) = program("daemon", "status", "--json").events

    assert [publish["publish_id"] for publish in facts["publishes"]] == [good.id]
    assert facts["counts"]["queued"] == 1


def test_status_shows_the_pid_of_a_running_daemon(program: Program) -> None:
    program("daemon", "start")

    done = program("daemon", "status", "--json")

    assert done.code == 0
    assert (done.last["running"], done.last["pid"]) == (True, pid_of(program))
    assert program("daemon", "status").out.startswith(f"The daemon is running (pid {pid_of(program)}).\n")


def test_run_in_the_foreground_also_logs_to_stderr(program: Program) -> None:
    with program.started("daemon", "run") as popen:
        until(lambda: pid_of(program) == popen.pid)
        until((program.state / "daemon.sock").exists)
        second = program("daemon", "run")
        popen.send_signal(signal.SIGINT)
        done = ended(popen)

    assert (done.code, done.out) == (0, "")
    assert done.err == (program.state / "daemon.log").read_text()
    second.blames(5, f"pid {popen.pid}", "next: roar daemon status")


def test_the_log_also_says_why_it_cannot_run(program: Program) -> None:
    config = Path(program.env["HOME"]) / ".config" / "roar"
    config.mkdir(parents=True)
    (config / "config.toml").write_text("[publisher]\njobs = 'many'\n")

    done = program("daemon", "run")

    assert done.code == 1
    assert "Error: " in done.err
    assert " ERROR - " in (program.state / "daemon.log").read_text()
    assert "Error: " not in program("daemon", "run", "--quiet").err


def test_any_sigterm_stops_it(program: Program) -> None:
    program("daemon", "start")
    pid = pid_of(program)
    assert pid is not None

    os.kill(pid, signal.SIGTERM)

    until(lambda: daemons_of(program) == [])
    until(lambda: program("daemon", "status").code == 3)  # Linux takes its memory before its lock


def test_logs_shows_the_last_lines(program: Program) -> None:
    program.state.mkdir()
    log = program.state / "daemon.log"
    log.write_text("".join(f"line {number}\n" for number in range(100)))

    assert program("daemon", "logs").out.splitlines() == [f"line {number}" for number in range(50, 100)]
    assert program("daemon", "logs", "-n", "2").out == "line 98\nline 99\n"
    assert program("daemon", "logs", "-n", "0").out == ""
    program("daemon", "logs", "-n", "-1").blames(2, "-n")


def test_without_a_log_there_is_nothing_to_show(program: Program) -> None:
    done = program("daemon", "logs")

    assert (done.code, done.out) == (0, "")
    assert done.err == f"There is no log yet: {program.state}/daemon.log\n"


def test_a_log_that_cannot_be_read_is_named(program: Program) -> None:
    (program.state / "daemon.log").mkdir(parents=True)

    program("daemon", "logs").blames(1, "daemon.log cannot be read")


def test_logs_are_followed_over_a_rotation_until_ctrl_c(program: Program) -> None:
    program.state.mkdir()
    log = program.state / "daemon.log"
    log.write_text("one\n")
    with program.started("daemon", "logs", "-f") as popen:
        assert popen.stdout is not None
        assert popen.stdout.readline() == "one\n"
        with log.open("a") as file:
            file.write("two\n")
        log.rename(f"{log}.{FILES - 1}")
        log.write_text("three\n")
        assert [popen.stdout.readline() for _ in range(2)] == ["two\n", "three\n"]
        popen.send_signal(signal.SIGINT)
        done = ended(popen)

    assert (done.code, done.out, done.err) == (0, "", "")


def test_a_reader_of_the_log_that_goes_away_ends_it_quietly(program: Program) -> None:
    program.state.mkdir()
    (program.state / "daemon.log").write_text("a line\n" * 100_000)
    with program.started("daemon", "logs", "-n", "100000") as popen:
        assert popen.stdout is not None
        popen.stdout.readline()
        popen.stdout.close()
        popen.stdout = None
        _, err = popen.communicate(timeout=PATIENCE)

    assert (popen.returncode, err) == (0, "")
