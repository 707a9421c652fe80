"""What happens when a publish ends: the user's command, as a real process, and a word on the desktop."""

import fcntl
import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import open_process
from anyio.abc import Process
from msgspec.structs import replace

from roar_publisher.blocking import NO_THREAD
from roar_publisher.daemon import hooks as ended
from roar_publisher.daemon.hooks import hook_environment, notify_end
from roar_publisher.state.errors import LocalProblem
from tests.support.daemon.ended import DONE, said

MARKED = {
    "ROAR_ACCESS_TOKEN": "marked",
    "AWS_ACCESS_KEY_ID": "marked",
    "AWS_SECRET_ACCESS_KEY": "marked",
    "AWS_SESSION_TOKEN": "marked",
    "GOOGLE_APPLICATION_CREDENTIALS": "marked",
    "SSH_AUTH_SOCK": "marked",
    "HTTPS_PROXY": "http://somebody:marked@proxy.example",
    "DATABASE_URL": "postgres://somebody:marked@db.example/x",
    "GH_PAT": "marked",
}

pytestmark = pytest.mark.anyio


def python(code: str) -> list[str]:
    return [sys.executable, "-P", "-c", code]


async def test_the_hook_gets_everything_in_variables(
    tmp_path: Path, log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    code = (
        f"import json, os; facts = {{n: v for n, v in os.environ.items() if 'PUBLISH' in n}};"
        f"open({str(out)!r}, 'w').write(json.dumps(facts))"
    )

    await notify_end(DONE, python(code), notify=False, log=log)

    assert json.loads(out.read_text()) == {
        "ROAR_PUBLISH_ID": "1f2e3d4c",
        "ROAR_PUBLISH_STATE": "done",
        "ROAR_PUBLISH_HASH": "ab" * 32,
        "ROAR_PUBLISH_URL": "https://registry.example/dag/abab",
        "ROAR_PUBLISH_PROJECT": "/home/someone/my model",
        "ROAR_PUBLISH_REASON": "published",
    }
    assert said(caplog) == "INFO the hook ended with exit code 0"


async def test_no_shell_reads_the_command(tmp_path: Path, log: logging.Logger) -> None:
    out = tmp_path / "out"
    code = f"import sys; open({str(out)!r}, 'w').write(sys.argv[1])"

    await notify_end(DONE, [*python(code), "$HOME; `id` && *"], notify=False, log=log)

    assert out.read_text() == "$HOME; `id` && *"


async def test_no_credential_of_the_daemon_reaches_the_hook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: logging.Logger
) -> None:
    for name, value in MARKED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LC_TIME", "C")
    out = tmp_path / "out"

    code = f"import json, os; open({str(out)!r}, 'w').write(json.dumps(dict(os.environ)))"
    await notify_end(DONE, python(code), notify=False, log=log)

    variables = json.loads(out.read_text())
    assert "marked" not in repr(variables)
    assert (variables["PATH"], variables["LC_TIME"]) == (os.environ["PATH"], "C")


def test_text_of_a_server_cannot_break_the_environment() -> None:
    facts = hook_environment(replace(DONE, url="https://x/\0\nHOSTILE=1\ud800"), {"PATH": "/bin"})

    assert facts["ROAR_PUBLISH_URL"] == r"https://x/\x00\nHOSTILE=1\ud800"


async def test_the_exit_code_and_last_line_of_a_failing_hook_are_logged(
    log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    code = "import sys; sys.stderr.write('x' * 100_000 + '\\nfirst\\nno such channel\\n\\n'); sys.exit(7)"

    await notify_end(DONE, python(code), notify=False, log=log)

    assert said(caplog) == "WARNING the hook ended with exit code 7; its last output: no such channel"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["/no/such/program"], "No such file or directory"),
        (["/"], "Permission denied"),
        (["a\0b"], "embedded null byte"),
    ],
)
async def test_a_command_that_cannot_be_run_is_logged(
    command: list[str], why: str, log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    await notify_end(DONE, command, notify=False, log=log)

    assert said(caplog).startswith("WARNING the hook cannot be run: ")
    assert why in said(caplog)


@pytest.mark.parametrize("read", ["meanwhile", "after it was killed"])
async def test_a_hook_that_takes_too_long_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: logging.Logger, caplog: pytest.LogCaptureFixture, read: str
) -> None:
    if read == "after it was killed":  # a busy daemon had no time for its output

        async def read_nothing(descriptor: int, tail: bytearray) -> None:
            await anyio.sleep_forever()

        monkeypatch.setattr(ended, "_read", read_nothing)
    patience = anyio.CancelScope()
    asked = []

    def until_the_child_is_there(seconds: float, *, shield: bool = False) -> anyio.CancelScope:
        if shield:  # it waits until what it killed is gone
            return anyio.CancelScope(shield=True)
        asked.append(seconds)
        return patience

    monkeypatch.setattr(anyio, "move_on_after", until_the_child_is_there)
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await notify_end(DONE, lasting(tmp_path), notify=False, log=log)

        tasks.start_soon(run)
        await until((tmp_path / "child").exists)
        patience.cancel()

    assert asked == [60.0]
    assert said(caplog) == "WARNING the hook was killed after 60 s; its last output: waiting"
    await gone(tmp_path)


