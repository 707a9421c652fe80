"""The daemon process: holds the lock, handles signals, and replaces itself when its memory has grown.

Python returns little memory to the system. A daemon that has worked and is idle again therefore executes its own
program again, with the same pid and the same lock. It does the same once another release was installed, which may write
journals that this one does not know. All its state is in the journals.
"""

import logging
import os
import signal
import sys
from contextlib import suppress

import anyio

from roar_publisher.daemon.dependencies import Dependencies
from roar_publisher.daemon.service import Daemon
from roar_publisher.daemon.settings import DaemonSettings, user_settings
from roar_publisher.state.descriptors import raise_limit
from roar_publisher.state.errors import LocalProblem, Owned
from roar_publisher.state.home import home_to_read
from roar_publisher.state.lock import Lock, name_owner
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.system_errors import explain_os_error
from roar_publisher.tasks import background

LOCK_HANDLE = "ROAR_DAEMON_LOCK"
"""The environment variable that passes the lock to the program that replaces this one."""


def run_daemon(
    folder: StateFolder, *, log: logging.Logger, dependencies: Dependencies | None = None, drain: bool = False
) -> None:
    """Run the daemon of a state folder until SIGTERM or SIGINT, or if it drains, until nothing is due.

    Raises Owned if another daemon runs, LocalProblem if the folder or the configuration cannot be used.
    """
    raise_limit()
    settings = user_settings(os.environ, home_to_read())  # first: a daemon that holds the lock counts as started
    dependencies = dependencies or Dependencies()
    daemon = _serve(folder, settings, log, dependencies, drain=drain)
    while drain and daemon.left_behind():
        try:
            daemon = _serve(folder, settings, log, dependencies, drain=True)
        except Owned:  # another one runs now, and has found it
            return


def _serve(
    folder: StateFolder, settings: DaemonSettings, log: logging.Logger, dependencies: Dependencies, *, drain: bool
) -> Daemon:
    """Hold the daemon's lock and run until there is a reason to end. Return the daemon that has ended."""
    lock = _only_daemon(folder)
    try:
        while True:
            daemon = Daemon(folder, settings, log=log, dependencies=dependencies, lock=lock, drain=drain)
            if not anyio.run(_until_signal, daemon):
                return daemon
            if _is_configuration_usable(log):
                _replace_program(lock, log)
    finally:
        lock.release()


def _replace_program(lock: Lock, log: logging.Logger) -> None:
    """Execute this program again, with the lock. Return only if that fails: the daemon then continues as it is."""
    os.environ[LOCK_HANDLE] = str(lock.inheritable())
    try:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    except OSError as error:
        log.warning("%s cannot be executed again (%s), so the daemon keeps its memory", sys.executable, error.strerror)


def _is_configuration_usable(log: logging.Logger) -> bool:
    """Return whether a restarted daemon could use the configuration. Log what is wrong with it."""
    try:
        user_settings(os.environ, home_to_read())
    except LocalProblem as problem:
        log.error(
            "%s; next: %s; until then the daemon keeps its present configuration", problem.what, problem.next_step
        )
        return False
    return True


def _only_daemon(folder: StateFolder) -> Lock:
    """Return the folder's daemon lock, either inherited from the program that this one replaces or newly acquired."""
    folder.user_key()  # creates the folder
    handle = os.environ.pop(LOCK_HANDLE, "")
    if handle.isdigit():
        with suppress(OSError):
            return Lock.inherited(folder.daemon_lock, int(handle))
    lock = Lock(folder.daemon_lock)
    try:
        lock.acquire()
    except Owned as owned:
        raise Owned(
            f"a daemon is already running for {folder.root}{name_owner(folder.daemon_lock)}",
            kept="It continues unchanged.",
            next_step="roar daemon status",
            reason=Reason.OWNED,
        ) from owned
    try:
        lock.name_holder()
    except OSError as error:  # a daemon without its pid there cannot be found or stopped
        lock.release()
        found = explain_os_error(error, Reason.STATE_DIRECTORY)
        raise LocalProblem(
            f"the daemon's lock {folder.daemon_lock} cannot be written: {found.what}",
            kept="Queued publishes stay queued.",
            next_step=f"{found.remedy}, then: roar daemon start",
            reason=found.reason,
            resumable=True,
        ) from error
    return lock


async def _until_signal(daemon: Daemon) -> bool:
    """Run the daemon until SIGTERM or SIGINT. Return what `Daemon.run` returns."""
    stop = anyio.Event()
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:

        async def receive() -> None:
            async for _signal in signals:
                stop.set()

        async with background(receive):
            return await daemon.run(stop)
