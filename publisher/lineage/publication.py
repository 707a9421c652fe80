"""Write a publication into roar.db, so that roar's other commands see it (`protocol.md §7`).

`roar label sync` and `roar show` find the published jobs through a note in the session's metadata,
`roar.remote_publication.glaas`.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from secrets import token_hex

from roar_publisher.lineage.connections import begin_writing, open_writable
from roar_publisher.lineage.database_errors import DATABASE_ERRORS, database_problem, not_recorded, size_of
from roar_publisher.lineage.guard import long_notes
from roar_publisher.lineage.jsontext import encode_text
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.temporary import no_room, sqlite_folder

SCHEMA_VERSION = 1
SLICE_ROWS = 5_000
"""The most jobs or artifacts that one statement marks: `guard` aborts a statement that takes too long."""
# Digests come in random order, in which an index that is larger than SQLite's cache is written many times over. So they
# are collected without one, and sorted when they are inserted into a table that has one.
_IN_ANY_ORDER = ("published_jobs(uid TEXT, remote TEXT)", "published_digests(digest TEXT)")
_BY_KEY = (
    "published_jobs(uid TEXT PRIMARY KEY, remote TEXT) WITHOUT ROWID",
    "published_digests(digest TEXT PRIMARY KEY) WITHOUT ROWID",
)


def published_lineage(metadata: str | None) -> tuple[list[str], list[str]]:
    """Return the hashes of a session's last publish and the uids of its jobs, from its `metadata`.

    There are none if the note is invalid.
    """
    note: object = _parsed(metadata)
    for key in ("roar", "remote_publication", "glaas"):
        note = note.get(key) if isinstance(note, dict) else None
    if not isinstance(note, dict):
        return [], []
    hashes, jobs = (note.get("session_hash"), note.get("prepared_session_hash")), note.get("jobs")
    return [value for value in hashes if isinstance(value, str)], list(jobs) if isinstance(jobs, dict) else []


def with_publication(
    metadata: str | bytes | None,
    *,
    session_hash: str,
    provisional_hash: str,
    jobs: Iterable[tuple[str, str]],
    now: float,
) -> str:
    """Return the session's metadata (JSON text) with a new note in place of an older one; everything else stays.

    jobs: (local, remote) uid of each job, in order.
    now: seconds since the epoch.
    """
    document = _parsed(metadata)
    level = document
    for key in ("roar", "remote_publication"):
        below = level.get(key)
        if not isinstance(below, dict):
            below = level[key] = {}
        level = below
    level["glaas"] = {
        "schema_version": SCHEMA_VERSION,
        "session_hash": session_hash,
        "prepared_session_hash": provisional_hash,
        "published_at": now,
        "jobs": (mark := token_hex(16)),
    }
    # A table of a million jobs would take twice the memory and time of their text, which is put in its place.
    before, after = json.dumps(document, sort_keys=True, separators=(",", ":")).split(f'"{mark}"')
    members = ",".join(f"{encode_text(uid)}:{encode_text(remote)}" for uid, remote in jobs)
    return f"{before}{{{members}}}{after}"


class PublicationMarks:
    """The jobs and artifacts that will be marked in roar.db, collected in a temporary database of SQLite.

    roar.db is not opened before something is marked, and its write lock is held only for the updates.
    jobs: (local, remote) uid of every published job.
    digests: of every published artifact.

    Threads may use it in turn. Close it. Raises LocalProblem if the temporary folder has no room.
    """

    def __init__(self, database: Path, jobs: Iterable[tuple[str, str]], digests: Iterable[str]) -> None:
        self._database = database
        self._rows = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            with self._database_errors():
                _insert_rows(self._rows, _IN_ANY_ORDER, jobs, ((digest,) for digest in digests))
        except BaseException:
            self._rows.close()
            raise

    def mark_published(self, *, session_id: int, session_hash: str, provisional_hash: str, now: float) -> None:
        """Stamp `synced_at` on what was published, and note the publication in the session's metadata.

        session_hash: the hash that the server returned.
        provisional_hash: the provisional hash, from which the remote uids are derived.
        now: in seconds since the epoch.

        Runs in one short transaction. Repeating it with the same arguments changes nothing. Rows that were deleted
        since are skipped. Raises LocalProblem if it fails, or if the database has none of the jobs, because it was made
        anew and `session_id` is another session there; then nothing was changed.
        """
        with self._marking() as connection, long_notes(connection):
            if not connection.execute(f"SELECT 1 FROM jobs WHERE job_uid IN ({_EVERY_JOB}) LIMIT 1").fetchone():
                raise LocalProblem(f"{self._database} contains none of its jobs", reason=Reason.NO_DATABASE)
            _stamp(connection, session_id, now)
            row = connection.execute("SELECT metadata FROM sessions WHERE id = ?", (session_id,)).fetchone()
            if row is not None:
                jobs = connection.execute("SELECT uid, remote FROM published_jobs ORDER BY uid")
                note = with_publication(
                    row[0], session_hash=session_hash, provisional_hash=provisional_hash, jobs=jobs, now=now
                )
                connection.execute("UPDATE sessions SET metadata = ? WHERE id = ?", (note, session_id))

    def mark_labels(self, *, session_id: int, published: Iterable[str], as_of: float, now: float) -> None:
        """Stamp `synced_at` on the labels of the session, of these jobs and of these artifacts.

        published: the uid of every published job; nothing is marked in a database that has none of them.
        as_of: when the labels were read, in seconds since the epoch. Repetition and errors as for `mark_published`.
        """
        known = "SELECT 1 FROM jobs WHERE job_uid = ?"
        with self._marking() as connection:
            if any(connection.execute(known, (uid,)).fetchone() for uid in published):
                _stamp_labels(connection, session_id, as_of, now)

    def close(self) -> None:
        """Remove the temporary database. Repetition does nothing."""
        self._rows.close()

    @contextmanager
    def _marking(self) -> Iterator[sqlite3.Connection]:
        """Provide a transaction in roar.db that sees the collected rows, in temporary tables."""
        if size_of(self._database) is None:
            raise LocalProblem(f"there is no {self._database} to record the publication in", reason=Reason.NO_DATABASE)
        with self._database_errors(), closing(open_writable(self._database)) as connection:
            jobs = self._rows.execute("SELECT uid, remote FROM published_jobs ORDER BY uid")
            digests = self._rows.execute("SELECT digest FROM published_digests ORDER BY digest")
            _insert_rows(connection, _BY_KEY, jobs, digests)
            begin_writing(connection)
            with connection:
                yield connection

    @contextmanager
    def _database_errors(self) -> Iterator[None]:
        """Raise errors of roar.db as LocalProblem."""
        try:
            yield
        except DATABASE_ERRORS as error:
            raise not_recorded(database_problem(self._database, error, writing=True)) from error


def _insert_rows(
    connection: sqlite3.Connection,
    tables: Iterable[str],
    jobs: Iterable[tuple[str, str]],
    digests: Iterable[tuple[str]],
) -> None:
    """Insert into temporary tables of the connection. Raises LocalProblem if the temporary folder has no room."""
    try:
        for table in tables:
            connection.execute(f"CREATE TEMP TABLE {table}")
        connection.execute("BEGIN")
        connection.executemany("INSERT OR IGNORE INTO published_jobs VALUES (?, ?)", jobs)
        connection.executemany("INSERT OR IGNORE INTO published_digests VALUES (?)", digests)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:  # roar.db may be damaged
            raise
        raise not_recorded(no_room(sqlite_folder(), str(error), work="recording the publication")) from error


_EVERY_JOB = "SELECT uid FROM published_jobs"
_JOBS = "SELECT uid FROM published_jobs WHERE uid BETWEEN :first AND :last"
_ARTIFACTS = (
    "SELECT h.artifact_id FROM published_digests p CROSS JOIN artifact_hashes h ON h.digest = p.digest"
    " WHERE p.digest BETWEEN :first AND :last"
)


def _stamp(connection: sqlite3.Connection, session_id: int, now: float) -> None:
    connection.execute("UPDATE sessions SET synced_at = ? WHERE id = ?", (now, session_id))
    for uids in _slices(connection, "published_jobs", "uid"):
        connection.execute(
            f"UPDATE jobs SET synced_at = :now WHERE job_uid IN ({_JOBS}) AND synced_at IS NOT :now",
            uids | {"now": now},
        )
    for digests in _slices(connection, "published_digests", "digest"):
        connection.execute(f"UPDATE artifacts SET synced_at = :now WHERE id IN ({_ARTIFACTS})", digests | {"now": now})


def _stamp_labels(connection: sqlite3.Connection, session_id: int, as_of: float, now: float) -> None:
    """Stamp the version of each label that was the newest at `as_of`; a later version was not sent."""

    def stamp(condition: str, **values: object) -> None:
        connection.execute(
            "UPDATE labels SET synced_at = :now WHERE id IN (SELECT id FROM ("
            f"SELECT id, max(version) FROM labels WHERE created_at <= :as_of AND {condition}"
            " GROUP BY session_id, job_id, artifact_id))",
            {"now": now, "as_of": as_of, **values},
        )

    stamp("session_id = :session", session=session_id)
    for uids in _slices(connection, "published_jobs", "uid"):
        stamp(f"job_id IN (SELECT id FROM jobs WHERE job_uid IN ({_JOBS}))", **uids)
    for digests in _slices(connection, "published_digests", "digest"):
        stamp(f"artifact_id IN ({_ARTIFACTS})", **digests)


def _slices(connection: sqlite3.Connection, table: str, key: str) -> Iterator[dict[str, object]]:
    """Yield the `first` and `last` key of each SLICE_ROWS rows of a temporary table."""
    after = ""
    while True:
        first, last = connection.execute(
            f"SELECT min({key}), max({key}) FROM"
            f" (SELECT {key} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT {SLICE_ROWS})",
            (after,),
        ).fetchone()
        if last is None:
            return
        yield {"first": first, "last": last}
        after = last


def _parsed(metadata: str | bytes | None) -> dict[str, object]:
    """Return the metadata as an object. A value that is not an object is put under a key of its own, as roar does.

    SQLite also stores bytes in a text column. The lineage is published already, so they must not stop the update.
    """
    if isinstance(metadata, bytes):
        metadata = metadata.decode("utf-8", "replace")
    if not metadata or not metadata.strip():
        return {}
    try:
        value = json.loads(metadata)
    except (ValueError, RecursionError):
        return {"raw": metadata}
    return value if isinstance(value, dict) else {"value": value}
