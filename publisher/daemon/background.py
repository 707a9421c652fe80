"""The daemon as a process: started into the background, found and stopped by the lock that it holds.

What is running is known from the lock alone: the kernel drops it when its holder dies, so nothing here is ever stale.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import roar_publisher
from roar_publisher.daemon.log import MODE
from roar_publisher.state.errors import ExitCode, LocalProblem
from roar_publisher.state.lock import owner
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.regular import open_own

START_SECONDS = 10.0
"""How long a daemon may take until it holds its lock."""
STOP_SECONDS = 15.0
"""How long it may take to checkpoint everything and end; it promises ten."""
NAMED_SECONDS = 1.0
"""How long a daemon that just took the lock may take to write its pid into it."""
POLL_SECONDS = 0.02
LAST_WORDS = 5
"""Lines of the log that are shown of a daemon that died at once."""

COMMAND = ("-P", "-m", "roar_publisher", "daemon", "run")
"""What the interpreter runs as the daemon.  -P: the folder that it starts in is no place to import from."""
SITE_FOLDERS = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True, slots=True)
class Started:
    """pid: of the daemon that runs now.  already: it was there, or somebody else started it at the same time."""

    pid: int
    already: bool


def running(folder: StateFolder) -> int | None:
    """The pid of the daemon of this folder, None if none runs (or its pid can't be told).  Changes nothing."""
    return owner(folder.daemon_lock)


def start(folder: StateFolder, *, patience: float = START_SECONDS) -> Started:
    """Start a daemon that outlives this process and its terminal; returns when a daemon holds the lock.

    Repeated or called by several processes at once, one daemon runs and every call succeeds.  Raises LocalProblem if
    the state folder can't be used, if the daemon dies (with its last words), or has not come up after `patience`
    seconds; then it is left alone, and may still.
    """
    if (pid := running(folder)) is not None:
        return Started(pid, already=True)
    folder.user_key()  # makes the folder, or tells why that can't be
    log_begins = _size(folder.daemon_log)
    process = _spawn(folder)
    _until(lambda: running(folder) is not None or _died(process), patience)
    pid, code = running(folder), process.poll()
    words = "" if pid is not None or code is None else _last_words(process, folder.daemon_log, log_begins)
    _let_go(process)
    if pid is not None:
        return Started(pid, already=pid != process.pid)
    if code is None:
        raise _not_up(f"the daemon (pid {process.pid}) has not come up within {patience:.0f} s; it may still")
    raise _not_up(f"the daemon ended at once, with exit code {code}{f': {words}' if words else ''}")


def stop(folder: StateFolder, *, patience: float = STOP_SECONDS) -> int | None:
    """Ask the daemon to end, and return its pid when it has; None if none ran.

    What it works on is checkpointed and stays resumable.  Nothing is ever killed here: raises LocalProblem if the
    daemon still runs after `patience` seconds, or can't be signalled from here.
    """
    pid = _holder(folder)
    if pid is None:
        return None
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it ended by itself just now
    if not _until(lambda: running(folder) != pid, patience):
        raise LocalProblem(
            f"the daemon (pid {pid}) was asked to stop and still runs after {patience:.0f} s",
            kept="It was not killed; if it is, everything that was acknowledged is kept all the same.",
            next_step=f"roar daemon logs; to end it by force: kill -9 {pid}",
            reason="daemon",
        )
    return pid


def wait_for(folder: StateFolder, seconds: float) -> int | None:
    """The pid of the daemon as soon as one holds the lock, None if none does in time."""
    _until(lambda: running(folder) is not None, seconds)
    return running(folder)


def import_path(environ: Mapping[str, str]) -> str | None:
    """The PYTHONPATH by which this very package is found from any folder; None if none is needed."""
    package_folder = Path(roar_publisher.__file__).parents[1]
    folders = [os.path.abspath(name) for name in environ.get("PYTHONPATH", "").split(os.pathsep) if name]
    if package_folder.name not in SITE_FOLDERS and str(package_folder) not in folders:
        folders.insert(0, str(package_folder))
    return os.pathsep.join(folders) or None


def _spawn(folder: StateFolder) -> subprocess.Popen[bytes]:
    """A daemon in a session of its own.  What it says before it logs, or instead of it, goes to the log.

    Where that can't be written, its first words are in `stdout` of the process.
    """
    environ = {**os.environ, "ROAR_STATE_DIR": str(folder.root.absolute())}
    if (path := import_path(os.environ)) is not None:
        environ["PYTHONPATH"] = path
    said = _log_descriptor(folder.daemon_log)
    try:
        return subprocess.Popen(
            [sys.executable, *COMMAND, "--quiet"],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=environ,
            umask=0o077,
            start_new_session=True,
        )
    except OSError as error:
        raise _not_up(f"{sys.executable} can't be started: {error.strerror}") from error
    finally:
        if said != subprocess.PIPE:
            os.close(said)


def _log_descriptor(log: Path) -> int:
    try:
        return open_own(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, MODE)
    except OSError:
        return subprocess.PIPE  # a log that can't be written stops nobody


def _died(process: subprocess.Popen[bytes]) -> bool:
    """Whether it ended, but for leaving the lock to a daemon that somebody else started: that one is waited for."""
    return process.poll() not in (None, ExitCode.OWNED)


def _let_go(process: subprocess.Popen[bytes]) -> None:
    """It outlives us: `subprocess` would warn about a child that nobody waited for."""
    if process.stdout is not None:
        process.stdout.close()
    if process.returncode is None:
        process.returncode = 0


def _holder(folder: StateFolder) -> int | None:
    """The pid of the daemon, once it is certain that this pid means, here and now, the process that has the lock open.

    The text of a lock may be older than its holder for an instant, and a holder in another container has another pid
    there.  Raises LocalProblem if it stays uncertain: the wrong process is never signalled.
    """
    found: list[int | None] = []

    def certain() -> bool:
        found.append(running(folder))
        return found[-1] is None or _has_open(found[-1], folder.daemon_lock)

    if not _until(certain, NAMED_SECONDS):
        raise LocalProblem(
            f"the daemon's lock is held by a process that can't be seen from here (there its pid is {found[-1]})",
            next_step="stop it where it runs: in its container, or as its user",
            reason="daemon",
        )
    return found[-1]


def _has_open(pid: int, path: Path) -> bool:
    """Whether this process has that file open; True where the system has no /proc to ask."""
    descriptors = Path(f"/proc/{pid}/fd")
    if not Path("/proc/self/fd").is_dir():
        return True
    wanted = path.stat()
    try:
        for descriptor in descriptors.iterdir():
            with contextlib.suppress(OSError):  # closed meanwhile
                if os.path.samestat(descriptor.stat(), wanted):
                    return True
    except OSError:
        pass  # it has ended, or belongs to somebody else
    return False


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for it, at most so long; whether it came about."""
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


def _last_words(process: subprocess.Popen[bytes], log: Path, begin: int) -> str:
    """What it said, or logged from that byte on: its last lines, as one."""
    try:
        with process.stdout or os.fdopen(open_own(log, os.O_RDONLY), "rb") as said:
            if said is not process.stdout:
                said.seek(begin)
            lines = said.read().decode("utf-8", errors="backslashreplace").splitlines()
    except OSError:
        return ""
    return " ".join(line.strip() for line in lines[-LAST_WORDS:])


def _not_up(what: str) -> LocalProblem:
    return LocalProblem(
        what,
        kept="What is queued stays queued.",
        next_step="roar daemon logs; to see it fail here: roar daemon run",
        reason="daemon",
    )
