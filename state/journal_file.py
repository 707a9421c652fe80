"""The journal's file: opening it, transactions, and the translation of SQLite's errors.

The rollback journal with `synchronous=FULL` is used because the write-ahead log has a corruption bug with several
connections in the SQLite releases that distributions ship. While a connection is open, only SQLite may open the file by
its path: closing any other handle drops SQLite's locks (POSIX).
"""

import errno
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from roar_publisher.state import schema
from roar_publisher.state.damage import damaged, is_damaged, primary_code, reports_damage
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.forks import forks_deferred
from roar_publisher.state.paths import ID
from roar_publisher.state.private import create_private
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import check_own
from roar_publisher.state.schema import is_full, migrate, refuse_newer
from roar_publisher.state.system_errors import CHECK_THE_DISK, SystemProblem, explain_os_error, probe_write

BUSY_TIMEOUT_MS = 10_000
"""How long a reader and the owner wait for each other's short transactions."""


class JournalFile:
    """An open SQLite file with the journal's tables. One thread at a time uses it.

    db: for statements inside `transaction` or `translated`. Raises LocalProblem: resumable if the disk refuses (full,
    read-only), permanent if the file is damaged. After a failed commit the state of the file is unknown: reopen and
    read it.
    """

    def __init__(self, path: Path, *, read_only: bool = False, draft: bool = False) -> None:
        """Open or create the journal at `path`.

        draft: nothing needs to survive a power loss before `make_durable`. A commit to a disk takes as long as a
        request to a registry nearby.

        read_only: for observers. SQLite still opens the file for writing, because the first process to open it after a
        crash has to roll the last transaction back. Statements on this connection cannot write.
        """
        self.path = path
        _check_files(path)
        if not read_only:
            create_private(path)
        with self.translated():
            # sqlite3 only forbids concurrent use, it does not serialise it. The caller's capacity limiter does.
            connection = sqlite3.connect(
                f"{path.absolute().as_uri()}?mode={'rw' if read_only else 'rwc'}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=BUSY_TIMEOUT_MS / 1000,
            )
            self.db = connection
            try:
                if read_only:
                    connection.execute("PRAGMA query_only = ON")
                    refuse_newer(self.db)
                else:
                    connection.execute("PRAGMA journal_mode = TRUNCATE")
                    connection.execute("PRAGMA synchronous = OFF" if draft else "PRAGMA synchronous = FULL")
                    migrate(self.db)
            except BaseException:
                connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def outdated(self) -> bool:
        """Whether an older release wrote the file and no owner has opened it since, which would migrate it."""
        with self.translated():
            return schema.outdated(self.db)

    @property
    def data_version(self) -> int:
        """A number that changes whenever another connection commits a change."""
        with self.translated():
            return int(self.db.execute("PRAGMA data_version").fetchone()[0])

    def make_durable(self) -> None:
        """Let every commit from now on survive a power loss; the next one takes with it all that the file holds."""
        with self.translated():
            self.db.execute("PRAGMA synchronous = FULL")

    def close(self) -> None:
        """Close the file. Closing twice is harmless."""
        with forks_deferred():
            self.db.close()

    def rows(self, sql: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a query by column name. Call inside `transaction` or `translated`."""
        cursor = self.db.execute(sql)
        names = [column for column, *_ in cursor.description]
        return (dict(zip(names, row, strict=True)) for row in cursor)

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        """Insert a row. Call inside `transaction`."""
        places = ", ".join("?" * len(row))
        self.db.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values()))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block in a transaction. Inside of another one, the block becomes a part of that.

        It is IMMEDIATE, because a deferred one that reads first can fail at once with BUSY when it writes.
        """
        nested = self.db.in_transaction  # a name, because mypy would take the attribute for unchanged below
        if nested:
            yield
            return
        with self.translated():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Translate SQLite's errors, and let forks wait. Only what SQLite's integrity check confirms is damage."""
        try:
            with forks_deferred():
                yield
        except zlib.error as error:
            raise damaged(self.path) from error
        except sqlite3.Error as error:
            if reports_damage(error) and is_damaged(self.path):
                raise damaged(self.path) from error
            raise self._temporary_problem(error) from error

    def _temporary_problem(self, error: sqlite3.Error) -> LocalProblem:
        """Return the error of a journal that cannot be used now, with the cause as far as the disk reports it."""
        busy = primary_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        remedy = "wait until no other process uses it" if busy else CHECK_THE_DISK
        found = SystemProblem(Reason.JOURNAL, str(error), remedy)
        if is_full(error):
            found = explain_os_error(OSError(errno.ENOSPC, ""), Reason.JOURNAL)
        elif refused := probe_write(self.path.parent):
            found = explain_os_error(refused, Reason.JOURNAL)
        publish_id = self.path.parent.name
        resume = f"roar publish --resume {publish_id}" if ID.fullmatch(publish_id) else "roar publish --resume"
        return LocalProblem(
            f"the journal {self.path} cannot be used at this moment: {found.what}",
            kept="Everything up to the last checkpoint is kept.",
            next_step=f"{found.remedy}, then: {resume}",
            reason=found.reason,
            resumable=True,
        )


def _check_files(path: Path) -> None:
    """Raise LocalProblem for a link, which SQLite would follow, and for a FIFO, which it would wait for."""
    try:
        for name in (path, path.with_name(f"{path.name}-journal")):
            check_own(name)
    except OSError as error:
        found = explain_os_error(error, Reason.JOURNAL)
        raise LocalProblem(
            f"the journal {error.filename} cannot be used: {found.what}",
            kept="Nothing of it was read.",
            next_step=f"{found.remedy}, then: roar publish --resume",
            reason=found.reason,
            resumable=True,
        ) from error


@contextmanager
def rows_translated(path: Path) -> Iterator[None]:
    """Translate errors in rows that SQLite accepts: a row that this program did not write is damage, too."""
    try:
        yield
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise damaged(path) from error
