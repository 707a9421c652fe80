"""Compute the blake3 digest of a file, by which roar identifies contents."""

from pathlib import Path
from typing import TYPE_CHECKING

from roar_publisher.lineage.database import RoarDatabase
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

if TYPE_CHECKING:
    from blake3 import blake3


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
        return str(cached[0]) if cached is not None else _digest(path)
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


def _digest(path: Path) -> str:
    hasher = blake3_hasher()
    hasher.update_mmap(path)
    return hasher.hexdigest()
