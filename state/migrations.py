"""The migrations that bring a journal of an older release up to this one, each in one transaction with its record.

A released migration is never edited: a change of the schema is a new migration, so that the next release can open a
journal of this one. A new journal does not run them: `tables` holds what they make, and `schema.MIGRATIONS` their
names. No column may hold a credential, because a deleted row can stay readable in the file.
"""

import sqlite3

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


@journal_migrations()
def m008_verification(db: Database) -> None:
    """Add whether what is published is verified, and what was found."""
    db.table("progress").add_column("verify", int, not_null_default=0)
    db.table("progress").add_column("verification", str)


def upgrade(connection: sqlite3.Connection, *, most: int | None = None) -> None:
    """Apply the migrations that are pending. most: only so many of all, beginning with the first."""
    db = Database(connection, execute_plugins=False)
    later = journal_migrations.pending(db)[most:] if most is not None else []
    journal_migrations.apply(db, stop_before=[migration.name for migration in later])
