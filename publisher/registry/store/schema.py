"""The tables of lineages and registration sessions, with their migrations.

A *graph* is the jobs, artifacts, links and labels of one lineage. While it is staged, only its registration session
refers to it. A row in `lineages` publishes it, so a finalize of any size is one small transaction, and readers see all
or nothing.
"""

NO_STEP = -1
"""`jobs.step_number` of a job without a step. It sorts before every step, as `protocol.md §6` requires."""

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
    """
    ALTER TABLE sessions ADD COLUMN identity TEXT NOT NULL DEFAULT 'anonymous';  -- whom the hash will name
    ALTER TABLE lineages ADD COLUMN owner TEXT NOT NULL DEFAULT '';              -- id of a user; '' is nobody
    ALTER TABLE lineages ADD COLUMN visibility TEXT NOT NULL DEFAULT 'public';   -- 'public' or 'private'
    ALTER TABLE lineages ADD COLUMN scope_owner TEXT;    -- null: the owner's own space
    ALTER TABLE lineages ADD COLUMN scope_project TEXT;
    CREATE INDEX lineages_by_owner ON lineages (owner, published_at);
    CREATE INDEX jobs_by_uid ON jobs (uid);
    CREATE TABLE spent_signatures (
        digest BLOB PRIMARY KEY,                         -- of the key and of what was signed, never of the signature
        until REAL NOT NULL                              -- Unix seconds; afterwards the timestamp itself is refused
    ) WITHOUT ROWID;
    CREATE INDEX spent_signatures_until ON spent_signatures (until);
    """,
    """
    CREATE TABLE artifacts_with_links (
        id INTEGER PRIMARY KEY,
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        hashes TEXT,                          -- JSON, as sent; null: known from links alone
        size INTEGER,                         -- bytes; null: no link has said
        source_type TEXT,
        metadata TEXT,
        composite TEXT,                       -- JSON: components and membership index
        path TEXT,                            -- the smallest of the links that made it known; null: it came by itself
        UNIQUE (graph_id, digest)
    );
    INSERT INTO artifacts_with_links (id, graph_id, digest, hashes, size, source_type, metadata, composite)
        SELECT id, graph_id, digest, hashes, size, source_type, metadata, composite FROM artifacts;
    INSERT INTO artifacts_with_links (graph_id, digest, size, source_type, path)
        SELECT graph_id, digest, max(size), max(source_type), min(path) FROM links JOIN jobs ON jobs.id = job_id
        WHERE true GROUP BY graph_id, digest
        ON CONFLICT (graph_id, digest) DO NOTHING;
    DROP TABLE artifacts;
    ALTER TABLE artifacts_with_links RENAME TO artifacts;
    CREATE INDEX artifacts_by_digest ON artifacts (digest);
    CREATE TABLE job_aliases (                -- other uids under which a published job was staged again
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        uid TEXT NOT NULL,
        job_uid TEXT NOT NULL,                -- of the published job
        PRIMARY KEY (graph_id, uid)
    ) WITHOUT ROWID;
    CREATE INDEX job_aliases_by_uid ON job_aliases (uid);
    ALTER TABLE sessions ADD COLUMN prepared_graph INTEGER;  -- the published graph that finalize is to settle
    """,
    """
    -- Counts are kept while staging, so that reading them never costs more for a larger lineage.
    ALTER TABLE graphs ADD COLUMN jobs INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE graphs ADD COLUMN inputs INTEGER NOT NULL DEFAULT 0;      -- distinct digests per job
    ALTER TABLE graphs ADD COLUMN outputs INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE graphs ADD COLUMN artifacts INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE job_sizes (
        job_id INTEGER PRIMARY KEY REFERENCES jobs (id) ON DELETE CASCADE,
        inputs INTEGER NOT NULL,
        outputs INTEGER NOT NULL,
        bytes INTEGER NOT NULL                -- of the job with its links, about; never too few by much
    );
    INSERT INTO job_sizes (job_id, inputs, outputs, bytes)
        SELECT jobs.id, count(*) FILTER (WHERE kind = 'inputs'), count(*) FILTER (WHERE kind = 'outputs'),
            length(command) + coalesce(length(jobs.metadata), 0)
            + coalesce(sum(length(links.digest) + length(links.path)), 0)
        FROM jobs LEFT JOIN links ON job_id = jobs.id GROUP BY jobs.id;
    UPDATE graphs SET
        (jobs, inputs, outputs) = (
            SELECT count(*), coalesce(sum(job_sizes.inputs), 0), coalesce(sum(job_sizes.outputs), 0)
            FROM jobs JOIN job_sizes ON job_id = jobs.id WHERE graph_id = graphs.id
        ),
        artifacts = (SELECT count(*) FROM artifacts WHERE graph_id = graphs.id);
    """,
    """
    CREATE TABLE set_aside_lineages (         -- legacy lineages under a hash that somebody else then finalized
        hash TEXT NOT NULL,
        owner TEXT NOT NULL,                  -- who wrote it, and alone reads it; '' is nobody
        graph_id INTEGER NOT NULL UNIQUE REFERENCES graphs (id),
        creator TEXT NOT NULL,
        visibility TEXT NOT NULL,
        scope_owner TEXT,
        scope_project TEXT,
        git_repo TEXT,
        git_commit TEXT,
        git_branch TEXT,
        published_at REAL NOT NULL,
        PRIMARY KEY (hash, owner)
    ) WITHOUT ROWID;
    """,
    """
    -- Earlier versions of a label document become differences to the next (`label_versions`).
    CREATE TABLE labels_with_differences (
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        entity_type TEXT NOT NULL,
        entity TEXT NOT NULL,                 -- job uid, artifact digest, or '' for the lineage
        version INTEGER NOT NULL,
        metadata TEXT NOT NULL,
        key_origins TEXT NOT NULL,
        written_at REAL NOT NULL,
        is_difference INTEGER NOT NULL,       -- of both documents, to those of the next version
        history_bytes INTEGER NOT NULL,       -- in the newest version: what all earlier ones take
        PRIMARY KEY (graph_id, entity_type, entity, version)
    ) WITHOUT ROWID;
    INSERT INTO labels_with_differences
        SELECT old.graph_id, old.entity_type, old.entity, old.version,
            iif(next.version IS NULL OR old.version % 100 = 0, old.metadata,
                label_difference(next.metadata, old.metadata)),
            iif(next.version IS NULL OR old.version % 100 = 0, old.key_origins,
                label_difference(next.key_origins, old.key_origins)),
            old.written_at, next.version IS NOT NULL AND old.version % 100 <> 0, 0
        FROM labels AS old LEFT JOIN labels AS next ON next.graph_id = old.graph_id
            AND next.entity_type = old.entity_type AND next.entity = old.entity AND next.version = old.version + 1;
    UPDATE labels_with_differences AS newest SET history_bytes = (
        SELECT coalesce(sum(length(metadata) + length(key_origins)), 0) FROM labels_with_differences AS older
        WHERE older.graph_id = newest.graph_id AND older.entity_type = newest.entity_type
            AND older.entity = newest.entity AND older.version < newest.version
    ) WHERE version = (
        SELECT max(version) FROM labels_with_differences AS every WHERE every.graph_id = newest.graph_id
            AND every.entity_type = newest.entity_type AND every.entity = newest.entity
    );
    DROP TABLE labels;
    ALTER TABLE labels_with_differences RENAME TO labels;
    """,
    """
    CREATE TABLE anonymous_use (              -- what clients wrote without a credential, as it stood at `at`
        client TEXT PRIMARY KEY,              -- an address, or '*' for all clients
        sessions REAL NOT NULL,
        jobs REAL NOT NULL,
        bytes REAL NOT NULL,
        at REAL NOT NULL                      -- Unix seconds
    ) WITHOUT ROWID;
    CREATE INDEX anonymous_use_by_age ON anonymous_use (at);
    """,
    """
    -- The newest public lineages are listed without reading private ones.
    DROP INDEX recent_lineages;
    CREATE INDEX recent_lineages ON lineages (published_at) WHERE visibility = 'public';
    """,
    """
    -- One index finds an artifact by its digest, in a graph and in all of them: each is as large as the digests, and
    -- grows in random places.
    CREATE TABLE artifacts_by_digest_first (
        id INTEGER PRIMARY KEY,
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        digest TEXT NOT NULL,
        hashes TEXT,                          -- JSON, as sent; null: known from links alone
        size INTEGER,                         -- bytes; null: no link has said
        source_type TEXT,
        metadata TEXT,
        composite TEXT,                       -- JSON: components and membership index
        path TEXT,                            -- the smallest of the links that made it known; null: it came by itself
        UNIQUE (digest, graph_id)
    );
    INSERT INTO artifacts_by_digest_first SELECT * FROM artifacts;
    DROP TABLE artifacts;
    ALTER TABLE artifacts_by_digest_first RENAME TO artifacts;
    CREATE INDEX artifacts_by_graph ON artifacts (graph_id);
    """,
    """
    -- What made an artifact (`provenance`), and the jobs that prepare an environment.
    CREATE INDEX made_artifacts ON links (digest, job_id) WHERE kind = 'outputs';
    CREATE INDEX build_jobs ON jobs (graph_id) WHERE job_type = 'build';
    """,
    """
    CREATE TABLE fragment_sessions (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,                  -- id of the user that opened it; '' is nobody
        token_hash TEXT NOT NULL,             -- SHA-256 of the token
        expires_at REAL NOT NULL,             -- Unix seconds
        batches INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    );
    CREATE INDEX fragment_sessions_by_expiry ON fragment_sessions (expires_at);
    CREATE TABLE fragment_batches (
        session_id INTEGER NOT NULL REFERENCES fragment_sessions (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,              -- in the order of arrival
        sequence INTEGER NOT NULL,            -- as sent
        text TEXT NOT NULL,                   -- base64 of what only holders of the token can read
        PRIMARY KEY (session_id, number)
    );
    """,
    """
    -- Lineages are indexed after they were published (`lineage_index`): what uses an artifact, groups of jobs, words.
    -- `space` is who may read a lineage (`access.space_of`), so that lists read no row in vain.
    ALTER TABLE lineages ADD COLUMN space TEXT NOT NULL DEFAULT '';
    ALTER TABLE lineages ADD COLUMN holder TEXT NOT NULL DEFAULT '';        -- owner of the space that it is in
    ALTER TABLE lineages ADD COLUMN index_phase INTEGER NOT NULL DEFAULT 0; -- of `lineage_index`
    ALTER TABLE lineages ADD COLUMN index_position TEXT NOT NULL DEFAULT '';
    UPDATE lineages SET holder = coalesce(scope_owner, owner), space = CASE
        WHEN visibility = 'public' THEN ''
        WHEN scope_project IS NOT NULL THEN 'project ' || scope_project
        WHEN scope_owner IS NOT NULL THEN 'owner ' || scope_owner
        ELSE 'user ' || owner END;
    CREATE INDEX lineages_to_index ON lineages (published_at) WHERE index_phase < 4;
    CREATE INDEX lineages_by_space ON lineages (space, published_at);
    CREATE INDEX lineages_by_holder ON lineages (space, holder, published_at);
    CREATE INDEX lineages_by_project ON lineages (space, scope_project, published_at);
    CREATE INDEX lineages_by_repository ON lineages (space, git_repo, published_at);
    CREATE TABLE artifact_links (             -- of indexed lineages; `links` has the rest of each
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        artifact_id INTEGER NOT NULL,
        kind TEXT NOT NULL,                   -- 'inputs' or 'outputs'
        job_id INTEGER NOT NULL,
        PRIMARY KEY (graph_id, artifact_id, kind, job_id)
    ) WITHOUT ROWID;
    CREATE TABLE job_groups (                 -- jobs of one graph with the same program
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        name TEXT NOT NULL,
        jobs INTEGER NOT NULL,
        failed INTEGER NOT NULL,
        first_step INTEGER NOT NULL,
        last_step INTEGER NOT NULL,
        PRIMARY KEY (graph_id, number),
        UNIQUE (graph_id, name)
    ) WITHOUT ROWID;
    CREATE TABLE group_jobs (
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        step_number INTEGER NOT NULL,
        job_id INTEGER NOT NULL,
        PRIMARY KEY (graph_id, number, step_number, job_id)
    ) WITHOUT ROWID;
    CREATE TABLE artifact_groups (            -- `artifact_links` by groups of jobs
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        artifact_id INTEGER NOT NULL,
        kind TEXT NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (graph_id, artifact_id, kind, number)
    ) WITHOUT ROWID;
    CREATE TABLE group_edges (                -- artifacts that one group writes and another one reads
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        source INTEGER NOT NULL,
        target INTEGER NOT NULL,
        artifacts INTEGER NOT NULL,
        PRIMARY KEY (graph_id, source, target)
    ) WITHOUT ROWID;
    CREATE TABLE words (
        graph_id INTEGER NOT NULL REFERENCES graphs (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,                   -- 'command', 'path', 'label' or 'repository'
        word TEXT NOT NULL,
        entity TEXT NOT NULL,                 -- one job's uid or artifact's digest that has the word; '': the lineage
        space TEXT NOT NULL,                  -- of the lineage
        PRIMARY KEY (graph_id, kind, word)
    ) WITHOUT ROWID;
    CREATE INDEX words_by_space ON words (space, kind, word, graph_id);
    """,
    """
    -- Limits that hold across processes (`accounts.limits`).
    ALTER TABLE sessions ADD COLUMN client TEXT NOT NULL DEFAULT '';          -- address of an open anonymous session
    ALTER TABLE sessions ADD COLUMN staged_bytes INTEGER NOT NULL DEFAULT 0;  -- of the bodies that staged something
    CREATE INDEX open_anonymous_sessions ON sessions (client, expires_at) WHERE receipt IS NULL AND owner = '';
    CREATE TABLE body_rates (
        client TEXT PRIMARY KEY,              -- an address
        bytes REAL NOT NULL,                  -- level of its bucket, as it stood at `at`
        at REAL NOT NULL                      -- Unix seconds
    ) WITHOUT ROWID;
    CREATE INDEX body_rates_by_age ON body_rates (at);
    """,
    """
    -- Whether a graph may be deleted is asked for each one. Closed sessions are kept for ever.
    CREATE INDEX sessions_by_graph ON sessions (graph_id);
    """,
    """
    -- Pages of jobs begin within a step, which may have all of them. SQLite has the id in each index, PostgreSQL not.
    DROP INDEX jobs_by_step;
    CREATE INDEX jobs_by_step ON jobs (graph_id, step_number, id);
    """,
)
