"""The daemon as this process: it holds the lock, hears the signals, and replaces itself when it has grown.

Python gives little memory back.  So a daemon that has worked and has nothing to do any more runs its own program again
in its place, with the same pid and the same lock: it knows nothing that the journals don't.
"""

import logging
import os
import signal
import sys
from contextlib import suppress

import anyio
from anyio.abc import TaskStatus

from roar_publisher.daemon.means import Means
from roar_publisher.daemon.service import Daemon
from roar_publisher.daemon.settings import user_settings
from roar_publisher.state.descriptors import raise_limit
from roar_publisher.state.errors import LocalProblem, Owned
from roar_publisher.state.home import home_to_read
from roar_publisher.state.lock import Lock, owner
from roar_publisher.state.paths import StateFolder

LOCK_HANDLE = "ROAR_DAEMON_LOCK"
"""The environment variable that hands the lock on to the program that replaces us."""


def run_daemon(folder: StateFolder, *, log: logging.Logger, means: Means | None = None) -> None:
    """Be the daemon of a state folder until SIGTERM or SIGINT.

    Raises Owned if another one is, LocalProblem where the folder or the configuration can't be used.
    """
    raise_limit()
    lock = _only_daemon(folder)
    try:
        settings = user_settings(os.environ, home_to_read())
        while anyio.run(_until_signal, Daemon(folder, settings, log=log, means=means or Means(), lock=lock)):
            if _would_come_up(log):
                os.environ[LOCK_HANDLE] = str(lock.inheritable())
                os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    finally:
        lock.release()


def _would_come_up(log: logging.Logger) -> bool:
    """Whether the program that replaces us could use the configuration; what is wrong with it is logged."""
    try:
        user_settings(os.environ, home_to_read())
    except LocalProblem as problem:
        log.error("%s; next: %s; until then the daemon goes on as it was configured", problem.what, problem.next_step)
        return False
    return True


def _only_daemon(folder: StateFolder) -> Lock:
    """The lock of the folder's daemon: handed on by our former self, or new."""
    folder.user_key()  # makes the folder
    handle = os.environ.pop(LOCK_HANDLE, "")
    if handle.isdigit():
        with suppress(OSError):
            return Lock.inherited(folder.daemon_lock, int(handle))
    try:
        return Lock(folder.daemon_lock).acquire()
    except Owned as owned:
        pid = owner(folder.daemon_lock)
        raise Owned(
            f"a daemon runs already for {folder.root}{f' (pid {pid})' if pid else ''}",
            kept="It goes on undisturbed.",
            next_step="roar daemon status",
            reason="owned",
        ) from owned


async def _until_signal(daemon: "Daemon") -> bool:
    stop = anyio.Event()

    async def receive(*, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            task_status.started()
            async for _signal in signals:
                stop.set()

    async with anyio.create_task_group() as tasks:
        await tasks.start(receive)
        anew = await daemon.run(stop)
        tasks.cancel_scope.cancel()
    return anew
