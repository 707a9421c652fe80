"""A local file as it was when its digest was computed, and the detection of later changes.

Size, modification time and inode are compared whenever the file is opened. They can be forged (a rewrite that restores
the time), so the hash of every part is also compared as it is read. The change time cannot be forged, but a harmless
`chmod` changes it too: if it alone differs, the content is hashed again (`digest.confirm`).
"""

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from msgspec import Struct, convert

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.system_errors import exhausted
from roar_publisher.storage.parts import part_count, part_range

READ_BYTES = 1024 * 1024
"""Bytes read per call in a worker thread, which is also the memory of one part in flight."""


class FileChanged(LocalProblem):
    """The file no longer matches its digest. No changed data was stored, and retrying is safe."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{shown(path)} has changed since it was read",
            kept="The parts that were sent before are kept. Nothing is published.",
            next_step="put the file back as it was (or cancel this publish and put the new content)",
            reason=Reason.FILE_CHANGED,
            resumable=True,
        )


class FileStamp(Struct, frozen=True):
    """The state of a file in the file system: bytes, nanoseconds, inode, nanoseconds."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int

    def admits(self, other: "FileStamp") -> bool:
        """Return whether `other` may be the same content. `digest.confirm` checks the change time."""
        return (self.size, self.mtime_ns, self.inode) == (other.size, other.mtime_ns, other.inode)


class Slice(Struct, frozen=True):
    """A range of a file's bytes.

    fence: the file's stamp when it was digested. blake3: hex, of the bytes, as they must be when they are read for
    sending.
    """

    path: str
    fence: FileStamp
    offset: int
    length: int
    blake3: str


class Content(Struct, frozen=True):
    """A file's content as digested. JSON-serialisable with `msgspec.structs.asdict`.

    path: absolute or relative; symlinks are followed.
    fence: its stamp; journals have it under this name.
    blake3: hex, of the whole file.
    part_blake3s: hex, of each part of `part_bytes`; what is sent is compared to it.
    md5: hex, of the whole file; empty unless the store needs it (of the checksums that GCS verifies, the standard
    library computes no other).
    """

    path: str
    fence: FileStamp
    blake3: str
    part_bytes: int
    part_blake3s: tuple[str, ...]
    md5: str = ""

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the content that a journal keeps."""
        return convert(json.loads(text), cls)  # msgspec's own decoder refuses a path that is not UTF-8

    @property
    def size(self) -> int:
        return self.fence.size

    def part(self, number: int) -> Slice:
        """Return part `number`, counted from 1."""
        offset, length = part_range(number, self.size, self.part_bytes)
        return Slice(self.path, self.fence, offset, length, self.part_blake3s[number - 1])

    def whole(self) -> Slice:
        """Return the whole of a file that has one part."""
        if part_count(self.size, self.part_bytes) != 1:
            raise ValueError("only a file of one part is sent whole")
        return self.part(1)


@contextmanager
def opened(path: str) -> Iterator[tuple[int, FileStamp]]:
    """Yield a descriptor of the regular file at `path` (through symlinks) and its stamp.

    Raises LocalProblem if it cannot be opened or read, or is not a regular file. Never blocks on a pipe.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise LocalProblem(f"{shown(path)} is not a regular file", reason=Reason.NOT_A_FILE)
        yield descriptor, stamp_in(status)
    except OSError as error:
        raise unreadable(path, error) from error
    finally:
        os.close(descriptor)


def file_stamp(path: str) -> FileStamp:
    """Return the current stamp of a path. Raises LocalProblem if there is none."""
    try:
        return stamp_in(os.stat(path))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def file_stamp_without_links(path: Path) -> FileStamp:
    """Return the stamp of an absolute path, none of whose components may be a link.

    Raises OSError if one is a link.
    """
    look = getattr(os, "O_PATH", None)
    if look is None:  # not on macOS, where only the last component is checked for links
        return stamp_in(os.stat(path, follow_symlinks=False))
    handle = os.open(path.anchor, look | os.O_CLOEXEC)
    try:
        for part in path.parts[1:]:
            below = os.open(part, look | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
            os.close(handle)
            handle = below
        return stamp_in(os.fstat(handle))
    finally:
        os.close(handle)


def check(slice_: Slice) -> None:
    """Raise FileChanged if the file's inode, size or modification time has changed since it was digested."""
    if not slice_.fence.admits(file_stamp(slice_.path)):
        raise FileChanged(slice_.path)


def shown(path: str) -> str:
    """Return a path on one line, whatever bytes its name contains."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in path)


def unreadable(path: str, error: Exception) -> LocalProblem:
    """Return the error for a file that cannot be read."""
    if problem := exhausted(error):
        return problem
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    gone = isinstance(error, FileNotFoundError)
    remedy = "put it back (if its folder was moved, a link from the old path to the new one suffices)" if gone else ""
    return LocalProblem(
        f"{shown(path)} cannot be read: {why}", next_step=remedy, reason=Reason.UNREADABLE, resumable=True
    )


def stamp_in(status: os.stat_result) -> FileStamp:
    """Return the stamp of a file that was looked at."""
    return FileStamp(status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)
