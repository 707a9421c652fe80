"""The blake3 digest of a file, the name that roar knows contents by."""

from pathlib import Path

from publisher.lineage.database import Database
from state.errors import LocalProblem


def blake3_of(database: Database, path: Path) -> str:
    """The file's digest, 64 hex digits.

    roar's own cache answers for a file that has not changed since roar hashed it; else the file is read.  Raises
    LocalProblem where it can't be.
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
        raise LocalProblem(f"{path} can't be read: {error.strerror}.", next_step="Check its permissions.") from error


def _digest(path: Path) -> str:
    try:
        from blake3 import blake3
    except ImportError as error:
        raise LocalProblem(
            f"{path} must be hashed to find its lineage, and the package blake3 is not installed.",
            next_step="Type `pip install blake3`, or name the artifact by its digest.",
            reason="no blake3",
        ) from error
    hasher = blake3(max_threads=blake3.AUTO)
    hasher.update_mmap(path)
    return str(hasher.hexdigest())
