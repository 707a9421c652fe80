"""The registry's data on disk, accessible only to the user that runs the registry.

Folders are 0700 and files 0600, regardless of the umask and of how they were created. Data that another user owns, or a
folder that others can write to, is never used, because its content cannot be trusted.
"""

import contextlib
import errno
import fcntl
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600
LINEAGES_NAME, ACCOUNTS_NAME, SECRET_NAME = "registry.db", "accounts.db", "secret"
MAIN_FILES = frozenset({LINEAGES_NAME, ACCOUNTS_NAME, SECRET_NAME})
"""Files in the folder of a registry; one that keeps its tables in PostgreSQL has the last one only."""
_NOT_KEPT = frozenset({errno.EIO, errno.ENOSPC, errno.EDQUOT})
"""Errors of fsync for a folder that can be synced and was not."""


class UnsafeData(PermissionError):
    """Another user owns the data or can write to it. The text states the problem; `remedy` says how to fix it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


def secure_folder(folder: Path) -> None:
    """Create a folder if it is missing, and make its content private. Repeating it changes nothing.

    Files are not opened, so the locks of a running registry stay. Raises `UnsafeData` and OSError.
    """
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(mode=FOLDER_MODE, exist_ok=True)
    found = folder.stat()
    _check_owner(folder, found)
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UnsafeData(
            f"other users can write to {folder}",
            f"check what is in it, then: chmod -R go= {shlex.quote(str(folder))}",
        )
    _refuse_home(folder)
    _tighten(folder, found)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            with contextlib.suppress(FileNotFoundError):  # a running registry's SQLite creates and removes files
                entry = path.lstat()
                _check_owner(path, entry)
                _tighten(path, entry)


def _refuse_home(folder: Path) -> None:
    """Raise `UnsafeData` for a user's home, or a folder above it, that is not a registry's: all of it became private.

    The home of a system user may well be the folder of its registry.
    """
    home = Path(os.path.expanduser("~")).resolve()
    if folder.resolve() not in (home, *home.parents):
        return
    names = {path.name for path in folder.iterdir()}
    if names and not names & MAIN_FILES:
        raise UnsafeData(
            f"{folder} holds more than a registry, which would make all of it private",
            "name a folder for the registry alone: it is created",
        )


def make_private_file(path: Path) -> None:
    """Create an empty file that only its owner can read, unless the file exists. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))


def replace_private_file(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, completely or not at all. Raises OSError.

    Once this returns, a loss of power does not undo it. A link in its place is replaced, not followed. Of several
    processes, only one may do this at a time (`locked`).
    """
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)  # left by a killed process
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Let what was renamed in a folder survive a loss of power, on file systems that can sync one (CIFS cannot)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno in _NOT_KEPT:
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock for making a file, which is a file beside it. The kernel releases that of a process that dies."""
    lock = path.with_name(f"{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_owner(path: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid():
        raise UnsafeData(
            f"{path} belongs to another user (uid {found.st_uid}, and this is uid {os.geteuid()})",
            "run the registry as its owner, or choose another --data; on a volume of its own, a folder below its root",
        )


def _tighten(path: Path, found: os.stat_result) -> None:
    modes = {stat.S_IFDIR: FOLDER_MODE, stat.S_IFREG: FILE_MODE}
    wanted = modes.get(stat.S_IFMT(found.st_mode))  # a symlink has no mode, and its target is not ours to change
    if wanted is not None and stat.S_IMODE(found.st_mode) != wanted:
        path.chmod(wanted)
