"""Errors of the operating system in words that the user can act on.

SQLite does not report which system error caused its own ("unable to open database file"), so this module probes the
disk again with a small file.
"""

import errno
import os
from pathlib import Path

from msgspec import Struct

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

PROBE_BYTES = 64 * 1024
"""More than a file system stores in an inode, so that the file takes room."""
CHECK_THE_DISK = "check the disk or the mount that it is on"
"""What to do first after an error that has no better remedy."""


class SystemProblem(Struct, frozen=True):
    """A system error in words.

    reason: the code for the journal. what: the cause as part of a sentence. remedy: what to do first.
    """

    reason: Reason
    what: str
    remedy: str


_KNOWN = {
    errno.ENOSPC: SystemProblem(Reason.DISK_FULL, "the disk is full", "free some disk space"),
    errno.EDQUOT: SystemProblem(Reason.DISK_FULL, "the disk is full: your quota is used up", "free some disk space"),
    errno.EMFILE: SystemProblem(
        Reason.TOO_MANY_FILES, "this process cannot open more files", "raise the limit (ulimit -n 1024)"
    ),
    errno.ENFILE: SystemProblem(
        Reason.TOO_MANY_FILES, "this machine cannot open more files", "stop programs that have many files open"
    ),
    errno.ENOMEM: SystemProblem(Reason.LOCAL, "this machine is out of memory", "stop programs that use a lot of it"),
    errno.EROFS: SystemProblem(Reason.STATE_DIRECTORY, "the file system is read-only", "make it writable"),
    errno.EIO: SystemProblem(Reason.DISK, "the disk reports an error (EIO)", "check the disk (dmesg)"),
}


_WITHOUT_REASON = {
    errno.ELOOP: ("it is a link, which is not followed", "remove the link"),
    errno.EMLINK: ("it has a second name (a hard link)", "remove it"),
    errno.EEXIST: ("something else is in its place", "move that away"),
    errno.EISDIR: ("a folder is in its place", "move that away"),
    errno.ENOTDIR: ("a file is in the place of its folder", "move that away"),
    errno.ENXIO: ("something else is in its place", "move that away"),  # a socket
    errno.ENAMETOOLONG: ("its name is too long there", "use a shorter path, or another file system"),
    # FAT has files of up to 4 GiB, and `ulimit -f` is a limit of the process.
    errno.EFBIG: (
        "the file is too large for its file system or for the limit of this process",
        "use a file system for larger files, or raise the limit (ulimit -f)",
    ),
}
"""What errors without a reason of their own mean, and what to do first."""


def explain_os_error(error: OSError, otherwise: Reason) -> SystemProblem:
    """Return what a system error means. otherwise: the reason of an error without a more specific one."""
    if error.errno in _WITHOUT_REASON:
        return SystemProblem(otherwise, *_WITHOUT_REASON[error.errno])
    remedy = "fix its permissions" if isinstance(error, PermissionError) else CHECK_THE_DISK
    return _KNOWN.get(error.errno or 0) or SystemProblem(otherwise, error.strerror or str(error), remedy)


EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors of a file that is as it should be, and can be opened when there are descriptors or memory again."""


def exhausted(error: Exception) -> LocalProblem | None:
    """Return the problem of a system that cannot open another file at this moment; None for any other error.

    Nothing is wrong with the file itself, so the publish can be resumed as it is.
    """
    if not isinstance(error, OSError) or error.errno not in EXHAUSTED:
        return None
    found = explain_os_error(error, Reason.LOCAL)
    return LocalProblem(found.what, next_step=found.remedy, reason=found.reason, resumable=True)


def probe_write(folder: Path) -> OSError | None:
    """Return the system's error for a small file in `folder` now, or None if it can be written.

    Leaves nothing behind.
    """
    import tempfile

    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return error
    return None
