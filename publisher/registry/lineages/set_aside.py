"""Legacy lineages whose hash turned out to be somebody else's (`protocol.md §4`).

A hash names its creator, so only its rightful owner can finalize it.  What others wrote under it before, on the legacy
path, is set aside by the finalize: nothing of it becomes part of the finalized lineage, and it is in no list, search or
page.  It is kept for its writer, who can still read it but no longer write to it.  What nobody signed for has no known
writer and is kept for callers without a credential.
"""

import sqlite3

_COLUMNS = (
    "hash, owner, graph_id, creator, visibility, scope_owner, scope_project, git_repo, git_commit, git_branch,"
    " published_at"
)


def set_aside(connection: sqlite3.Connection, lineage_hash: str) -> None:
    """Set the legacy lineage under this hash aside; its row in `lineages` is the caller's to replace."""
    connection.execute(
        f"INSERT INTO set_aside_lineages ({_COLUMNS}) SELECT {_COLUMNS} FROM lineages WHERE hash = ?", (lineage_hash,)
    )


def set_aside_lineage(connection: sqlite3.Connection, lineage_hash: str, writer: str) -> sqlite3.Row | None:
    """What this writer wrote under a hash before somebody else finalized it, a row like those of `lineages`.

    writer: the id of a user; empty for nobody.  None where there is nothing.
    """
    row: sqlite3.Row | None = connection.execute(
        "SELECT *, NULL AS session_id, 1 AS set_aside FROM set_aside_lineages WHERE hash = ? AND owner = ?",
        (lineage_hash, writer),
    ).fetchone()
    return row
