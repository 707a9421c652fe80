"""The journal's tables and their migrations; a migration and its record are one transaction.

`plan`, `progress` and `queue` hold one row each: what is frozen at the start, what the steps learn, and what the daemon
has to remember.  `units` holds the
bodies that will be sent and whether they were acknowledged.  `events` is the history, one row a checkpoint.  `objects`
and `parts` are the files of a put.

A released migration is never edited: a change of the schema is a new one, so that a journal written by this release
opens in the next.  No column may hold a credential: a deleted row can stay readable in the file.
"""

import sqlite3

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.sqlite import Database, Migrations

journal_migrations = Migrations("journal")


@journal_migrations()
def m001_first_tables(db: Database) -> None:
    """Everything that a publish of lineage needs."""
    db.table("plan").create(
        {
            "id": str,
            "created_at": float,
            "project": str,
            "roar_db": str,
            "target": str,
            "registry": str,
            "intent": str,
            "digest": str,
            "local_session": int,
            "git_repo": str,
            "git_commit": str,
            "git_branch": str,
            "jobs": int,
            "inputs": int,
            "outputs": int,
            "artifacts": int,
            "labels": int,
            "provisional": str,
            "redactions": str,
        },
        pk="id",
    )
    db.table("progress").create(
        {
            "id": str,
            "state": str,
            "updated_at": float,
            "epoch": int,
            "recounts": int,
            "reason": str,
            "detail": str,
            "capabilities": str,
            "credential": str,
            "identity": str,
            "why": str,
            "scope_request": str,
            "remote_session": str,
            "published_elsewhere": str,
            "hash": str,
            "url": str,
            "marks_owed": int,
        },
        pk="id",
    )
    db.table("units").create(
        {
            "seq": int,
            "part": int,
            "kind": str,
            "job_uid": str,
            "items": int,
            "after": int,
            "body": bytes,
            "acked": int,
        },
        pk=("seq", "part"),
        not_null={"kind", "items", "after", "body", "acked"},
        defaults={"acked": 0},
    )
    db.table("events").create(
        {"id": int, "at": float, "event": str, "source": str, "target": str, "detail": str}, pk="id"
    )


@journal_migrations()
def m002_objects(db: Database) -> None:
    """What a put needs on top: a destination, the objects to store there, and their parts."""
    db.table("plan").add_column("fingerprint", str)
    db.conn.execute("UPDATE plan SET fingerprint = digest")
    db.table("plan").add_column("destination", str)
    db.table("plan").add_column("tags", str)
    db.conn.execute("UPDATE plan SET tags = '[]'")
    db.table("objects").create(
        {"seq": int, "key": str, "url": str, "size": int, "content": str, "stored": int},
        pk="seq",
        not_null={"key", "url", "size", "content", "stored"},
        defaults={"stored": 0},
    )
    db.table("parts").create(
        {"seq": int, "number": int, "size": int, "tag": str, "sha256": str},
        pk=("seq", "number"),
        not_null={"size", "tag", "sha256"},
    )


@journal_migrations()
def m003_queue(db: Database) -> None:
    """What the daemon remembers of a publish."""
    db.table("queue").create(
        {
            "detached_at": float,
            "agreed": int,
            "most_uploads": int,
            "upload_rate": int,
            "attempts": int,
            "next_attempt": float,
            "parked": int,
            "told": int,
        },
        not_null={"agreed", "attempts", "parked"},
        defaults={"agreed": 0, "attempts": 0, "parked": 0},
    )
    db.conn.execute("INSERT INTO queue DEFAULT VALUES")


@journal_migrations()
def m004_tags(db: Database) -> None:
    """By what a stored object is known again."""
    db.table("objects").add_column("tag", str, not_null_default="")


@journal_migrations()
def m005_owed(db: Database) -> None:
    """What a published lineage still owes, in place of the one mark that was kept of it."""
    db.table("progress").add_column("owed", str, not_null_default="[]")
    marks = '[{"what": "marks", "why": "roar.db could not be written", "reason": "database", "command": ""}]'
    db.conn.execute("UPDATE progress SET owed = ? WHERE marks_owed", [marks])


@journal_migrations()
def m006_binding(db: Database) -> None:
    """Whether finalize changes the scope of what is registered already."""
    db.table("progress").add_column("binding_prepared", int, not_null_default=0)


@journal_migrations()
def m007_receipt(db: Database) -> None:
    """What the registry should come to, and what it said that it came to."""
    db.table("plan").add_column("published", str, not_null_default="{}")
    db.table("progress").add_column("receipt", str)


def migrate(db: Database) -> None:
    """Bring the tables up to this release.  Raises LocalProblem for a journal that a newer release wrote."""
    refuse_newer(db)
    if journal_migrations.pending(db):
        journal_migrations.apply(db)


def refuse_newer(db: Database) -> None:
    """Raise LocalProblem for a journal that a newer release wrote.  Changes nothing."""
    known = {migration.name for migration in journal_migrations.pending(Database(memory=True))}
    if any(applied.name not in known for applied in journal_migrations.applied(db)):
        raise newer()


def newer() -> LocalProblem:
    """The error of a journal that a newer release wrote."""
    return LocalProblem(
        "this publish was journaled by a newer release",
        kept="The journal is untouched.",
        next_step="pip install --upgrade roar-publisher",
        reason="newer journal",
    )


def is_full(error: sqlite3.Error) -> bool:
    """Whether SQLite ran out of room (SQLITE_FULL)."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
