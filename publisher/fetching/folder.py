"""The folder that files are fetched into. Nothing is written outside of it, whatever a file is called.

Every folder below it is opened relative to the one above and without following links, so neither a name nor a link in
the folder leads out. An incomplete file is in the work folder `.roar-fetch`, which is this user's alone and locked, and
gets its name when its content is verified. Its mode is what the umask leaves of rw-rw-rw-.
"""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import Enum, auto
from pathlib import Path

from anyio import from_thread
from blake3 import blake3

from roar_publisher.fetching.journal_place import ID_FILE, forget_id, journal_of
from roar_publisher.fetching.names import WORK_FOLDER
from roar_publisher.state.errors import LocalProblem, Owned
from roar_publisher.state.lock import drop_lock, try_lock
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import WITHOUT_WAITING
from roar_publisher.state.system_errors import explain_os_error
from roar_publisher.storage.file_reading import tag_in
from roar_publisher.storage.source import shown
from roar_publisher.storage.store import check_key

LOCK_FILE = "lock"
READ_BYTES = 1024 * 1024
PARTIAL_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | WITHOUT_WAITING
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
MOVE = "move it away, or choose another folder (--to)"
REPLACE = "move it away, choose another folder (--to), or replace it (--force)"
OTHERS_MAY_WRITE = 0o022


class Present(Enum):
    """What there is under a file's name: nothing, the file with its very content, something else, or a folder."""

    NOTHING = auto()
    SAME = auto()
    OTHER = auto()
    FOLDER = auto()


