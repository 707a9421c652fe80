"""The daemon as a real process: started once however often, found by its lock, stopped by a signal, never killed."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import roar_publisher
from roar_publisher.daemon import background
from roar_publisher.daemon.background import Started, import_path, running, start, stop, wait_for
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.lock import Lock
from roar_publisher.state.paths import StateFolder
from tests.support.checkout import CHECKOUT
from tests.support.cli.program import Ended, Program, ended
from tests.support.daemon.daemons import daemons_of, pid_of, program_with_daemons, until
from tests.support.processes import environment, line_of
from tests.support.processes import running as process

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at processes through /proc")

HOLDER = """
import os, signal, sys
from pathlib import Path
from roar_publisher.state.lock import Lock

signal.signal(signal.SIGTERM, signal.SIG_IGN)
with Lock(Path(sys.argv[1])):
    if len(sys.argv) > 2:
        Path(sys.argv[1]).write_text(sys.argv[2])
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""
"""Holds a lock and is deaf to SIGTERM; may claim to be another process."""


LOSER = "import os, sys; from pathlib import Path; Path(sys.argv[1]).write_text(str(os.getpid())); sys.exit(5)"
"""Another daemon was quicker."""

QUICKER = """
import sys, time
from pathlib import Path
from roar_publisher.state.lock import Lock

lost = Path(sys.argv[2])
while not lost.exists() or Path(f"/proc/{lost.read_text()}").exists():
    time.sleep(0.005)
with Lock(Path(sys.argv[1])):
    sys.stdin.read()
"""
"""Holds the lock visibly only after the other has ended, and was seen to have ended."""

STALE_PID = 4_194_300
LATE = f"""
import os, signal, sys, time
from pathlib import Path
from roar_publisher.state.lock import Lock

lock, seen = map(Path, sys.argv[1:3])
held = Lock(lock).acquire()
lock.write_text("{STALE_PID}")
while not seen.exists():
    time.sleep(0.005)
lock.write_text(str(os.getpid()))
signal.pause()
"""
"""Holds the lock, in which the pid of an earlier daemon stays until it was seen there."""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with program_with_daemons(tmp_path, tmp_path) as program:
        yield program


def worked(done: Ended) -> str:
    assert (done.code, done.err) == (0, "")
    return done.out


