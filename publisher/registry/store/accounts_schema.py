"""The tables of accounts, with their migrations."""

MIGRATIONS = (
    """
    CREATE TABLE users (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        sub TEXT NOT NULL UNIQUE,
        email TEXT,
        context TEXT                    -- JSON, the last that the TReqs service gave; null: never asked
    ) WITHOUT ROWID;
    CREATE TABLE keys (
        fingerprint TEXT PRIMARY KEY,
        user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        public TEXT NOT NULL,           -- type and base64, as in authorized_keys
        comment TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE grants (               -- one sign-in; its tokens change
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        refresh_hash BLOB NOT NULL UNIQUE,
        expires_at REAL NOT NULL,       -- Unix seconds; of the refresh token, if somebody has it
        issued_at REAL NOT NULL,
        lifetime REAL NOT NULL          -- seconds of each access token
    ) WITHOUT ROWID;
    CREATE TABLE access_tokens (
        hash BLOB PRIMARY KEY,
        grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
        expires_at REAL NOT NULL        -- Unix seconds
    ) WITHOUT ROWID;
    CREATE INDEX access_tokens_by_grant ON access_tokens (grant_id);
    CREATE TABLE owners (               -- organizations; a user owns a space without a row here
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE
    ) WITHOUT ROWID;
    CREATE TABLE owner_members (
        owner_id TEXT NOT NULL REFERENCES owners (id) ON DELETE CASCADE,
        user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        PRIMARY KEY (owner_id, user_id)
    ) WITHOUT ROWID;
    CREATE TABLE projects (
        id TEXT PRIMARY KEY,
        owner_id TEXT NOT NULL,         -- of `owners` or of `users`
        name TEXT NOT NULL,
        visibility TEXT NOT NULL,       -- 'public' or 'private'
        UNIQUE (owner_id, name)
    ) WITHOUT ROWID;
    CREATE TABLE project_members (
        project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
        user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        can_write INTEGER NOT NULL,
        PRIMARY KEY (project_id, user_id)
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE spent_refresh_tokens (
        hash BLOB PRIMARY KEY,
        grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE,
        spent_at REAL NOT NULL,         -- Unix seconds
        expires_at REAL NOT NULL,       -- Unix seconds; when it would have been dead anyway
        salt BLOB                       -- makes its successors of the token itself; null: no more
    ) WITHOUT ROWID;
    CREATE INDEX spent_refresh_tokens_by_grant ON spent_refresh_tokens (grant_id);
    """,
    """
    ALTER TABLE users ADD COLUMN context_at REAL;  -- Unix seconds, when the service confirmed it; null: `date_contexts`
    """,
    """
    ALTER TABLE users ADD COLUMN unlinked INTEGER NOT NULL DEFAULT 0;  -- 1: added by a command, without a TReqs account
    UPDATE users SET unlinked = 1 WHERE context IS NULL;
    """,
    """
    ALTER TABLE grants ADD COLUMN client TEXT NOT NULL DEFAULT 'roar-cli';  -- 'roar-cli' or 'browser'
    CREATE TABLE browser_sessions (
        hash BLOB PRIMARY KEY,          -- of the cookie
        grant_id TEXT NOT NULL REFERENCES grants (id) ON DELETE CASCADE
    ) WITHOUT ROWID;
    CREATE INDEX browser_sessions_by_grant ON browser_sessions (grant_id);
    CREATE TABLE sign_in_codes (
        hash BLOB PRIMARY KEY,
        user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        expires_at REAL NOT NULL        -- Unix seconds
    ) WITHOUT ROWID;
    CREATE TABLE attempts (             -- to guess a code, by whom
        guesser TEXT PRIMARY KEY,
        failures INTEGER NOT NULL,
        since REAL NOT NULL             -- Unix seconds; of the first one
    ) WITHOUT ROWID;
    """,
    """
    CREATE TABLE device_requests (      -- to sign in a program that shows a code
        hash BLOB PRIMARY KEY,          -- of the device code, which the program keeps
        user_code TEXT NOT NULL UNIQUE, -- which it shows
        name TEXT NOT NULL,             -- that it gave itself
        address TEXT NOT NULL,
        requested_at REAL NOT NULL,     -- Unix seconds
        expires_at REAL NOT NULL,
        polled_at REAL,
        user_id TEXT REFERENCES users (id) ON DELETE CASCADE,  -- who allowed it
        refused INTEGER NOT NULL DEFAULT 0
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE browser_sessions ADD COLUMN by_code INTEGER NOT NULL DEFAULT 0;  -- 0: signed in with an access token
    ALTER TABLE browser_sessions ADD COLUMN token_grant_id TEXT REFERENCES grants (id) ON DELETE CASCADE;
                                        -- of that token; null: by a code, or a token of another service
    CREATE INDEX browser_sessions_by_token_grant ON browser_sessions (token_grant_id);
    """,
    """
    -- Each request of a user asks where that user is a member, and each refresh what has expired.
    CREATE INDEX owner_members_by_user ON owner_members (user_id);
    CREATE INDEX project_members_by_user ON project_members (user_id);
    CREATE INDEX grants_by_expiry ON grants (expires_at);
    CREATE INDEX grants_by_client ON grants (client);
    CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);
    CREATE INDEX spent_refresh_tokens_by_expiry ON spent_refresh_tokens (expires_at);
    CREATE INDEX spent_refresh_tokens_with_salt ON spent_refresh_tokens (spent_at) WHERE salt IS NOT NULL;
    """,
)
