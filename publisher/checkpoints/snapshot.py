"""Snapshots of files that cost no copy, in two stages.

1. `hold`, in the training loop: each large file gets a second name (a hard link), and small ones are copied. A link
   takes 0.04 ms, whatever the size. A reflink is not taken here: it first writes to the disk what of the file is only
   in memory (XFS: 1.1 s for 1 GB that was just written).
2. `clone`, in the background: the held files get blocks of their own, by a reflink, or by a copy where a writer is
   known to rewrite its file in place, or a second name is impossible.

A hard link is safe against a writer that replaces its file (`os.replace`) or removes it, but shares what is rewritten
in place. That is detected by the size and the modification time, which the put compares again when it reads the file.
It then reads the clone instead, if there is one, and otherwise the checkpoint is skipped: it is never published torn.
"""

import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import filterfalse
from pathlib import Path

from msgspec import Struct

from roar_publisher.planning.put.left_out import is_left_out
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.reasons import Reason

SMALL_BYTES = 1024 * 1024
"""A file of at most this size is copied (0.3 ms), so that it may be rewritten in place at once."""
COPIED_BYTES = 4 * SMALL_BYTES
"""The most bytes that are copied for one checkpoint (1 ms) in the training loop."""
BESIDE = ".roar-checkpoints-"
"""The folder for snapshots beside files that are on another file system than their project; a user's id follows."""
FICLONE = 0x40049409
"""The request number of Linux' ioctl that makes a reflink."""
NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES, errno.ENOSYS})
"""Why a file gets no second name."""
NO_FOLDER = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""Why there can be no folder beside a file."""

Stamp = tuple[int, int]
"""Size in bytes, modification time in nanoseconds."""
Stamps = dict[str, Stamp]


class HeldFiles(Struct, frozen=True):
    """What `hold` found: the stamp of each file by its path below the source, and of each inode that was linked."""

    stamps: Stamps
    linked: dict[int, Stamp]


class Torn(Exception):
    """A file was changed or removed while it was copied."""


def new_snapshot_folder(path: Path, files: Path) -> Path:
    """Return a new folder for the snapshot of `path`: below `files`, or beside it if that is another file system.

    It is below `files` as well if other users could exchange what is beside it, or this one may not write there. A link
    below `files` leads to one elsewhere, so that it is found if this process is killed. Raises OSError.
    """
    name, folder = secrets.token_hex(8), path.parent
    snapshot = files / name
    if os.stat(folder).st_dev != os.stat(files).st_dev and (beside := _own_folder_in(folder)) is not None:
        snapshot = beside / name
        with suppress(FileExistsError), open(beside / ".gitignore", "x", encoding="ascii") as ignored:
            ignored.write("*\n")  # the snapshots are no uncommitted changes
        with suppress(PermissionError):  # of a file system without symbolic links
            (files / name).symlink_to(snapshot)
    snapshot.mkdir(mode=0o700)
    return snapshot


def remove_snapshot_folder(snapshot: Path, files: Path) -> None:
    """Remove a folder of `new_snapshot_folder`, if it is still there, and the link that leads to it.

    Elsewhere than below `files`, what other users may have put in its place stays.
    """
    if snapshot.parent == files or _is_own(snapshot.parent):
        shutil.rmtree(snapshot, ignore_errors=True)
    with suppress(OSError):  # it is a folder, which is removed already, or there is none
        (files / snapshot.name).unlink()


def _own_folder_in(folder: Path) -> Path | None:
    """Return this user's folder for snapshots in a folder, or None if none can be made that only they may change."""
    found = os.lstat(os.path.realpath(folder))
    is_sticky = found.st_mode & stat.S_ISVTX and found.st_uid in (0, os.geteuid())
    if found.st_mode & stat.S_IWOTH and not is_sticky:
        return None  # another user may rename what is in it
    beside = folder / f"{BESIDE}{os.geteuid()}"
    try:
        with suppress(FileExistsError):
            beside.mkdir(mode=0o700)
    except OSError as error:
        if error.errno in NO_FOLDER:
            return None
        raise
    return beside if _is_own(beside) else None


def _is_own(folder: Path) -> bool:
    """Return whether a path is a folder, and no link to one, that belongs to this user, and others may not change."""
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not others


