"""Starts the daemon as a background process, and finds and stops it through the lock that it holds.

Only the lock says whether a daemon is running. The kernel drops it when its holder dies, so this information is never
stale.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

import roar_publisher
from roar_publisher.exit_codes import ExitCode
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.lock import owner
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import open_own

START_SECONDS = 60.0
"""How long a new daemon may take to acquire its lock. Its exit ends the wait at once; imports may take long."""
STOP_SECONDS = 15.0
"""How long the daemon may take to checkpoint everything and exit. It promises ten seconds."""
PID_SECONDS = 1.0
"""How long a new daemon may take to write its pid into the lock that it has acquired."""
POLL_SECONDS = 0.02
LAST_OUTPUT_LINES = 5
"""Lines of the log to show if the daemon exits immediately."""

COMMAND = ("-P", "-m", "roar_publisher", "daemon", "run")
"""Interpreter arguments that run the daemon. With -P, modules are not imported from the current folder."""
TRACED = "ROAR_WRAP"
"""The environment variable that `roar run` sets for what it traces, and waits for."""
PATHS = (
    *("AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("CLOUDSDK_CONFIG", "CURL_CA_BUNDLE", "GOOGLE_APPLICATION_CREDENTIALS", "REQUESTS_CA_BUNDLE", "ROAR_SSH_KEY"),
    "SSL_CERT_FILE",
)
"""Variables that name a file. The daemon's folder is another one, so it gets absolute paths."""
FOLDERS = "SSL_CERT_DIR"
"""The variable that names several folders."""
SITE_FOLDERS = frozenset({"site-packages", "dist-packages"})


class Started(Struct, frozen=True):
    """The result of `start`.

    pid: of the daemon that is running. already_running: it was running before, or another process started it at
    the same time.
    """

    pid: int
    already_running: bool


def running(folder: StateFolder) -> int | None:
    """Return the pid of this folder's daemon, or None if none is running or its pid is unknown. Changes nothing."""
    return owner(folder.daemon_lock)


def start(folder: StateFolder, *, patience: float = START_SECONDS) -> Started:
    """Start a daemon that outlives this process and its terminal, and return when a daemon holds the lock.

    If it is called repeatedly or by several processes at once, one daemon runs and every call succeeds. Raises
    LocalProblem if the state folder cannot be used, if the daemon exits (with its last output), or if it has not
    started after `patience` seconds. In the last case the process is left running and may still start.
    """
    if (pid := running(folder)) is not None:
        return Started(pid, already_running=True)
    folder.user_key()  # creates the folder, or raises the reason why it cannot
    log_begins = _size(folder.daemon_log)
    process = _spawn(folder)
    pid = _started(folder, process, patience)
    code = process.poll()
    output = "" if pid is not None or code is None else _last_output(process, folder.daemon_log, log_begins)
    _detach(process)
    if pid is not None:
        return Started(pid, already_running=pid != process.pid)
    if code is None:
        raise _start_failed(
            f"the daemon (pid {process.pid}) has not started within {patience:.0f} s, and may still start"
        )
    raise _start_failed(f"the daemon exited immediately with exit code {code}{f': {output}' if output else ''}")


def stop(folder: StateFolder, *, patience: float = STOP_SECONDS) -> int | None:
    """Ask the daemon to exit, wait until it has, and return its pid. Return None if none was running.

    Active publishes are checkpointed and stay resumable. The daemon is never killed. Raises LocalProblem if it is
    still running after `patience` seconds, or if it cannot be signalled from here.
    """
    pid = _lock_holder(folder)
    if pid is None:
        return None
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has just exited by itself
    except PermissionError as error:
        raise _out_of_reach(pid) from error
    if not _poll(lambda: running(folder) != pid, patience):
        raise LocalProblem(
            f"the daemon (pid {pid}) was asked to stop and is still running after {patience:.0f} s",
            kept="It was not killed. Everything that was acknowledged is kept even if you kill it.",
            next_step=f"roar daemon logs; to kill it: kill -9 {pid}",
            reason=Reason.DAEMON,
        )
    return pid


def wait_for(folder: StateFolder, seconds: float) -> int | None:
    """Wait until a daemon holds the lock and return its pid, or None after `seconds`.

    The pid in the lock may be that of the daemon before for a moment.
    """

    def settled() -> bool:
        pid = running(folder)
        return pid is not None and _has_open(pid, folder.daemon_lock)

    _poll(settled, seconds)
    return running(folder)


def import_path(environ: Mapping[str, str]) -> str | None:
    """Return the PYTHONPATH with which this package is importable from any folder, or None if none is needed."""
    package_folder = Path(roar_publisher.__file__).parents[1]
    folders = [os.path.abspath(name) for name in environ.get("PYTHONPATH", "").split(os.pathsep) if name]
    if package_folder.name not in SITE_FOLDERS and str(package_folder) not in folders:
        folders.insert(0, str(package_folder))
    return os.pathsep.join(folders) or None


