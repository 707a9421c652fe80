"""The registry's tables and their migrations.

A *graph* is one lineage's jobs, artifacts, links and labels.  While it is staged only its registration session knows
it; a row in `lineages` publishes it, so a finalize of any size is one small transaction: readers see all or nothing.
"""

import sqlite3

NO_STEP = -1
"""`jobs.step_number` of a job without one: it sorts before every step, as `protocol.md §6` wants."""

MIGRATIONS = (
    """
    CREATE TABLE graphs (id INTEGER PRIMARY KEY);
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        client_session_id TEXT,
        mode TEXT NOT NULL,
        graph_id INTEGER NOT NULL REFERENCES graphs (id),
        revision INTEGER NOT NULL DEFAULT 0,  -- grows with every staged write
        expires_at REAL NOT NULL,             -- Unix seconds; holds while open
        receipt TEXT,                         -- JSON; null while open
        UNIQUE (owner, client_session_id)
    ) WITHOUT ROWID;
    CREATE INDEX open_sessions ON sessions (expires_at) WHERE receipt IS NULL;
    CREATE TABLE lineages (
        hash TEXT PRIMARY KEY,
        graph_id INTEGER NOT NULL UNIQUE REFERENCES graphs (id),
        session_id TEXT,                      -- the session that published it; null: legacy, still open to writes
        creator TEXT NOT NULL,
        git_repo TEXT,
        git_commit TEXT,
        git_branch TEXT,
        published_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX recent_lineages ON lineages (published_at);
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY,
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        uid TEXT NOT NULL,
        parent_uid TEXT,
        step_number INTEGER NOT NULL,
        command TEXT NOT NULL,
        job_type TEXT,
        timestamp REAL,
        duration_seconds REAL,
        exit_code INTEGER,
        git_commit TEXT,
        git_branch TEXT,
        metadata TEXT,
        UNIQUE (graph_id, uid)
    );
    CREATE INDEX jobs_by_step ON jobs (graph_id, step_number);
    CREATE TABLE artifacts (
        id INTEGER PRIMARY KEY,
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        hashes TEXT NOT NULL,                 -- JSON, as sent
        size INTEGER NOT NULL,                -- bytes
        source_type TEXT,
        metadata TEXT,
        composite TEXT,                       -- JSON: components and membership index
        UNIQUE (graph_id, digest)
    );
    CREATE INDEX artifacts_by_digest ON artifacts (digest);
    CREATE TABLE links (
        job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,                   -- 'inputs' or 'outputs'
        digest TEXT NOT NULL,
        path TEXT NOT NULL,
        size INTEGER,
        source_type TEXT,
        metadata TEXT,
        byte_ranges TEXT,                     -- JSON
        PRIMARY KEY (job_id, kind, digest)
    ) WITHOUT ROWID;
    CREATE TABLE view_edges (
        job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        relation TEXT NOT NULL,
        target_hash TEXT NOT NULL,
        edge TEXT NOT NULL,                   -- JSON, as sent
        PRIMARY KEY (job_id, relation, target_hash)
    ) WITHOUT ROWID;
    CREATE TABLE labels (
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        entity_type TEXT NOT NULL,
        entity TEXT NOT NULL,                 -- job uid, artifact digest, or '' for the lineage
        version INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        key_origins TEXT NOT NULL,
        written_at REAL NOT NULL,
        PRIMARY KEY (graph_id, entity_type, entity, version)
    ) WITHOUT ROWID;
    CREATE TABLE discarded_graphs (graph_id INTEGER PRIMARY KEY REFERENCES graphs (id));
    """,
)


class NewerSchemaError(sqlite3.DatabaseError):
    """The store was written by a later release, which alone can read it."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to this release's shape; each migration and its record are one transaction.

    Raises `NewerSchemaError` where the file has seen more migrations than this release.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise NewerSchemaError(f"the store has schema {version}, this release knows up to {len(MIGRATIONS)}")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {script} PRAGMA user_version = {number}; COMMIT;")
