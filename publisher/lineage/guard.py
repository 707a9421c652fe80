"""Refuse schemas of roar.db that would run code in our own statements: views, triggers, computed columns and indexes.

A project's database is untrusted. A view in place of a table may never end, and a trigger runs inside our update. roar
has ordinary tables, and three triggers that maintain its full-text index of the jobs. Everything else that SQLite would
run for us is refused before a row is read.
"""

import os
import re
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from roar_publisher.lineage.rows import TABLES
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.shell import shell_word

VALUE_LIMIT = 4 * 1024 * 1024
"""The most bytes of a text or a row. Registries take about 100 kB per request."""
NOTE_LIMIT = 64 * 1024 * 1024
"""The most bytes of a session's metadata: its note of a publication names every job twice (`publication`)."""
STATEMENT_TIMEOUT_SECONDS = 20.0
"""Seconds without a row after which a statement is aborted."""

_STEPS = 100_000
"""Virtual machine instructions between two checks of the clock."""
_COMPANIONS = ("-wal", "-shm", "-journal")
_INDEX_TRIGGER = re.compile(
    r"create trigger (?:if not exists )?jobs_a[iud] after (?:insert|delete|update(?: of [\w, ]+)?) on jobs"
    r"(?: for each row)? begin"
    r"(?: insert into jobs_fts ?\([\w, ]+\) values ?\((?:(?:'delete'|(?:new|old)\.\w+),? ?)+\) ?; ?)+ ?end",
    re.IGNORECASE,
)
_FULL_TEXT = re.compile(r"create virtual table (?:if not exists )?jobs_fts using fts5 ?\([\w ,='\"]*\)", re.IGNORECASE)
_SHADOWS = frozenset({"jobs_fts_data", "jobs_fts_idx", "jobs_fts_content", "jobs_fts_docsize", "jobs_fts_config"})
_INDEXED = 1, {-2}
"""The column of `index_xinfo` that holds the number of the indexed column, and the number of an expression."""
_HIDDEN = 6, {2, 3}
"""The column of `table_xinfo` that tells hidden columns, and its values for virtual and stored computed ones."""


class StatementTimer:
    """Aborts a statement that returns no row for too long. clock: returns seconds."""

    def __init__(self, connection: sqlite3.Connection, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started_at = clock()
        connection.set_progress_handler(self._expired, _STEPS)

    def reset(self) -> None:
        """Reset the timer, because a statement began or returned a row."""
        self._started_at = self._clock()

    def _expired(self) -> bool:
        return self._clock() - self._started_at > STATEMENT_TIMEOUT_SECONDS


def harden(connection: sqlite3.Connection) -> None:
    """Limit what the file can make SQLite do. Call before the first statement, because that reads the schema."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_LIMIT)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for pragma in (
        "trusted_schema = OFF",
        "cell_size_check = ON",
        "ignore_check_constraints = ON",
        "foreign_keys = OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def long_notes(connection: sqlite3.Connection) -> Iterator[None]:
    """Allow texts of `NOTE_LIMIT` within the block, for statements that read or write the metadata of sessions only."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, NOTE_LIMIT)
    try:
        yield
    finally:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_LIMIT)


def refuse_irregular_files(path: Path) -> None:
    """Raise LocalProblem unless the database and its companion files of SQLite are regular files."""
    real = Path(os.path.realpath(path))
    for file in (real, *(real.with_name(real.name + suffix) for suffix in _COMPANIONS)):
        try:
            mode = file.lstat().st_mode
        except OSError:
            continue
        if not stat.S_ISREG(mode):
            raise LocalProblem(
                f"{file} is not a regular file",
                kept="Nothing was read or changed.",
                next_step="check what it is",
                reason=Reason.DATABASE,
            )


def refuse_foreign_code(path: Path, connection: sqlite3.Connection) -> None:
    """Raise LocalProblem if the schema would run code in a statement of ours.

    Also raises `sqlite3.Error`.
    """
    rows = connection.execute("SELECT type, lower(name), lower(tbl_name), coalesce(sql, '') FROM sqlite_master")
    for kind, name, table, sql in rows.fetchall():
        text = " ".join(str(sql).split())
        if kind == "trigger" and not _INDEX_TRIGGER.fullmatch(text):
            raise _foreign(path, f"a trigger of its own ({name})")
        if kind == "view" and name in TABLES | {"jobs_fts"} | _SHADOWS:
            raise _foreign(path, f"a view in place of the table {name}")
        if name == "jobs_fts" and not _FULL_TEXT.fullmatch(text):
            raise _foreign(path, "another jobs_fts than roar's full-text index")
        if kind == "table" and name in TABLES and text[:15].lower() == "create virtual ":
            raise _foreign(path, f"a virtual table in place of {name}")
        if kind == "index" and table in TABLES and _is_computed(connection, f"index_xinfo({_quoted(name)})", *_INDEXED):
            raise _foreign(path, f"an index over an expression ({name})")
    for name in sorted(TABLES):
        if _is_computed(connection, f"table_xinfo({_quoted(name)})", *_HIDDEN):
            raise _foreign(path, f"computed columns in {name}")


def _is_computed(connection: sqlite3.Connection, pragma: str, column: int, marks: set[int]) -> bool:
    # `SELECT … FROM pragma_table_xinfo(?)` would read a table of that name instead, if the file has one.
    return any(row[column] in marks for row in connection.execute(f"PRAGMA {pragma}"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _foreign(path: Path, what: str) -> LocalProblem:
    return LocalProblem(
        f"{path} has {what}, which roar never creates. It would run as part of our own statements",
        kept="Nothing was read or changed.",
        next_step=f"find out where it comes from: `sqlite3 {shell_word(str(path))} .schema`; drop it if it is yours",
        reason=Reason.SCHEMA,
    )
