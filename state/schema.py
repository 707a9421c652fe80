"""The journal's tables and their migrations. A migration and its record are one transaction.

`plan`, `progress` and `queue` hold one row each: what is frozen at the start, what the steps learn, and what the daemon
has to remember. `units` holds the bodies to send and whether they were acknowledged. `events` is the history, one row
per checkpoint. `objects` and `parts` are the files of a put.

A released migration is never edited: a change of the schema is a new migration, so that the next release can open a
journal of this one. No column may hold a credential, because a deleted row can stay readable in the file.
"""

import sqlite3

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.sqlite import Database, Migrations

journal_migrations = Migrations("journal")


@journal_migrations()
def m001_first_tables(db: Database) -> None:
    """Create what a publish of lineage needs."""
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
    """Add what a put needs: a destination, the objects to store there, and their parts."""
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
    """Add what the daemon remembers of a publish."""
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
    """Add the tag by which a stored object is recognised."""
    db.table("objects").add_column("tag", str, not_null_default="")


@journal_migrations()
def m005_owed(db: Database) -> None:
    """Add the debts of a published lineage, which replace the single `marks_owed` flag."""
    db.table("progress").add_column("owed", str, not_null_default="[]")
    marks = '[{"what": "marks", "why": "roar.db could not be written", "reason": "database", "command": ""}]'
    db.conn.execute("UPDATE progress SET owed = ? WHERE marks_owed", [marks])


@journal_migrations()
def m006_binding(db: Database) -> None:
    """Add whether finalize changes the scope of jobs that are already registered."""
    db.table("progress").add_column("binding_prepared", int, not_null_default=0)


@journal_migrations()
def m007_receipt(db: Database) -> None:
    """Add the hash that the registry should compute, and the receipt that it returned."""
    db.table("plan").add_column("published", str, not_null_default="{}")
    db.table("progress").add_column("receipt", str)


def migrate(db: Database) -> None:
    """Bring the tables up to this release. Raises LocalProblem if a newer release wrote the journal."""
    refuse_newer(db)
    if journal_migrations.pending(db):
        journal_migrations.apply(db)


def refuse_newer(db: Database) -> None:
    """Raise LocalProblem if a newer release wrote the journal. Changes nothing."""
    known = {migration.name for migration in journal_migrations.pending(Database(memory=True))}
    if any(applied.name not in known for applied in journal_migrations.applied(db)):
        raise newer()


def newer() -> LocalProblem:
    """Return the error of a journal that a newer release wrote."""
    return LocalProblem(
        "this publish was journaled by a newer release",
        kept="The journal is untouched.",
        next_step="pip install --upgrade roar-publisher",
        reason=Reason.NEWER_JOURNAL,
    )


def is_full(error: sqlite3.Error) -> bool:
    """Return whether SQLite ran out of room (SQLITE_FULL)."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
