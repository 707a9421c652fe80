"""Reports the end of a publish: runs the user's hook and shows a desktop notification.

Both are optional extras, so their errors are only logged. A hook for which the machine lacks resources is run later.
"""

import errno
import html
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import anyio
from anyio.abc import Process
from msgspec import Struct

from roar_publisher.blocking import no_thread
from roar_publisher.daemon.log import Log, about, escaped
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.machine import State
from roar_publisher.state.reasons import Reason
from roar_publisher.tasks import task_group

HOOK_SECONDS = 60.0
"""How long the `[publisher] on_done` command may take."""
KILLED_SECONDS = 5.0
"""How long to wait for a killed command to exit."""
NOTIFY_SECONDS = 5.0
"""How long the desktop may take to accept a notification."""
STDERR_DRAIN_SECONDS = 1.0
"""How long to keep reading after a command ends. A child that it left behind may hold its stderr open forever."""
STDERR_BYTES = 4096
PIPE_BYTES = 1024 * 1024
"""The most that a pipe holds."""
LINE_CHARACTERS = 300
"""The maximum length of a command's last line in the log."""

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
"""Error numbers for a lack of file descriptors, memory or processes."""

PASSED_VARIABLES = frozenset(
    "PATH HOME USER LOGNAME SHELL TMPDIR TZ LANG LANGUAGE VIRTUAL_ENV CONDA_PREFIX "
    "DISPLAY WAYLAND_DISPLAY XAUTHORITY DBUS_SESSION_BUS_ADDRESS ROAR_STATE_DIR".split()
)
"""The variables that a command gets. All others are left out, because they may hold credentials under any name. A
command that needs another variable reads it from a file, or is `["env", "NAME=value", …]`.
"""
PASSED_PREFIXES = ("LC_", "XDG_")

TITLES = {State.DONE: "Published", State.FAILED: "Could not publish"}

_APPLESCRIPT = (
    "on run argv",
    "display notification (item 2 of argv) with title (item 1 of argv)",
    "end run",
)


class EndedPublish(Struct, frozen=True):
    """A publish that has ended or waits for the user.

    state: DONE, FAILED, or a live state. hash, url: empty if nothing was published. project: the folder that it came
    from. reason: a code of `state.reasons`. detail: a sentence about the reason.
    """

    publish_id: str
    state: State
    hash: str
    url: str
    project: str
    reason: str
    detail: str


async def notify_end(ended: EndedPublish, command: Sequence[str] | None, *, notify: bool, log: logging.Logger) -> None:
    """Run the hook `command`, if any, and show a notification if `notify` is set and there is a desktop.

    The command runs without a shell, in `/`, with the variables of `hook_environment`. After 60 s its whole process
    group is killed. Raises LocalProblem if the machine has no process, thread or file descriptor left for it. Each call
    runs the command again, so it should tolerate repetition: if the daemon dies meanwhile, the next one repeats the
    call. Cancellation ends the command first.
    """
    publish_log = about(log, ended.publish_id)
    if command:
        await _run("hook", command, HOOK_SECONDS, hook_environment(ended, os.environ), publish_log)
    if notify and (notice := notification(ended, os.environ)) is not None:
        with suppress(LocalProblem):
            await _run("notification", notice, NOTIFY_SECONDS, _passed_on(os.environ), publish_log)


