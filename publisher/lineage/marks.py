"""Writes a finished publish back into roar.db, so that roar's other commands see it (`protocol.md §7`)."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from roar_publisher.lineage.database import open_writable
from roar_publisher.lineage.dbproblems import FAILURES, problem
from roar_publisher.lineage.publication import with_publication
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason


def mark_published(
    database: Path,
    *,
    session_id: int,
    session_hash: str,
    prepared_hash: str,
    job_uids: Iterable[tuple[str, str]],
    digests: Iterable[str],
    labels_as_of: float | None,
    now: float,
) -> None:
    """Stamp `synced_at` on what was published, and note the publication in the session's metadata.

    session_hash: the hash that the server returned.
    prepared_hash: the provisional hash, from which the remote uids are derived.
    job_uids: (local, remote) of every published job.
    digests: of every published artifact.
    labels_as_of: when the sent labels were read, in seconds since the epoch; None if none were sent.
    now: in seconds since the epoch.

    Runs in one short transaction. Repeating it with the same arguments changes nothing. Rows that were deleted since
    are skipped. Raises LocalProblem if it fails; then nothing was changed.
    """
    if not database.exists():
        raise LocalProblem(f"There is no {database} to note the publication in.", reason=Reason.NO_DATABASE)
    try:
        with closing(open_writable(database)) as connection:
            remote = dict(job_uids)
            _collect(connection, remote, digests)
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                _stamp(connection, session_id, now)
                if labels_as_of is not None:
                    _stamp_labels(connection, session_id, labels_as_of, now)
                row = connection.execute("SELECT metadata FROM sessions WHERE id = ?", (session_id,)).fetchone()
                if row is not None:
                    note = with_publication(
                        row[0], session_hash=session_hash, prepared_hash=prepared_hash, jobs=remote, now=now
                    )
                    connection.execute("UPDATE sessions SET metadata = ? WHERE id = ?", (note, session_id))
    except FAILURES as error:
        raise _unmarked(database, error) from error


def _collect(connection: sqlite3.Connection, jobs: Iterable[str], digests: Iterable[str]) -> None:
    """Collect what is to be stamped in temporary tables first, so that the write lock is held only for the updates."""
    connection.execute("CREATE TEMP TABLE published_jobs(uid TEXT PRIMARY KEY) WITHOUT ROWID")
    connection.execute("CREATE TEMP TABLE published_digests(digest TEXT PRIMARY KEY) WITHOUT ROWID")
    connection.execute("BEGIN")
    connection.executemany("INSERT OR IGNORE INTO published_jobs VALUES (?)", ((uid,) for uid in jobs))
    connection.executemany("INSERT OR IGNORE INTO published_digests VALUES (?)", ((digest,) for digest in digests))
    connection.execute("COMMIT")


def _stamp(connection: sqlite3.Connection, session_id: int, now: float) -> None:
    connection.execute("UPDATE sessions SET synced_at = ? WHERE id = ?", (now, session_id))
    connection.execute(
        "UPDATE jobs SET synced_at = ? WHERE job_uid IN (SELECT uid FROM published_jobs) AND synced_at IS NOT ?",
        (now, now),
    )
    connection.execute(
        "UPDATE artifacts SET synced_at = ? WHERE id IN (SELECT h.artifact_id FROM artifact_hashes h"
        " CROSS JOIN published_digests p ON p.digest = h.digest)",
        (now,),
    )


def _stamp_labels(connection: sqlite3.Connection, session_id: int, as_of: float, now: float) -> None:
    """Stamp the version of each label that was the newest at `as_of`; a later version was not sent."""
    connection.execute(
        "UPDATE labels SET synced_at = :now WHERE id IN (SELECT id FROM ("
        "SELECT id, max(version) FROM labels WHERE created_at <= :as_of AND (session_id = :session"
        " OR job_id IN (SELECT id FROM jobs WHERE job_uid IN (SELECT uid FROM published_jobs))"
        " OR artifact_id IN (SELECT h.artifact_id FROM artifact_hashes h"
        " CROSS JOIN published_digests p ON p.digest = h.digest))"
        " GROUP BY session_id, job_id, artifact_id))",
        {"now": now, "as_of": as_of, "session": session_id},
    )


def _unmarked(database: Path, error: Exception) -> LocalProblem:
    cause = problem(database, error, writing=True)
    return LocalProblem(
        f"The lineage is published, but roar could not be told: {cause.what}",
        kept="The publication itself is complete.",
        next_step=cause.next_step,
        reason=cause.reason,
        resumable=True,
    )
