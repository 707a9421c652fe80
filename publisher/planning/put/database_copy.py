"""Copy roar.db to a temporary database in which the put is already recorded, to plan from.

The put job is published like any other job, but roar.db gets it only after the publish. Copying the snapshot costs as
much as reading the file; the planning code works on the copy without changes.

The copy is SQLite's own unnamed temporary database. It is not redacted, so no file of it may be found.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from roar_publisher.lineage.database import RoarDatabase
from roar_publisher.lineage.database_errors import DATABASE_ERRORS, database_problem
from roar_publisher.planning.put.record import PutRecord
from roar_publisher.planning.put.record_writer import write_record

PUT_SECONDS = 0.0
"""The duration of a put job in requests, in seconds."""
UNNAMED = ""
"""SQLite's name for a temporary database that has no file name."""


@contextmanager
def copy_with_put(database: RoarDatabase, record: PutRecord) -> Iterator[tuple[RoarDatabase, int]]:
    """Yield the copy, with the put recorded as it is to be sent, and the put job's row. The copy ends with the block.

    The job rows that are picked in `database` are picked in the copy, too, and so is the put job. Raises LocalProblem
    if there is no room for a copy.
    """
    with closing(sqlite3.connect(UNNAMED, isolation_level=None)) as copy:
        database.copy_to(copy)
        job = _as_sent(database, copy, record)
        reader = RoarDatabase(database.path, copy)
        reader.begin()
        reader.pick(row[0] for row in database.query("SELECT job FROM picked"))
        reader.pick([job])
        yield reader, job


def _as_sent(database: RoarDatabase, copy: sqlite3.Connection, record: PutRecord) -> int:
    """Record the put as it is sent, and return its job's row.

    Requests have a duration, metadata without the datasets' registration, and the destination as the source of uploaded
    files. In roar.db an uploaded file stays a local file.
    """
    try:
        copy.execute("BEGIN")
        with copy:
            write_record(copy, record)
            copy.execute(
                "UPDATE jobs SET metadata = ?, duration_seconds = ? WHERE job_uid = ?",
                (record.sent, PUT_SECONDS, record.job_uid),
            )
            copy.executemany(
                "UPDATE artifacts SET metadata = ? WHERE id = ?",
                ((dataset.sent, dataset.artifact) for dataset in record.datasets),
            )
            if record.source_type:
                copy.executemany(
                    "UPDATE artifacts SET source_type = ?, source_url = NULL WHERE id = ?",
                    ((record.source_type, file.artifact) for file in record.files),
                )
            row = copy.execute("SELECT id FROM jobs WHERE job_uid = ?", (record.job_uid,)).fetchone()
            return int(row[0])
    except DATABASE_ERRORS as error:
        raise database_problem(database.path, error) from error
