"""Credential files: read and replaced as a whole, by one process at a time."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import anyio

from roar_publisher.auth.secret import Secret
from roar_publisher.state import private
from roar_publisher.state.errors import LocalProblem, Owned, Transient
from roar_publisher.state.lock import WAIT_SECONDS, drop_lock, exclusively, try_lock
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import open_own
from roar_publisher.state.system_errors import explain_os_error

LOCK_POLL_S = 0.05
LOCK_ATTEMPTS = 600
"""Thirty seconds: longer than a refresh takes, shorter than a user waits."""
_PASSING = frozenset({Reason.DISK_FULL, Reason.TOO_MANY_FILES, Reason.LOCAL})
"""Reasons of system errors that are none of the file's, and that a daemon waits for."""


@contextmanager
def replacing(path: Path, room: int) -> Iterator[Callable[[Secret], None]]:
    """Yield a function that replaces `path`, atomically and durably, by a file of mode 0600 with the given content.

    On entry, `room` bytes are allocated on the disk, so that a full disk shows before anything can be lost. Only one
    process may be inside for a path (`locked`); the leftover file of a killed process is overwritten.

    Raises `LocalProblem` on entry and from the function. The old file is then unchanged.
    """
    with ExitStack() as stack:
        with translated(path):
            target = Path(os.path.realpath(path))
            replace = stack.enter_context(private.replacing(target, room=room, durable=True))

        def replace_by(content: Secret) -> None:
            with translated(path):
                replace(memoryview(content.reveal().encode()))

        yield replace_by


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Hold a lock on a file beside `path`, so that no other process of this program changes `path`.

    The kernel releases the lock of a process that dies. Raises `Transient` if another process holds it for too long.
    """
    with translated(path):
        descriptor = open_own(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT)
    process = os.getpid()
    try:
        for _ in range(LOCK_ATTEMPTS):
            with translated(path):
                held = try_lock(descriptor)
            if held:
                break
            await anyio.sleep(LOCK_POLL_S)
        else:
            what = f"another process has been changing {path} for {LOCK_ATTEMPTS * LOCK_POLL_S:.0f} s"
            raise Transient(what, reason=Reason.LOCAL)
        yield
    finally:
        drop_lock(descriptor, process)


@contextmanager
def changed_alone(path: Path) -> Iterator[None]:
    """Let no other process of this program change a file of the user's configuration during the block.

    Raises LocalProblem if another process does not come to an end with it, or if there are no locks.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusively(path.with_name(f"{path.name}.lock")))
        except Owned as owned:
            raise _unchangeable(
                path,
                f"another process has been changing it for {WAIT_SECONDS:.0f} s",
                Reason.LOCAL,
                "check whether a process that holds its lock hangs, then try again",
            ) from owned
        except LocalProblem as problem:
            reason = Reason.DISK if problem.reason is Reason.STATE_DIRECTORY else problem.reason
            remedy = f"make {path.parent} writable, on a file system with locks"
            raise _unchangeable(path, problem.what, reason, remedy) from problem
        yield


def _unchangeable(path: Path, why: str, reason: Reason, next_step: str) -> LocalProblem:
    return LocalProblem(
        f"{path} cannot be written: {why}",
        kept="The file is as it was.",
        next_step=next_step,
        reason=reason,
        resumable=True,
    )


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn a system error about `path` into `LocalProblem`."""
    try:
        yield
    except OSError as failure:
        found = explain_os_error(failure, Reason.DISK)
        passes = found.reason in _PASSING
        raise LocalProblem(
            f"{path} cannot be replaced: {found.what if passes else failure.strerror}",
            kept="The file is as it was.",
            next_step=f"{found.remedy if passes else f'make {path.parent} writable'}, then try again",
            reason=found.reason if passes else Reason.DISK,
            resumable=True,
        ) from None
