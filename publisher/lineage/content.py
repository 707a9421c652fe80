"""Identify the content of a file: by its blake3 digest, or by another one that a project may have chosen."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from roar_publisher.blake3_hashers import blake3_hasher
from roar_publisher.lineage.database import RoarDatabase
from roar_publisher.state.errors import LocalProblem

_OTHER_ALGORITHMS = ("sha256", "sha512", "md5")
"""What `[hash]` of a project may name in the place of blake3."""
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


def file_digest(path: Path) -> str:
    """Return the blake3 digest of a file's bytes, 64 hex digits. Raises OSError, and LocalProblem as `blake3_hasher`.

    The file is not mapped into memory: a program that truncates it meanwhile would kill this one (SIGBUS).
    """
    hasher = blake3_hasher()
    with path.open("rb", buffering=0) as file:
        while segment := file.read(SEGMENT_BYTES):
            hasher.update(segment)
    return hasher.hexdigest()


class OtherDigests:
    """Finds the artifacts of roar.db that have no blake3 digest, by any other digest of theirs."""

    def __init__(self, database: RoarDatabase) -> None:
        self._database = database
        self._algorithms: dict[int, set[str]] = {}  # by the size of a file, so that few files are read
        for algorithm, size in database.query(
            "SELECT DISTINCT h.algorithm, CAST(a.size AS INTEGER) FROM artifact_hashes h"
            " CROSS JOIN artifacts a ON a.id = h.artifact_id WHERE h.algorithm IN (?, ?, ?) AND NOT EXISTS"
            " (SELECT 1 FROM artifact_hashes b WHERE b.artifact_id = a.id AND b.algorithm = 'blake3')",
            *_OTHER_ALGORITHMS,
        ):
            self._algorithms.setdefault(size, set()).add(algorithm)

    def artifact_of(self, path: Path, blake3: str) -> str | None:
        """Return the id of the artifact with the content of this file, or None if there is none.

        Reads the file if there is one of its size; None if it no longer has its blake3 digest. Raises LocalProblem if
        it cannot be read.
        """
        if not self._algorithms:
            return None
        try:
            algorithms = self._algorithms.get(path.stat().st_size, set())
            found = _digests(path, algorithms) if algorithms else {}
        except OSError as error:
            raise LocalProblem(f"{path} cannot be read: {error.strerror}", next_step="check its permissions") from error
        if found.pop("blake3", None) != blake3:
            return None
        for named in found.items():
            row = self._database.one(
                "SELECT artifact_id FROM artifact_hashes WHERE algorithm = ? AND digest = ?", *named
            )
            if row is not None:
                return str(row[0])
        return None


def _digests(path: Path, algorithms: Iterable[str]) -> dict[str, str]:
    """Return the digests of a file by these algorithms and blake3. Raises OSError."""
    hashers = {algorithm: hashlib.new(algorithm, usedforsecurity=False) for algorithm in algorithms}
    whole = blake3_hasher()
    with open(path, "rb", buffering=0, opener=_without_waiting) as file:
        while segment := file.read(SEGMENT_BYTES):
            whole.update(segment)
            for hasher in hashers.values():
                hasher.update(segment)
    return {algorithm: hasher.hexdigest() for algorithm, hasher in hashers.items()} | {"blake3": whole.hexdigest()}


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe may have taken its place
