"""Checks whether this machine's roar.db knows a lineage that was planned on another machine."""

from collections.abc import Iterable
from pathlib import Path

from roar_publisher.lineage.database import open_database
from roar_publisher.state.errors import LocalProblem


def knows_any(database: Path, jobs: Iterable[tuple[str, float]]) -> bool:
    """Return whether any of the jobs, as (uid, timestamp), was captured in `database`; False if that is unknown.

    One is enough, because a roar.db is copied as a whole. The timestamp is compared because uids are short.
    """
    try:
        with open_database(database) as rows:
            wanted = "SELECT 1 FROM jobs WHERE job_uid = ? AND timestamp = ?"
            return any(rows.one(wanted, uid, timestamp) is not None for uid, timestamp in jobs)
    except LocalProblem:
        return False