def hold(path: Path, snapshot: Path, number: int) -> HeldFiles:
    """Hold source `number` of a snapshot, a file or a folder, and return the size and modification time of each file.

    If a file cannot be linked, nothing is held, and `clone` copies everything. Raises UsageProblem if there is nothing
    to hold, LocalProblem if it cannot be read or changes meanwhile.
    """
    stamps: Stamps = {}
    inodes: dict[int, Stamp] = {}
    left, linked = COPIED_BYTES, True
    folder = _held(snapshot, number)
    try:
        folder.mkdir(mode=0o700)
        for relative, original in _files(path):
            target = folder / path.name / relative if relative else folder / path.name
            if relative:
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = os.stat(original)
            stamps[relative] = (status.st_size, status.st_mtime_ns)
            if status.st_size <= min(SMALL_BYTES, left):
                left -= status.st_size
                _copy(original, target, stamps[relative])
            else:
                linked = linked and _link(original, target)
                inodes[status.st_ino] = stamps[relative]
    except OSError as error:
        raise LocalProblem(
            f"no snapshot of the checkpoint {error.filename or path} can be made: {error.strerror}",
            kept="Nothing was submitted.",
            next_step="submit it once it is completely written",
            reason=Reason.UNREADABLE,
        ) from error
    except Torn as torn:
        raise LocalProblem(
            f"{torn} changed while it was being submitted",
            kept="Nothing was submitted.",
            next_step="submit it once it is completely written",
            reason=Reason.FILE_CHANGED,
        ) from torn
    if not stamps:
        raise UsageProblem(f"the checkpoint {path} has no files", next_step="submit a file, or a folder with files")
    if not linked:
        shutil.rmtree(folder)
    return HeldFiles(stamps, inodes)


def rewrites_in_place(before: HeldFiles | None, now: HeldFiles) -> bool:
    """Return whether a file of the same path kept its inode and changed."""
    return before is not None and any(before.linked.get(inode, stamp) != stamp for inode, stamp in now.linked.items())


def clone(snapshot: Path, number: int, original: Path, files: Stamps, *, copy: bool) -> bool:
    """Give every file of a source blocks of its own, complete or not at all. Return whether it has them.

    original: read where nothing is held. copy: copy where a reflink is impossible.
    """
    held = _held(snapshot, number) / original.name
    done = _cloned(snapshot, number)
    new = done.with_name(f"{done.name}.new")
    try:
        new.mkdir(mode=0o700)  # fails if the checkpoint has ended meanwhile, and its snapshot is removed
        for relative, stamp in files.items():
            source = held / relative if relative else held
            linked = source.exists()
            target = new / held.name / relative if relative else new / held.name
            if relative:
                target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            source = source if linked else (original / relative if relative else original)
            if not _reflink(source, target, stamp):
                if linked and not copy:
                    return False
                _copy(source, target, stamp)
        os.rename(new, done)
    except (OSError, Torn):
        return False
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return True


def place(snapshot: Path, number: int, original: Path, *, cloned: bool) -> Path:
    """Return where source `number` of a snapshot is read: its clone, else what is held, else the original."""
    candidates = [_cloned(snapshot, number)] if cloned else []
    candidates.append(_held(snapshot, number))
    return next((path / original.name for path in candidates if path.exists()), original)


def has_clone(snapshot: Path, sources: int) -> bool:
    """Return whether every source of a snapshot has a clone."""
    return all(_cloned(snapshot, number).exists() for number in range(sources))


def _held(snapshot: Path, number: int) -> Path:
    return snapshot / f"held-{number}"


def _cloned(snapshot: Path, number: int) -> Path:
    return snapshot / f"clone-{number}"


def _files(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the path below `path` and the path of every file, links to files included, as a put takes them."""
    if not path.is_dir():
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UsageProblem(f"the checkpoint {path} is neither a file nor a folder")
        yield "", os.path.realpath(path)
        return
    for folder, below, names in os.walk(path):
        below[:] = [name for name in below if not (is_left_out(name) or name.startswith(BESIDE))]
        for name in filterfalse(is_left_out, names):
            full = os.path.join(folder, name)
            if os.path.isfile(full):
                yield os.path.relpath(full, path), os.path.realpath(full)


def _link(original: str, target: Path) -> bool:
    try:
        os.link(original, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return False
    return True


def _copy(source: str | Path, target: Path, stamp: Stamp) -> None:
    """Copy a file that has this size and modification time, which the copy gets as well. Raises Torn, OSError."""
    with _checked(source, stamp):
        shutil.copyfile(source, target)
    os.utime(target, ns=(stamp[1], stamp[1]))


def _reflink(source: Path, target: Path, stamp: Stamp) -> bool:
    """Let a new file share the blocks of another one, until one of them is written. Return False if impossible."""
    with _checked(source, stamp):
        reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.ioctl(writing, FICLONE, reading)
            except OSError:
                return False
            finally:
                os.close(writing)
        finally:
            os.close(reading)
    os.utime(target, ns=(stamp[1], stamp[1]))
    return True


@contextmanager
def _checked(source: str | Path, stamp: Stamp) -> Iterator[None]:
    """Raise Torn if a file has another size or modification time before or after the block."""
    _check(source, stamp)
    yield
    _check(source, stamp)


def _check(source: str | Path, stamp: Stamp) -> None:
    status = os.stat(source)
    if (status.st_size, status.st_mtime_ns) != stamp:
        raise Torn(str(source))
