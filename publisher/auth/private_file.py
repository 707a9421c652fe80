"""Credential files: read and replaced as a whole, by one process at a time."""

import fcntl
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import anyio

from roar_publisher.auth.secret import Secret
from roar_publisher.state.errors import LocalProblem, Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.state.regular import open_own

MODE = 0o600
LOCK_POLL_S = 0.05
LOCK_ATTEMPTS = 600
"""Thirty seconds: longer than a refresh takes, shorter than a user waits."""


@contextmanager
def replacing(path: Path, room: int) -> Iterator[Callable[[Secret], None]]:
    """Yield a function that replaces `path`, atomically and durably, by a file of mode 0600 with the given content.

    On entry, `room` bytes are allocated on the disk, so that a full disk shows before anything can be lost. Only one
    process may be inside for a path (`locked`); the leftover file of a killed process is overwritten.

    Raises `LocalProblem` on entry and from the function. The old file is then unchanged.
    """
    target = Path(os.path.realpath(path))
    new = target.with_name(f"{target.name}.new")
    with translated(path):
        descriptor = open_own(new, os.O_WRONLY | os.O_CREAT, MODE)  # `_write` truncates leftover content

    def replace(content: Secret) -> None:
        with translated(path):
            _write(descriptor, content)
            os.replace(new, target)
            _sync_folder(target.parent)

    try:
        with translated(path):
            os.fchmod(descriptor, MODE)
            _write(descriptor, Secret(" " * room))
        yield replace
    finally:
        os.close(descriptor)
        with suppress(OSError):
            os.unlink(new)  # already gone if it was renamed


@asynccontextmanager
async def locked(path: Path) -> AsyncIterator[None]:
    """Hold a lock on a file beside `path`, so that no other process of this program changes `path`.

    The kernel releases the lock of a process that dies. Raises `Transient` if another process holds it for too long.
    """
    with translated(path):
        descriptor = open_own(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, MODE)
    try:
        for _ in range(LOCK_ATTEMPTS):
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            await anyio.sleep(LOCK_POLL_S)
        else:
            raise Transient(f"Another process has been changing {path} for {LOCK_ATTEMPTS * LOCK_POLL_S:.0f} s.")
        yield
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: Secret) -> None:
    written, length = 0, len(content.reveal().encode())
    while written < length:
        written += os.pwrite(descriptor, content.reveal().encode()[written:], written)
    os.ftruncate(descriptor, length)
    os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn a system error about `path` into `LocalProblem`."""
    try:
        yield
    except OSError as failure:
        raise LocalProblem(
            f"{path} cannot be replaced: {failure.strerror}.",
            kept="The file is as it was.",
            next_step=f"Make room and {path.parent} writable, then try again.",
            reason=Reason.DISK,
            resumable=True,
        ) from None