def status_of(pid: int) -> dict[str, str]:
    """What the kernel says about a process, by name."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_it_outlives_the_command_that_started_it(program: Program) -> None:
    out = worked(program("daemon", "start"))
    pid = pid_of(program)

    assert pid is not None
    assert out == f"Started the daemon (pid {pid}). Its log: {program.state}/daemon.log\n"
    assert os.getsid(pid) == pid != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull
    assert {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)} == {f"{program.state}/daemon.log"}
    assert program.state.stat().st_mode & 0o777 == 0o700


def test_it_takes_over_what_depends_on_the_process_that_started_it(program: Program) -> None:
    """The umask, by which others may read what it stores in a shared folder, and paths from the current folder."""
    names = ("SSL_CERT_FILE", "ROAR_SSH_KEY", "AWS_CONFIG_FILE", "SSL_CERT_DIR", "GOOGLE_APPLICATION_CREDENTIALS")
    values = ("certificates.pem", "keys/my:id", "~/.aws/other", "one:/two:~/three", "")
    program.env.update(zip(names, values, strict=True))

    def with_umask() -> None:
        os.umask(0o027)

    worked(program("daemon", "start", before=with_umask))
    pid = pid_of(program)

    assert pid is not None
    assert status_of(pid)["Umask"] == "0027"
    environ = dict(line.split("=", 1) for line in Path(f"/proc/{pid}/environ").read_text().split("\0") if line)
    here = program.cwd
    assert [environ[name] for name in names] == [
        f"{here}/certificates.pem",
        f"{here}/keys/my:id",
        "~/.aws/other",
        f"{here}/one:/two:~/three",
        "",
    ]


def test_a_second_start_keeps_the_running_daemon(program: Program) -> None:
    worked(program("daemon", "start"))
    pid = pid_of(program)

    assert worked(program("daemon", "start")) == f"The daemon is already running (pid {pid}).\n"
    assert daemons_of(program) == [pid]


def test_started_by_several_at_once_one_runs_and_every_start_succeeds(program: Program) -> None:
    command = [sys.executable, "-m", "roar_publisher", "daemon", "start"]
    starting = [
        subprocess.Popen(
            command, cwd=program.cwd, env=program.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    outs = [worked(ended(one)) for one in starting]
    pid = pid_of(program)

    assert all(f"(pid {pid})" in out for out in outs)
    assert sum(out.startswith("Started") for out in outs) == 1
    until(lambda: daemons_of(program) == [pid])
    assert "ERROR" not in (program.state / "daemon.log").read_text()


def test_the_loser_of_a_race_waits_until_the_winner_is_visible(
    folder: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = tmp_path / "lost"
    monkeypatch.setattr(background, "COMMAND", ("-c", LOSER, str(lost)))
    folder.root.mkdir()
    with process("-c", QUICKER, str(folder.daemon_lock), str(lost)) as quicker:
        assert start(folder) == Started(quicker.pid, already_running=True)


def test_the_pid_of_an_earlier_daemon_is_not_taken_for_another_one(
    folder: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"

    def noted(folder: StateFolder) -> int | None:
        pid = running(folder)
        if pid == STALE_PID:
            seen.touch()
        return pid

    monkeypatch.setattr(background, "COMMAND", ("-c", LATE, str(folder.daemon_lock), str(seen)))
    monkeypatch.setattr(background, "running", noted)
    started = start(folder)
    os.kill(started.pid, signal.SIGKILL)
    os.waitpid(started.pid, 0)
    assert not started.already_running
    assert seen.exists()


def test_each_state_folder_has_its_own_daemon(program: Program, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with program_with_daemons(tmp_path, tmp_path / "other") as other:
        worked(program("daemon", "start"))
        worked(other("daemon", "start"))
        assert pid_of(program) != pid_of(other)

        worked(other("daemon", "stop"))
        assert pid_of(program) is not None


def test_stop_waits_for_the_exit_and_the_log_says_so(program: Program) -> None:
    worked(program("daemon", "start"))
    pid = pid_of(program)
    log = program.state / "daemon.log"
    until(lambda: "the daemon is running" in log.read_text())  # one that is asked to stop before has nothing to say

    assert worked(program("daemon", "stop")) == f"Stopped the daemon (pid {pid}).\n"
    assert pid_of(program) is None
    until(lambda: daemons_of(program) == [])
    assert "the daemon exits" in log.read_text().splitlines()[-1]


def test_stop_without_a_daemon_creates_nothing(program: Program) -> None:
    assert worked(program("daemon", "stop")) == "No daemon is running.\n"
    assert not program.state.exists()


def test_after_a_kill_the_next_one_replaces_a_stale_pid_and_socket(program: Program) -> None:
    worked(program("daemon", "start"))
    killed = pid_of(program)
    assert killed is not None
    until((program.state / "daemon.sock").exists)
    os.kill(killed, signal.SIGKILL)
    until(lambda: pid_of(program) is None)
    assert (program.state / "daemon.sock").exists()
    assert (program.state / "daemon.lock").read_text().split()[0] == str(killed)

    assert program("daemon", "status").code == 3
    assert worked(program("daemon", "stop")) == "No daemon is running.\n"
    assert worked(program("daemon", "start")).startswith("Started")
    assert pid_of(program) not in (None, killed)


def test_a_new_daemon_is_waited_for_until_it_has_written_its_pid(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pid of the one before is in the lock for a moment, and its process may still be there."""
    with process("-c", "import sys; print('up', flush=True); sys.stdin.read()") as before:
        line_of(before)
        folder.root.mkdir()
        with Lock(folder.daemon_lock) as lock:
            folder.daemon_lock.write_text(f"{before.pid:<20}")
            monkeypatch.setattr("roar_publisher.daemon.background.time.sleep", lambda seconds: lock.name_holder())
            assert wait_for(folder, 60.0) == os.getpid()


def test_a_process_whose_pid_is_left_in_the_lock_is_not_signalled(folder: StateFolder) -> None:
    with process("-c", "import sys; print('up', flush=True); sys.stdin.read()") as innocent:
        line_of(innocent)
        folder.root.mkdir()
        folder.daemon_lock.write_text(str(innocent.pid))

        assert running(folder) is None
        assert stop(folder) is None
        assert innocent.poll() is None


def test_a_process_that_does_not_hold_the_lock_is_not_signalled_whatever_the_lock_says(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "PID_SECONDS", 0.05)
    folder.root.mkdir()
    with process("-c", "import sys; print('up', flush=True); sys.stdin.read()") as innocent:
        line_of(innocent)
        with process("-c", HOLDER, str(folder.daemon_lock), str(innocent.pid)) as elsewhere:
            line_of(elsewhere)
            with pytest.raises(
                LocalProblem, match=rf"cannot be signalled from here \(its pid there is {innocent.pid}\)"
            ):
                stop(folder)
        assert innocent.poll() is None


