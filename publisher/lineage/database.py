"""Read `.roar/roar.db` in one read-only transaction, while roar may be writing (`protocol.md §7`).

roar keeps its database in WAL mode: readers see one snapshot and neither block nor are blocked. The published jobs are
collected in temporary tables of this connection, so that a selection of 100,000 jobs takes no memory here; rows are
streamed. Every SQLite failure becomes a LocalProblem that says what to type.

The file is untrusted (`guard`). It is opened read-only; `PRAGMA query_only` would forbid the temporary tables, too.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from roar_publisher.lineage.artifacts import link_digest
from roar_publisher.lineage.connections import open_readable
from roar_publisher.lineage.database_errors import DATABASE_ERRORS, database_problem, size_of
from roar_publisher.lineage.guard import StatementTimer, long_notes, refuse_foreign_code, refuse_irregular_files
from roar_publisher.lineage.rows import NEEDED_COLUMNS, JobRow, LinkRow
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

NEWEST_SCHEMA = 5
"""The newest `PRAGMA user_version` of roar.db that this release knows (roar-cli 0.4.7)."""
LINKS_AT_ONCE = 32
"""How many links are read at once."""
LINKED_ARTIFACTS = " UNION ".join(
    f"SELECT l.artifact_id FROM chosen c CROSS JOIN {table} l ON l.job_id = c.job"
    for table in ("job_inputs", "job_outputs")
)
"""Selects the ids of the artifacts that the chosen jobs read or wrote: a database may hold those of many other runs."""
Row = tuple[Any, ...]
"""A row as SQLite returns it; its types are those of the statement."""


@contextmanager
def open_database(path: Path) -> Iterator["RoarDatabase"]:
    """Yield the database, in one read transaction that ends with the block.

    Raises LocalProblem if there is no database, or if it is not roar's, is newer or older than this release
    understands, damaged or unreadable.
    """
    refuse_irregular_files(path)
    if size_of(path) is None:
        raise LocalProblem(
            f"there is no {path}: roar has captured nothing here yet",
            next_step="capture something with `roar run <command>` first",
            reason=Reason.NO_DATABASE,
        )
    with closing(open_readable(path)) as connection:
        database = RoarDatabase(path, connection)
        database.begin()
        yield database


class RoarDatabase:
    """An open roar.db. Iterators stay valid until the block of `open_database` ends."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        self._timer = StatementTimer(connection)

    def begin(self) -> None:
        """Take the snapshot, create the temporary tables, and check that the schema is supported."""
        self.execute("BEGIN")
        version = self.one("PRAGMA user_version")
        newer = version is not None and int(version[0]) > NEWEST_SCHEMA
        if not newer:
            self._refuse_foreign_code()
        missing = [] if newer else self._missing()
        if newer or "jobs" in missing:
            what = "was written by a newer roar" if newer else "is not roar's database"
            raise LocalProblem(
                f"{self.path} {what}",
                kept="Nothing was read or changed.",
                next_step="upgrade with `pip install -U roar-publisher`"
                if newer
                else "check what it is, and move it away",
                reason=Reason.SCHEMA,
            )
        if missing:
            raise LocalProblem(
                f"{self.path} was written by an older roar (it lacks {', '.join(missing)})",
                next_step="let a current roar upgrade it: `pip install -U roar-cli`, commit your changes,"
                " then `roar run true`",
                reason=Reason.SCHEMA,
            )
        self.execute("CREATE TEMP TABLE picked(job INTEGER PRIMARY KEY)")
        self.execute("CREATE TEMP TABLE chosen(seq INTEGER PRIMARY KEY, job INTEGER UNIQUE)")

    def query(self, sql: str, *parameters: object, at_once: int = 1) -> Iterator[Row]:
        """Stream the rows of a statement, reading so many at once. Raises LocalProblem for any SQLite failure."""
        try:
            self._timer.reset()
            # No `yield from` the cursor: it would close that of a stream that is dropped after its connection.
            cursor = self._connection.execute(sql, parameters)
            while rows := cursor.fetchmany(at_once):
                yield from rows
                self._timer.reset()
        except (*DATABASE_ERRORS, OverflowError) as error:
            raise database_problem(self.path, error) from error

    def long_notes(self) -> AbstractContextManager[None]:
        """Return a block in which the metadata of sessions may be read, which may be longer than any other text."""
        return long_notes(self._connection)

    def one(self, sql: str, *parameters: object) -> Row | None:
        """Return the first row, or None."""
        return next(self.query(sql, *parameters), None)

    def execute(self, sql: str, *parameters: object) -> None:
        """Run a statement for its effect on temporary tables; roar's own are read-only."""
        for _row in self.query(sql, *parameters):
            pass

    def choose(self, jobs: Iterable[int]) -> None:
        """Make `jobs`, `inputs` and `outputs` stream these job rows, in this order."""
        try:
            self._timer.reset()
            self._connection.execute("DELETE FROM chosen")
            self._connection.executemany("INSERT INTO chosen(seq, job) VALUES (?, ?)", enumerate(jobs))
        except DATABASE_ERRORS as error:
            raise database_problem(self.path, error) from error

    def pick(self, jobs: Iterable[int]) -> None:
        """Add job rows to the picked ones."""
        try:
            self._timer.reset()
            self._connection.executemany("INSERT OR IGNORE INTO picked VALUES (?)", ((job,) for job in jobs))
        except DATABASE_ERRORS as error:
            raise database_problem(self.path, error) from error

    def copy_to(self, copy: sqlite3.Connection) -> None:
        """Copy the snapshot into an empty database, which the caller may then change.

        Raises LocalProblem on failure, such as a full disk; the copy is then not a valid database.
        """
        try:
            self._timer.reset()
            self._connection.backup(copy)
        except DATABASE_ERRORS as error:
            raise database_problem(self.path, error) from error

    def jobs(self) -> Iterator[JobRow]:
        """Stream the chosen jobs, in order."""
        rows = self.query(
            "SELECT c.seq, j.command, j.timestamp, j.git_commit, j.git_branch, j.duration_seconds, j.exit_code,"
            " j.job_type, j.metadata FROM chosen c CROSS JOIN jobs j ON j.id = c.job ORDER BY c.seq"
        )
        return (JobRow(*row) for row in rows)

    def inputs(self) -> Iterator[LinkRow]:
        """Stream the inputs of the chosen jobs, in the order of the jobs."""
        return self._links("job_inputs")

    def outputs(self) -> Iterator[LinkRow]:
        """Stream the outputs of the chosen jobs, in the order of the jobs."""
        return self._links("job_outputs")

    def inputs_of(self, job: int) -> dict[int, str]:
        """Return the ids of a job's inputs by the row numbers of their artifacts, given the job's row."""
        rows = self.query(
            "SELECT a.rowid, CAST(a.id AS TEXT) FROM job_inputs i CROSS JOIN artifacts a ON a.id = i.artifact_id"
            " WHERE i.job_id = ?",
            job,
            at_once=LINKS_AT_ONCE,
        )
        return dict(rows)

    def digest_of(self, artifact: int) -> str:
        """Return the digest that names an artifact, given its row number, or "" if there is none."""
        row = self.one(
            "SELECT lower(group_concat(algorithm || ':' || digest, ' ')) FROM artifact_hashes"
            " WHERE artifact_id = (SELECT id FROM artifacts WHERE rowid = ?)",
            artifact,
        )
        return link_digest(row[0] or "") if row is not None else ""

    def _links(self, table: str) -> Iterator[LinkRow]:
        # CROSS JOIN fixes SQLite's order of loops, so that the rows come out sorted.
        rows = self.query(
            "SELECT c.seq, a.rowid, coalesce((SELECT lower(group_concat(h.algorithm || ':' || h.digest, ' '))"
            " FROM artifact_hashes h WHERE h.artifact_id = a.id), ''),"
            " CAST(coalesce(nullif(l.path, ''), a.first_seen_path, '') AS TEXT), CAST(l.byte_ranges AS TEXT),"
            " CAST(a.size AS INTEGER), CAST(a.source_type AS TEXT),"  # cast: SQLite stores any type in any column
            " CAST(a.source_url AS TEXT), CAST(a.metadata AS TEXT), CAST(a.kind AS TEXT)"
            f" FROM chosen c CROSS JOIN {table} l ON l.job_id = c.job"
            " CROSS JOIN artifacts a ON a.id = l.artifact_id ORDER BY c.seq, l.artifact_id, l.path",
            at_once=LINKS_AT_ONCE,
        )
        for seq, artifact, hashes, path, ranges, size, source, url, metadata, kind in rows:
            yield LinkRow(seq, artifact, link_digest(hashes), hashes, path, ranges, size, source, url, metadata, kind)

    def _refuse_foreign_code(self) -> None:
        try:
            refuse_foreign_code(self.path, self._connection)
        except DATABASE_ERRORS as error:
            raise database_problem(self.path, error) from error

    def _missing(self) -> list[str]:
        missing = []
        for table, needed in NEEDED_COLUMNS.items():
            present = {str(row[1]) for row in self.query(f"PRAGMA table_info({table})")}
            if not present:
                missing.append(table)
            else:
                missing += [f"{table}.{column}" for column in sorted(needed - present)]
        return missing
