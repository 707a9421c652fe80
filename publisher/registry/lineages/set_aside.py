"""Legacy lineages whose hash was later finalized by another publisher (`protocol.md §4`).

A hash includes its creator, so only its rightful owner can finalize it. The finalize sets aside what other clients
wrote under it earlier on the legacy path. None of that becomes part of the finalized lineage, or appears in a list,
search or page. It is kept for its writer, who can still read it but not write to it. An anonymous one has no known
writer and is kept for callers without a credential.
"""

import sqlite3

_COLUMNS = (
    "hash, owner, graph_id, creator, visibility, scope_owner, scope_project, git_repo, git_commit, git_branch,"
    " published_at"
)


def set_aside(connection: sqlite3.Connection, lineage_hash: str) -> None:
    """Set the legacy lineage under this hash aside. The caller must replace its row in `lineages`."""
    connection.execute(
        f"INSERT INTO set_aside_lineages ({_COLUMNS}) SELECT {_COLUMNS} FROM lineages WHERE hash = ?", (lineage_hash,)
    )


def set_aside_lineage(connection: sqlite3.Connection, lineage_hash: str, writer: str) -> sqlite3.Row | None:
    """Return this writer's set-aside lineage under a hash, as a row like those of `lineages`; None if there is none.

    `writer` is the id of a user; empty for anonymous callers.
    """
    row: sqlite3.Row | None = connection.execute(
        "SELECT *, NULL AS session_id, 1 AS set_aside FROM set_aside_lineages WHERE hash = ? AND owner = ?",
        (lineage_hash, writer),
    ).fetchone()
    return row