def is_traced(environ: Mapping[str, str]) -> bool:
    """Return whether `roar run` traces this process. It would trace a daemon, too, and wait for its end."""
    return environ.get(TRACED) == "1"


def _spawn(folder: StateFolder) -> subprocess.Popen[bytes]:
    """Start a daemon in a new session. Output that it writes outside of its logger goes to the log file.

    If the log file cannot be written, the output goes to the `stdout` pipe of the process. The daemon keeps the umask:
    what it stores in a folder can be read by those who can read what a put in the foreground stores there.
    """
    environ = {**os.environ, **_absolute(os.environ), "ROAR_STATE_DIR": str(folder.root.absolute())}
    if (path := import_path(os.environ)) is not None:
        environ["PYTHONPATH"] = path
    output_file = _log_descriptor(folder.daemon_log)
    try:
        return subprocess.Popen(
            [sys.executable, *COMMAND, "--quiet"],
            stdin=subprocess.DEVNULL,
            stdout=output_file,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environ,
            start_new_session=True,
        )
    except OSError as error:
        raise _start_failed(f"{sys.executable} cannot be started: {error.strerror}") from error
    finally:
        if output_file != subprocess.PIPE:
            os.close(output_file)


def _absolute(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that name files, independent of the current folder."""

    def absolute(path: str) -> str:
        return os.path.abspath(path) if path and not path.startswith("~") else path  # `~` is expanded by who reads it

    named = {name: absolute(environ[name]) for name in PATHS if name in environ}
    if FOLDERS in environ:
        named[FOLDERS] = os.pathsep.join(map(absolute, environ[FOLDERS].split(os.pathsep)))
    return named


def _log_descriptor(log: Path) -> int:
    try:
        return open_own(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    except OSError:
        return subprocess.PIPE  # an unwritable log must not prevent the start


def _started(folder: StateFolder, process: subprocess.Popen[bytes], patience: float) -> int | None:
    """Return the pid of the daemon that runs once `process` is that daemon, or has exited. None if none runs.

    A process that has exited because another daemon holds the lock leaves that one. Until then, the pid in the lock may
    be stale: a daemon writes its own once it holds the lock.
    """

    def settled() -> bool:
        code = process.poll()
        if code == ExitCode.OWNED:
            return running(folder) is not None
        return code is not None or running(folder) == process.pid

    return running(folder) if _poll(settled, patience) and process.poll() in (None, ExitCode.OWNED) else None


def _detach(process: subprocess.Popen[bytes]) -> None:
    """Mark the process as reaped, because it outlives this one and `subprocess` would warn about it."""
    if process.stdout is not None:
        process.stdout.close()
    if process.returncode is None:
        process.returncode = 0


def _lock_holder(folder: StateFolder) -> int | None:
    """Return the daemon's pid once it is certain that this pid is the process that has the lock open here.

    The pid in the lock can be stale for a moment, and a holder in another container has a different pid there. Raises
    LocalProblem if it stays uncertain, so that the wrong process is never signalled.
    """
    found: list[int | None] = []

    def certain() -> bool:
        found.append(running(folder))
        return found[-1] is None or _has_open(found[-1], folder.daemon_lock)

    if not _poll(certain, PID_SECONDS):
        raise _out_of_reach(found[-1])
    return found[-1]


def _out_of_reach(pid: int | None) -> LocalProblem:
    return LocalProblem(
        f"the daemon's lock is held by a process that cannot be signalled from here (its pid there is {pid})",
        next_step="stop it where it runs: on its machine, in its container or as its user",
        reason=Reason.DAEMON,
    )


def _has_open(pid: int, path: Path) -> bool:
    """Return whether the process has the file open. Return True if the system has no /proc."""
    descriptors = Path(f"/proc/{pid}/fd")
    if not Path("/proc/self/fd").is_dir():
        return True
    try:
        wanted = path.stat()
        for descriptor in descriptors.iterdir():
            with contextlib.suppress(OSError):  # closed in the meantime
                if os.path.samestat(descriptor.stat(), wanted):
                    return True
    except OSError:
        pass  # it has exited, or belongs to another user; or the folder was removed
    return False


def _poll(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait up to `seconds` for the condition. Return whether it became true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _last_output(process: subprocess.Popen[bytes], log: Path, begin: int) -> str:
    """Return the last lines of its output, or of the log from byte `begin` on, joined into one line."""
    try:
        with process.stdout or os.fdopen(open_own(log, os.O_RDONLY), "rb") as output_file:
            if output_file is not process.stdout:
                output_file.seek(begin)
            lines = output_file.read().decode("utf-8", errors="backslashreplace").splitlines()
    except OSError:
        return ""
    return " ".join(line.strip() for line in lines[-LAST_OUTPUT_LINES:])


def _start_failed(what: str) -> LocalProblem:
    return LocalProblem(
        what,
        kept="Queued publishes stay queued.",
        next_step="roar daemon logs; to run it in the foreground: roar daemon run",
        reason=Reason.DAEMON,
    )
