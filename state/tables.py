"""The tables of a journal, as the migrations make them, character by character.

`plan`, `progress` and `queue` hold one row each: what is frozen at the start, what the steps learn, and what the daemon
has to remember. `units` holds the bodies to send and whether they were acknowledged. `events` is the history, one row
per checkpoint. `objects` and `parts` are the files of a put.

A change of the schema is a new migration. What it makes is then written here: `tests/unit/state/test_schema.py` holds
the two together. The imports of bundles compare these texts, so they are not formatted.
"""

TABLES = (
    """\
CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
)""",
    """\
CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name")""",
    """\
CREATE TABLE "plan" (
   "id" TEXT PRIMARY KEY,
   "created_at" REAL,
   "project" TEXT,
   "roar_db" TEXT,
   "target" TEXT,
   "registry" TEXT,
   "intent" TEXT,
   "digest" TEXT,
   "local_session" INTEGER,
   "git_repo" TEXT,
   "git_commit" TEXT,
   "git_branch" TEXT,
   "jobs" INTEGER,
   "inputs" INTEGER,
   "outputs" INTEGER,
   "artifacts" INTEGER,
   "labels" INTEGER,
   "provisional" TEXT,
   "redactions" TEXT
, "fingerprint" TEXT, "destination" TEXT, "tags" TEXT, "published" TEXT NOT NULL DEFAULT '{}')""",
    """\
CREATE TABLE "progress" (
   "id" TEXT PRIMARY KEY,
   "state" TEXT,
   "updated_at" REAL,
   "epoch" INTEGER,
   "recounts" INTEGER,
   "reason" TEXT,
   "detail" TEXT,
   "capabilities" TEXT,
   "credential" TEXT,
   "identity" TEXT,
   "why" TEXT,
   "scope_request" TEXT,
   "remote_session" TEXT,
   "published_elsewhere" TEXT,
   "hash" TEXT,
   "url" TEXT,
   "marks_owed" INTEGER
, "owed" TEXT NOT NULL DEFAULT '[]', "binding_prepared" INTEGER NOT NULL DEFAULT 0, "receipt" TEXT\
, "verify" INTEGER NOT NULL DEFAULT 0, "verification" TEXT)""",
    """\
CREATE TABLE "units" (
   "seq" INTEGER,
   "part" INTEGER,
   "kind" TEXT NOT NULL,
   "job_uid" TEXT,
   "items" INTEGER NOT NULL,
   "after" INTEGER NOT NULL,
   "body" BLOB NOT NULL,
   "acked" INTEGER NOT NULL DEFAULT 0,
   PRIMARY KEY ("seq", "part")
)""",
    """\
CREATE TABLE "events" (
   "id" INTEGER PRIMARY KEY,
   "at" REAL,
   "event" TEXT,
   "source" TEXT,
   "target" TEXT,
   "detail" TEXT
)""",
    """\
CREATE TABLE "objects" (
   "seq" INTEGER PRIMARY KEY,
   "key" TEXT NOT NULL,
   "url" TEXT NOT NULL,
   "size" INTEGER NOT NULL,
   "content" TEXT NOT NULL,
   "stored" INTEGER NOT NULL DEFAULT 0
, "tag" TEXT NOT NULL DEFAULT '')""",
    """\
CREATE TABLE "parts" (
   "seq" INTEGER,
   "number" INTEGER,
   "size" INTEGER NOT NULL,
   "tag" TEXT NOT NULL,
   "sha256" TEXT NOT NULL,
   PRIMARY KEY ("seq", "number")
)""",
    """\
CREATE TABLE "queue" (
   "detached_at" REAL,
   "agreed" INTEGER NOT NULL DEFAULT 0,
   "most_uploads" INTEGER,
   "upload_rate" INTEGER,
   "attempts" INTEGER NOT NULL DEFAULT 0,
   "next_attempt" REAL,
   "parked" INTEGER NOT NULL DEFAULT 0,
   "told" INTEGER
)""",
)
"""The statements that make them."""
