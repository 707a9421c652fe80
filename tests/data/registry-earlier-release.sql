BEGIN TRANSACTION;
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
CREATE TABLE discarded_graphs (graph_id INTEGER PRIMARY KEY REFERENCES graphs (id));
CREATE TABLE graphs (id INTEGER PRIMARY KEY);
INSERT INTO "graphs" VALUES(1);
INSERT INTO "graphs" VALUES(2);
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
INSERT INTO "jobs" VALUES(1,1,'j1',NULL,1,'python a.py',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "jobs" VALUES(2,2,'j2',NULL,1,'python b.py',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
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
INSERT INTO "lineages" VALUES('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',1,'closed','anonymous',NULL,NULL,NULL,1800000000.0);
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
INSERT INTO "sessions" VALUES('closed','',NULL,'anonymous_public',1,3,1800000000.0,'{"hash": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "created": true, "status": "closed"}');
INSERT INTO "sessions" VALUES('open','','mine','anonymous_public',2,1,4000000000.0,NULL);
CREATE TABLE view_edges (
        job_id INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        relation TEXT NOT NULL,
        target_hash TEXT NOT NULL,
        edge TEXT NOT NULL,                   -- JSON, as sent
        PRIMARY KEY (job_id, relation, target_hash)
    ) WITHOUT ROWID;
CREATE INDEX open_sessions ON sessions (expires_at) WHERE receipt IS NULL;
CREATE INDEX recent_lineages ON lineages (published_at);
CREATE INDEX jobs_by_step ON jobs (graph_id, step_number);
CREATE INDEX artifacts_by_digest ON artifacts (digest);
COMMIT;
PRAGMA user_version = 1;