async def test_a_daemon_that_stops_ends_the_hook_first(tmp_path: Path, log: logging.Logger) -> None:
    with anyio.fail_after(120):
        async with anyio.create_task_group() as tasks:

            async def run() -> None:
                await notify_end(DONE, lasting(tmp_path), notify=False, log=log)

            tasks.start_soon(run)
            await until((tmp_path / "child").exists)
            tasks.cancel_scope.cancel()

    await gone(tmp_path)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # the daemon's; trio complains of the process that is left
async def test_a_hook_that_cannot_be_killed_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: logging.Logger
) -> None:
    """As one that became another user's."""
    left: list[Process] = []
    refused: list[int] = []

    async def opened(*arguments: Any, **options: Any) -> Process:
        left.append(await open_process(*arguments, **options))
        return left[-1]

    def refuse(pid: int, number: int) -> None:
        refused.append(pid)
        raise PermissionError

    monkeypatch.setattr(anyio, "open_process", opened)
    monkeypatch.setattr(os, "killpg", refuse)
    monkeypatch.setattr(ended, "KILLED_SECONDS", 0.05)
    began = tmp_path / "began"
    async with anyio.create_task_group() as tasks:

        async def run() -> None:
            await notify_end(
                DONE, ["sh", "-c", f"touch {shlex.quote(str(began))}; exec sleep 20"], notify=False, log=log
            )

        tasks.start_soon(run)
        await until(began.exists)
        tasks.cancel_scope.cancel()

    [process] = left
    assert refused == [process.pid]
    os.kill(process.pid, signal.SIGKILL)  # it is still there
    # The event loop has to hear of its end, from a thread, or complains of it.
    await until(lambda: process.returncode is not None)
    await anyio.wait_all_tasks_blocked()


@pytest.mark.parametrize("number", sorted(ended.EXHAUSTED))
async def test_a_lack_of_resources_for_a_hook_is_raised(
    number: int, monkeypatch: pytest.MonkeyPatch, log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    def no_room() -> tuple[int, int]:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pipe", no_room)
    with pytest.raises(LocalProblem, match="the hook cannot be run at the moment"):
        await notify_end(DONE, ["true"], notify=False, log=log)
    assert caplog.records == []


async def test_a_lack_of_a_thread_for_a_hook_is_raised(
    monkeypatch: pytest.MonkeyPatch, log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    async def no_room(*_: object, **__: object) -> Process:
        raise RuntimeError(NO_THREAD)

    monkeypatch.setattr(anyio, "open_process", no_room)
    with pytest.raises(LocalProblem, match="the hook cannot be run at the moment: this machine may not start"):
        await notify_end(DONE, ["true"], notify=False, log=log)
    assert caplog.records == []


async def test_a_child_that_a_hook_leaves_behind_is_not_waited_for(
    tmp_path: Path, log: logging.Logger, caplog: pytest.LogCaptureFixture
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    held = os.open(fifo, os.O_RDWR)
    try:
        with anyio.fail_after(120):
            await notify_end(DONE, ["sh", "-c", f"cat {shlex.quote(str(fifo))} & echo bye >&2"], notify=False, log=log)
        assert said(caplog) == "INFO the hook ended with exit code 0; its last output: bye"
    finally:
        with os.fdopen(held, "wb") as let_go:
            del let_go  # closed: `cat` reads the end of its file and ends


async def test_without_a_command_nothing_is_run(log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    await notify_end(DONE, None, notify=False, log=log)
    await notify_end(DONE, (), notify=False, log=log)

    assert caplog.records == []


def lasting(folder: Path) -> list[str]:
    """A command that never ends, with a child that never ends; the child locks a file for as long as it lives."""
    child = (
        f"import fcntl, signal; held = open({str(folder / 'lock')!r}, 'w'); fcntl.flock(held, fcntl.LOCK_EX);"
        f"open({str(folder / 'child')!r}, 'w').close(); signal.pause()"
    )
    code = (
        "import signal, subprocess, sys\n"
        "sys.stderr.write('waiting\\n'); sys.stderr.flush()\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "signal.pause()"
    )
    return python(code)


async def gone(folder: Path) -> None:
    """Wait until that child's lock is free: the kernel drops it when the child dies."""
    with (folder / "lock").open() as lock:

        def free() -> bool:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        await until(free)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does."""
    with anyio.fail_after(120):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await anyio.sleep(0.01)