class TargetFolder:
    """A folder, while it is open (`opened`). Blocking; methods raise OSError for what the file system refuses.

    journal: where the journal of the fetch is.
    """

    def __init__(self, path: Path, descriptor: int, work: int, journal: Path) -> None:
        self.path = path
        self.journal = journal
        self._descriptor = descriptor
        self._work = work

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator["TargetFolder"]:
        """Make the folder if it is missing, and its work folder, which stays locked meanwhile.

        The user has named the folder, so links in its path are followed. A work folder in which nothing is left is
        removed at the end, and so is a folder that was made for a fetch which came to nothing. Raises LocalProblem, and
        Owned if another process fetches into it.
        """
        with ExitStack() as opened:
            try:
                for made in _make(path):
                    opened.callback(_remove_if_empty, made)
                descriptor = os.open(path, FOLDER_FLAGS)
                opened.callback(os.close, descriptor)
                work, lock = _open_work_folder(path, descriptor)
                opened.callback(os.close, work)
                opened.callback(_remove_empty, descriptor)  # after the lock is closed: NFS keeps open files
                opened.callback(drop_lock, lock, os.getpid())
                journal = journal_of(work, path / WORK_FOLDER)
            except OSError as error:
                raise local_problem(f"the folder {path}", error) from error
            opened.callback(_end, work, journal)
            yield cls(path, descriptor, work, journal)

    @property
    def can_be_continued(self) -> bool:
        """Whether a later process finds the journal."""
        return self.journal.parent.name != WORK_FOLDER and self.journal.exists()

    def free_bytes(self) -> int:
        """Return how many bytes there is room for."""
        return shutil.disk_usage(self._descriptor).free

    def ignores_case(self) -> bool:
        """Return whether names that differ in case alone are the same file here."""
        try:
            return os.path.samestat(os.stat(WORK_FOLDER.upper(), dir_fd=self._descriptor), os.fstat(self._work))
        except OSError:
            return False

    def present(self, name: str, digest: str, verified: str | None = None) -> tuple[Present, str]:
        """Return what there is under a name, and the tag (`file_reading.tag_in`) of the file with this digest.

        Reads a file to compare its blake3, unless its tag is `verified`: it had this digest when it had that tag.
        """
        try:
            with self._parent(name, create=False) as (parent, last):
                found = os.stat(last, dir_fd=parent, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    return Present.FOLDER, ""
                if not stat.S_ISREG(found.st_mode):
                    return Present.OTHER, ""
                descriptor = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | WITHOUT_WAITING, dir_fd=parent)
                try:
                    tag = tag_in(os.fstat(descriptor))
                    same = tag == verified or digest_of(descriptor) == digest
                    return (Present.SAME, tag) if same else (Present.OTHER, "")
                finally:
                    os.close(descriptor)
        except FileNotFoundError:
            return Present.NOTHING, ""

    def open_partial(self, digest: str) -> int:
        """Return a descriptor of the incomplete file with that digest, which is made if it is missing."""
        descriptor = os.open(digest, PARTIAL_FLAGS, 0o666, dir_fd=self._work)
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            os.close(descriptor)
            raise LocalProblem(f"{WORK_FOLDER}/{digest} is not a plain file", next_step=f"remove {WORK_FOLDER}")
        return descriptor

    def allocated_bytes(self, digest: str) -> int:
        """Return how much room an incomplete file takes already."""
        try:
            return os.stat(digest, dir_fd=self._work, follow_symlinks=False).st_blocks * 512
        except FileNotFoundError:
            return 0

    def incomplete(self) -> list[str]:
        """Return the names of all incomplete files, and of whatever else is in the work folder."""
        own = (ID_FILE, LOCK_FILE, self.journal.name)
        return [name for name in os.listdir(self._work) if not name.startswith(own)]

    def discard(self, digest: str) -> None:
        """Remove an incomplete file. Harmless if there is none."""
        with suppress(FileNotFoundError):
            os.unlink(digest, dir_fd=self._work)

    def give_name(self, digest: str, name: str, *, force: bool) -> None:
        """Give a complete and verified file its name. Raises LocalProblem if it is taken, unless with `force`."""
        with self._parent(name, create=True) as (parent, last):
            if not force and _exists(last, parent):
                raise LocalProblem("a file has appeared there in the meantime", next_step=REPLACE)
            try:
                os.replace(digest, last, src_dir_fd=self._work, dst_dir_fd=parent)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                self._copy_into(parent, digest, last)  # a folder below may be another file system, or quota

    def _copy_into(self, parent: int, digest: str, last: str) -> None:
        """Move a complete file to another file system. It appears there under its name when it is whole."""
        beside = f".{secrets.token_hex(8)}{WORK_FOLDER}"
        source = os.open(digest, os.O_RDONLY | os.O_NOFOLLOW | WITHOUT_WAITING, dir_fd=self._work)
        try:
            copy = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | WITHOUT_WAITING, 0o666, dir_fd=parent)
            try:
                with open(source, "rb", closefd=False) as whole, open(copy, "wb") as file:
                    shutil.copyfileobj(whole, file, READ_BYTES)
                    file.flush()
                    os.fsync(copy)
                os.replace(beside, last, src_dir_fd=parent, dst_dir_fd=parent)
            except BaseException:
                os.unlink(beside, dir_fd=parent)
                raise
        finally:
            os.close(source)
        self.discard(digest)

    @contextmanager
    def _parent(self, name: str, *, create: bool) -> Iterator[tuple[int, str]]:
        """Provide a descriptor of the folder that a name is in, and its last segment."""
        *folders, last = check_key(name).split("/")
        descriptor = os.dup(self._descriptor)
        try:
            for folder in folders:
                if create:
                    with suppress(FileExistsError):
                        os.mkdir(folder, dir_fd=descriptor)
                inner = os.open(folder, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor, last
        finally:
            os.close(descriptor)


def _make(path: Path) -> list[Path]:
    """Make a folder, and return what of its path was missing, from the top. Raises OSError."""
    missing = [each for each in (path, *path.parents) if not os.path.lexists(each)][::-1]
    path.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def local_problem(name: str, error: OSError) -> LocalProblem:
    """Return the error for a file that cannot be written or compared."""
    if isinstance(error, NotADirectoryError):
        what = "a file or a link is in the place of a folder"
        return LocalProblem(f"{shown(name)} cannot be written: {what}", next_step=MOVE)
    found = explain_os_error(error, Reason.LOCAL)
    return LocalProblem(
        f"{shown(name)} cannot be written: {found.what}",
        next_step=found.remedy,
        reason=found.reason,
        resumable=found.reason is Reason.DISK_FULL,
    )


def digest_of(descriptor: int) -> str:
    """Return the blake3 of an open file. Runs in a worker thread; cancellation takes effect after the current block."""
    digest, offset = blake3(), 0  # in one thread: a forked process has not those of its parent
    while chunk := os.pread(descriptor, READ_BYTES, offset):
        digest.update(chunk)
        offset += len(chunk)
        from_thread.check_cancelled()
    return digest.hexdigest()


def _open_work_folder(path: Path, descriptor: int) -> tuple[int, int]:
    """Open the work folder, which is made if it is missing, and lock it. Return its descriptor and the lock's."""
    where = shown(str(path / WORK_FOLDER))
    made = False
    while True:
        with suppress(FileExistsError):
            os.mkdir(WORK_FOLDER, 0o700, dir_fd=descriptor)
            made = True
        try:
            work = os.open(WORK_FOLDER, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=descriptor)
        except FileNotFoundError:  # the process before has removed it
            continue
        except NotADirectoryError as error:
            raise LocalProblem(f"{where} is not a folder", next_step="remove it") from error
        try:
            found = os.fstat(work)
            if found.st_uid != os.geteuid() or found.st_mode & OTHERS_MAY_WRITE:
                raise _not_own(where, descriptor, made=made)
            lock = _lock(work, path, descriptor)
        except BaseException:
            os.close(work)
            raise
        if lock is not None:
            return work, lock
        os.close(work)


def _lock(work: int, path: Path, descriptor: int) -> int | None:
    """Lock the file for it in the open work folder. Return None if the process before has removed that, or the folder.

    It is a file because on NFS, the lock of a folder does not reach other machines.
    """
    try:
        lock = os.open(LOCK_FILE, PARTIAL_FLAGS, 0o600, dir_fd=work)
    except FileNotFoundError:
        return None
    process = os.getpid()
    try:
        if not try_lock(lock):
            raise Owned(f"another process is fetching into {shown(str(path))}")
        if _is_there(os.fstat(lock), f"{WORK_FOLDER}/{LOCK_FILE}", descriptor):
            return lock
    except BaseException:
        drop_lock(lock, process)
        raise
    drop_lock(lock, process)
    return None


def _end(work: int, journal: Path) -> None:
    """Leave nothing in a work folder that no later fetch needs."""
    with suppress(OSError):
        if not journal.exists():
            forget_id(work)
        os.unlink(LOCK_FILE, dir_fd=work)  # who has opened it meanwhile makes another one


def _remove_empty(folder: int) -> None:
    """Remove the work folder in an open folder, unless incomplete files or another process's lock are in it."""
    with suppress(OSError):
        os.rmdir(WORK_FOLDER, dir_fd=folder)


def _not_own(where: str, parent: int, *, made: bool) -> LocalProblem:
    """Return the error for a work folder that others may write into. made: this process has just made it."""
    if not made:
        return LocalProblem(f"other users can use {where}", next_step="remove it, or choose another folder")
    with suppress(OSError):
        os.rmdir(WORK_FOLDER, dir_fd=parent)
    what = "the file system does not store owners and permissions, so other users cannot be kept out of it"
    return LocalProblem(f"{where} cannot be used: {what}", next_step="choose another folder (--to), and copy the files")


def _is_there(expected: os.stat_result, name: str, parent: int) -> bool:
    """Return whether a name is that of an open file, and not of another one that was made in its place."""
    try:
        return os.path.samestat(expected, os.stat(name, dir_fd=parent, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _exists(name: str, parent: int) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