def hook_environment(ended: EndedPublish, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the `on_done` command: the PASSED_VARIABLES, and how the publish ended.

    These are ROAR_PUBLISH_ID, _STATE (`done` or `failed`), _HASH and _URL (empty unless published), _PROJECT (its
    folder) and _REASON (the code that `roar journal show --why` prints).
    """
    facts = {
        "ROAR_PUBLISH_ID": ended.publish_id,
        "ROAR_PUBLISH_STATE": ended.state.value,
        "ROAR_PUBLISH_HASH": escaped(ended.hash),
        "ROAR_PUBLISH_URL": escaped(ended.url),
        "ROAR_PUBLISH_PROJECT": ended.project,
        "ROAR_PUBLISH_REASON": ended.reason,
    }
    return _passed_on(environ) | facts


def notification(ended: EndedPublish, environ: Mapping[str, str], *, platform: str = sys.platform) -> list[str] | None:
    """Return the command that shows the end on this desktop, or None without a desktop or such a program.

    The texts are separate arguments. They are never part of a script or of markup.
    """
    title = TITLES.get(ended.state, "A publish needs you")
    name = Path(ended.project).name or ended.project
    text = escaped(f"{name}: {ended.url or ended.hash or ended.detail or ended.reason}")
    if platform == "darwin":
        script = [part for line in _APPLESCRIPT for part in ("-e", line)]
        return ["osascript", *script, title, text] if shutil.which("osascript") else None
    if not _has_session_bus(environ) or shutil.which("notify-send") is None:
        return None
    return ["notify-send", "--app-name=roar", "--", title, html.escape(text, quote=False)]


def _has_session_bus(environ: Mapping[str, str]) -> bool:
    runtime = environ.get("XDG_RUNTIME_DIR")
    return bool(environ.get("DBUS_SESSION_BUS_ADDRESS")) or (runtime is not None and Path(runtime, "bus").exists())


def _passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value for name, value in environ.items() if name in PASSED_VARIABLES or name.startswith(PASSED_PREFIXES)
    }


async def _run(what: str, command: Sequence[str], seconds: float, environ: dict[str, str], log: Log) -> None:
    """Run a command until it ends or times out, and log the result. Cancellation ends the command first.

    Raises LocalProblem if the machine lacks the resources to run it now.
    """
    tail = bytearray()
    try:
        with anyio.move_on_after(seconds):
            code = await _run_to_end(command, environ, tail)
            level = logging.WARNING if code else logging.INFO
            log.log(level, "the %s ended with exit code %d%s", what, code, _last_line(tail))
            return
    except (OSError, ValueError) as error:  # ValueError: a null character in an argument
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            raise LocalProblem(
                f"the {what} cannot be run at the moment: {error.strerror}", reason=Reason.LOCAL
            ) from error
        log.warning("the %s cannot be run: %s", what, error)
        return
    except RuntimeError as error:  # Python 3.11 waits for a process in a thread
        if problem := no_thread(error):
            raise LocalProblem(
                f"the {what} cannot be run at the moment: {problem.what}", reason=Reason.LOCAL
            ) from error
        raise
    log.warning("the %s was killed after %.0f s%s", what, seconds, _last_line(tail))


async def _run_to_end(command: Sequence[str], environ: dict[str, str], tail: bytearray) -> int:
    """Return the exit code. `tail` receives the end of the command's stderr.

    The pipe is read directly. asyncio's pipe would not report the end of the command while a child that it left
    behind holds the pipe open.
    """
    reading, writing = os.pipe()
    try:
        try:
            process = await anyio.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=writing,
                cwd="/",
                env=environ,
                start_new_session=True,
            )
        finally:
            os.close(writing)
        async with task_group() as tasks:
            tasks.start_soon(_read, reading, tail)
            await _wait_or_kill(process)
            tasks.cancel_scope.deadline = anyio.current_time() + STDERR_DRAIN_SECONDS
        assert process.returncode is not None
        return process.returncode
    finally:
        _drain(reading, tail)
        os.close(reading)


async def _wait_or_kill(process: Process) -> None:
    """Wait for the process. On cancellation, kill its whole process group and wait briefly for it to exit.

    A command that runs as another user cannot be killed and is left behind.
    """
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with anyio.move_on_after(KILLED_SECONDS, shield=True):
                await process.wait()


async def _read(descriptor: int, tail: bytearray) -> None:
    while True:
        await anyio.wait_readable(descriptor)
        if not _keep(os.read(descriptor, STDERR_BYTES), tail):
            return


def _drain(descriptor: int, tail: bytearray) -> None:
    """Read what is left in the pipe of a command that was killed, without waiting: a child may hold it open."""
    os.set_blocking(descriptor, False)
    with suppress(BlockingIOError):
        _keep(os.read(descriptor, PIPE_BYTES), tail)


def _keep(chunk: bytes, tail: bytearray) -> bool:
    """Add output to its tail. Return False at the end of the output."""
    tail += chunk
    del tail[:-STDERR_BYTES]
    return chunk != b""


def _last_line(tail: bytearray) -> str:
    lines = tail.decode("utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"; its last output: {last[:LINE_CHARACTERS]}" if last else ""
