"""Compute the blake3 digest of a file, by which roar identifies contents."""

from pathlib import Path
from typing import TYPE_CHECKING

from roar_publisher.lineage.database import RoarDatabase
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

if TYPE_CHECKING:
    from blake3 import blake3

SEGMENT_BYTES = 2 * 1024 * 1024
"""How much of a file is in memory while it is read."""


def blake3_of(database: RoarDatabase, path: Path) -> str:
    """Return the file's digest, 64 hex digits.

    Uses roar's cache if the file has not changed since roar hashed it, and reads the file otherwise. Raises
    LocalProblem if it cannot be read.
    """
    try:
        status = path.stat()
        cached = database.one(
            "SELECT digest FROM hash_cache WHERE path = ? AND algorithm = 'blake3' AND size = ? AND mtime = ?",
            str(path.resolve()),
            status.st_size,
            status.st_mtime,
        )
        return str(cached[0]) if cached is not None else file_digest(path)
    except OSError as error:
        raise LocalProblem(f"{path} cannot be read: {error.strerror}", next_step="check its permissions") from error


def blake3_hasher(data: bytes = b"") -> "blake3":
    """Return a blake3 hasher that has consumed `data`. Raises LocalProblem if the package is not installed."""
    try:
        from blake3 import blake3
    except ImportError as error:
        raise LocalProblem(
            "this lineage needs blake3 digests, and the package blake3 is not installed",
            next_step="type `pip install blake3`; a path may also be named by its digest",
            reason=Reason.NO_BLAKE3,
        ) from error
    return blake3(data, max_threads=blake3.AUTO)


def file_digest(path: Path) -> str:
    """Return the blake3 digest of a file's bytes, 64 hex digits. Raises OSError, and LocalProblem as `blake3_hasher`.

    The file is not mapped into memory: a program that truncates it meanwhile would kill this one (SIGBUS).
    """
    hasher = blake3_hasher()
    with path.open("rb", buffering=0) as file:
        while segment := file.read(SEGMENT_BYTES):
            hasher.update(segment)
    return hasher.hexdigest()