def test_a_daemon_that_may_not_be_signalled_is_named(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    folder.root.mkdir()
    with process("-c", HOLDER, str(folder.daemon_lock)) as foreign:
        pid = int(line_of(foreign))
        with monkeypatch.context() as system:
            system.setattr(os, "kill", refuse)
            with pytest.raises(LocalProblem, match=rf"cannot be signalled from here \(its pid there is {pid}\)"):
                stop(folder)


def test_a_daemon_whose_folder_is_removed_meanwhile_is_not_there(
    folder: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = iter([os.getpid()])  # as if the folder was removed when its lock had been looked at
    monkeypatch.setattr(background, "running", lambda folder: next(pids, None))
    assert stop(folder) is None


def test_a_daemon_that_does_not_exit_is_reported_and_not_killed(folder: StateFolder) -> None:
    folder.root.mkdir()
    with process("-c", HOLDER, str(folder.daemon_lock)) as deaf:
        pid = int(line_of(deaf))

        with pytest.raises(LocalProblem, match=rf"\(pid {pid}\) was asked to stop and is still running") as problem:
            stop(folder, patience=0.05)

        assert f"kill -9 {pid}" in problem.value.next_step
        assert deaf.poll() is None
        assert running(folder) == pid


def test_one_that_cannot_start_says_why(program: Program) -> None:
    config = Path(program.env["HOME"]) / ".config" / "roar"
    config.mkdir(parents=True)
    (config / "config.toml").write_text("[publisher]\nmax_active = 0\n")

    done = program("daemon", "start")

    done.blames(1, "the daemon exited immediately with exit code 1", "max_active must be a number from 1 to 64")
    assert "next: roar daemon logs" in done.err.lower()
    assert daemons_of(program) == []


@pytest.mark.parametrize("command", ["start", "run"])
def test_a_state_folder_that_cannot_be_made_is_named(command: str, program: Program) -> None:
    program.state.write_text("in the way")

    done = program("daemon", command)

    done.blames(3, f"the state folder {program.state} cannot be used")
    assert len(done.err.splitlines()) == 2


def test_a_daemon_that_does_not_start_in_time_is_reported(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "COMMAND", ("-c", "import signal; signal.pause()"))
    with pytest.raises(LocalProblem, match=r"\(pid \d+\) has not started within 0 s, and may still start") as problem:
        start(folder, patience=0.05)

    pid = int(problem.value.what.split("pid ")[1].split(")")[0])
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_an_unwritable_log_does_not_prevent_the_start(program: Program) -> None:
    (program.state / "daemon.log").mkdir(parents=True)

    worked(program("daemon", "start"))

    assert pid_of(program) is not None


def test_one_that_can_neither_start_nor_log_says_why(program: Program) -> None:
    """As in a state folder that cannot be written."""
    for name in ("daemon.log", "daemon.lock"):
        (program.state / name).mkdir(parents=True)

    program("daemon", "start").blames(
        1, "the daemon exited immediately with exit code 3", f"the lock {program.state}/daemon.lock cannot be opened"
    )


def test_the_package_is_importable_from_any_folder(tmp_path: Path) -> None:
    with program_with_daemons(tmp_path, tmp_path, PYTHONPATH=os.path.relpath(CHECKOUT / "src", tmp_path)) as program:
        worked(program("daemon", "start"))


def test_started_in_a_checkout_without_a_path_it_is_importable_too(tmp_path: Path) -> None:
    with program_with_daemons(CHECKOUT, tmp_path, PYTHONPATH="") as program:
        worked(program("daemon", "start"))


def test_a_state_folder_that_is_named_relatively_is_the_same_for_the_daemon(program: Program) -> None:
    relative = replace(program, env=program.env | {"ROAR_STATE_DIR": "state"})

    worked(relative("daemon", "start"))

    assert relative("daemon", "status").code == program("daemon", "status").code == 0
    assert daemons_of(program) == [pid_of(program)]


def test_an_installed_package_needs_no_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roar_publisher, "__file__", "/venv/lib/python3.11/site-packages/roar_publisher/__init__.py")

    assert import_path({}) is None
    assert import_path({"PYTHONPATH": "/mine::mine"}) == f"/mine:{Path.cwd() / 'mine'}"


def test_start_and_stop_in_the_same_process(folder: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(HOME=str(folder.root.parent)).items():
        monkeypatch.setenv(name, value)
    started = start(folder)
    try:
        assert started == Started(started.pid, already_running=False)
        assert start(folder) == Started(started.pid, already_running=True)
        assert running(folder) == started.pid
    finally:
        assert stop(folder) == started.pid
        os.waitpid(started.pid, 0)
