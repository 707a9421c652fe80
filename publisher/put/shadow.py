"""A copy of roar.db in which the put is recorded already, to plan from.

The put job is published like any other job, but roar.db gets it only once it is published.  Copying the snapshot costs
what reading the file costs; everything that plans a publish works on the copy as it stands.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from publisher.lineage.database import Database, open_database, open_writable, problem
from publisher.put.record import PutRecord
from publisher.put.recording import record_put
from state.errors import LocalProblem

PUT_SECONDS = 0.0
"""How long a put job took, as it is told to GLaaS."""


@contextmanager
def shadow_of(database: Database, record: PutRecord) -> Iterator[tuple[Database, int]]:
    """The copy, with the put recorded as it is to be sent, and the put job's row; gone when the block ends.

    The job rows that are picked in `database` are picked in the copy, too, and so is the put job.  Raises LocalProblem
    where there is no room for a copy.
    """
    try:
        with TemporaryDirectory(prefix="roar-put-") as folder:
            path = Path(folder) / "roar.db"
            database.copy_to(path)
            record_put(path, record)
            job = _as_sent(path, record)
            with open_database(path) as shadow:
                shadow.pick(row[0] for row in database.query("SELECT job FROM picked"))
                shadow.pick([job])
                yield shadow, job
    except OSError as error:
        raise LocalProblem(
            f"The put can't be planned: {error}", next_step="Free some disk, or set TMPDIR.", reason="disk"
        ) from error


def _as_sent(path: Path, record: PutRecord) -> int:
    """Change what travels differently from how it is recorded, and return the put job's row.

    The wire has a duration, metadata without the datasets' registration, and the destination as the source of what was
    uploaded; in roar.db an uploaded file stays the local file that it was.
    """
    try:
        with closing(open_writable(path)) as connection:
            connection.execute("BEGIN")
            with connection:
                connection.execute(
                    "UPDATE jobs SET metadata = ?, duration_seconds = ? WHERE job_uid = ?",
                    (record.sent, PUT_SECONDS, record.job_uid),
                )
                connection.executemany(
                    "UPDATE artifacts SET metadata = ? WHERE id = ?",
                    ((dataset.sent, dataset.artifact) for dataset in record.datasets),
                )
                if record.source_type:
                    connection.executemany(
                        "UPDATE artifacts SET source_type = ?, source_url = NULL WHERE id = ?",
                        ((record.source_type, file.artifact) for file in record.files),
                    )
                row = connection.execute("SELECT id FROM jobs WHERE job_uid = ?", (record.job_uid,)).fetchone()
                return int(row[0])
    except sqlite3.Error as error:
        raise problem(path, error) from error
