"""Reading the objects of a folder."""

import os
import stat
from pathlib import Path

from roar_publisher.state.errors import Rejected
from roar_publisher.state.safe_open import WITHOUT_WAITING
from roar_publisher.storage.ranges import ObjectChanged
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.source import FileStamp, shown, stamp_in, unreadable


def tag_of(stamp: FileStamp) -> str:
    """Return a value that identifies a file and its last write."""
    return f"{stamp.inode}-{stamp.size}-{stamp.mtime_ns}-{stamp.ctime_ns}"


def tag_in(found: os.stat_result) -> str:
    """Return the tag of a file that was looked at."""
    return tag_of(stamp_in(found))


def look_at(path: Path) -> StoredObject | None:
    """Return what is at a path, without a checksum. Raises Rejected unless it is a file, LocalProblem."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(str(path), error) from error
    if not stat.S_ISREG(found.st_mode):
        raise Rejected(f"{shown(str(path))} is not a regular file")
    return StoredObject(found.st_size, "", tag=tag_in(found))


def read_range(path: Path, offset: int, length: int, stored: StoredObject) -> bytes:
    """Return a range of the file that `look_at` returned. Raises ObjectChanged, LocalProblem."""
    try:
        descriptor = os.open(path, os.O_RDONLY | WITHOUT_WAITING)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ObjectChanged(str(path)) from error
    except OSError as error:
        raise unreadable(str(path), error) from error
    try:
        content = os.pread(descriptor, length, offset)
        if tag_in(os.fstat(descriptor)) != stored.tag or len(content) != length:
            raise ObjectChanged(str(path))
        return content
    except OSError as error:
        raise unreadable(str(path), error) from error
    finally:
        os.close(descriptor)
