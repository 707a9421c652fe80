"""Writes small lineages into a roar.db, row by row, for tests that need one of a certain shape."""

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from roar_publisher.lineage.project import Project, find_project
from tests.support.synthetic import copy_schema

STARTED = 1_790_000_000.0


def digest_of(name: str) -> str:
    """Return the digest that the recorder gives to the content `name`."""
    return sha256(name.encode()).hexdigest()


class Recorder:
    """A project in a folder; use as a context manager, rows are written when it is left."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".roar").mkdir(parents=True)
        self.path = root / ".roar" / "roar.db"
        self.connection = sqlite3.connect(self.path)
        copy_schema(self.connection)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.made: set[str] = set()
        self._jobs = 0

    def __enter__(self) -> Self:
        self.session(active=True)
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with closing(self.connection):
            self.connection.commit()

    def reopened(self) -> closing[sqlite3.Connection]:
        """Return a new connection, to change what was written."""
        return closing(sqlite3.connect(self.path))

    def session(self, *, active: bool = False, **columns: Any) -> int:
        """Add a session, and return its row."""
        row = {"created_at": STARTED, "current_step": 1, "is_active": int(active)} | columns
        return self._insert("sessions", row)

    def artifact(self, name: str, *, hashes: dict[str, str] | None = None, **columns: Any) -> str:
        """Return the id of the artifact of that content, which is added on its first use."""
        if self.connection.execute("SELECT 1 FROM artifacts WHERE id = ?", (name,)).fetchone() is None:
            row = {"id": name, "size": 1, "first_seen_at": STARTED, "first_seen_path": f"/data/{name}"} | columns
            self._insert("artifacts", row)
            for algorithm, digest in (hashes or {"blake3": digest_of(name)}).items():
                self._insert("artifact_hashes", {"artifact_id": name, "algorithm": algorithm, "digest": digest})
        return name

    def job(self, step: int, reads: tuple[str, ...] = (), writes: tuple[str, ...] = (), **columns: Any) -> str:
        """Add the next job of the active session, and return its uid."""
        self._jobs += 1
        uid = columns.get("job_uid", f"{self._jobs:08x}")
        row = {
            "job_uid": uid,
            "timestamp": STARTED + self._jobs,
            "command": f"step {step}",
            "session_id": 1,
            "step_number": step,
            "exit_code": 0,
            "duration_seconds": 1.0,
        }
        number = self._insert("jobs", row | columns)
        self.made.update(writes)
        for table, names in (("job_inputs", reads), ("job_outputs", writes)):
            for name in names:
                link = {"job_id": number, "artifact_id": self.artifact(name), "path": f"/data/{name}"}
                self._insert(table, link)
        return str(uid)

    def label(self, **columns: Any) -> None:
        """Add a label row."""
        self._insert("labels", {"version": 1, "created_at": STARTED} | columns)

    def insert(self, table: str, **columns: Any) -> int:
        """Add any other row, and return its number."""
        return self._insert(table, columns)

    def project(self) -> Project:
        """Return the project as `roar publish` finds it."""
        return find_project(self.root)

    def _insert(self, table: str, row: dict[str, Any]) -> int:
        sql = f"INSERT INTO {table}({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
        return int(self.connection.execute(sql, tuple(row.values())).lastrowid or 0)
