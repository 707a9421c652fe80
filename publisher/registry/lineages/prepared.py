"""Publishing a private lineage again: its jobs are not staged again, and finalize settles its scope.

The reply to the jobs names the lineage and has `existing_binding_prepared: true`. roar-cli from 0.4.6 on then calls
finalize. Earlier releases would stop and leave the lineage private, so for them everything is staged again (see
`releases`).
"""

import json
import sqlite3
from collections.abc import Sequence
from http import HTTPStatus

from roar_publisher.registry.accounts.callers import ANONYMOUS_OWNER
from roar_publisher.registry.accounts.scope import PRIVATE
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.sessions import Session

MOST_CANDIDATES = 8
"""Lineages that are compared with what is staged, the newest first."""


def prepare(connection: sqlite3.Connection, session: Session, uids: Sequence[str]) -> str | None:
    """Prepare a session for its owner's private lineage with exactly these jobs, and return the lineage's hash.

    Return None and change nothing if there is no such lineage, if the session has staged jobs (a lineage in several
    batches is staged again), or if the session is prepared for another lineage. A repeat returns the same.
    """
    found = None if session.owner == ANONYMOUS_OWNER else _private_lineage_of(connection, session, uids)
    staged = connection.execute("SELECT 1 FROM jobs WHERE graph_id = ? LIMIT 1", (session.graph_id,)).fetchone()
    if found is None or staged is not None or session.prepared_graph not in (None, found["graph_id"]):
        return None
    connection.execute("UPDATE sessions SET prepared_graph = ? WHERE id = ?", (found["graph_id"], session.id))
    return str(found["hash"])


def refuse_other_jobs(session: Session) -> None:
    """Raise `Refusal` (409) if the session is prepared.

    The jobs of its lineage are not staged, so other staged jobs would be published without them.
    """
    if session.prepared_graph is not None:
        detail = "this registration session stands for a lineage that is published: stage other jobs in a new one"
        raise Refusal(HTTPStatus.CONFLICT, detail)


def _private_lineage_of(connection: sqlite3.Connection, session: Session, uids: Sequence[str]) -> sqlite3.Row | None:
    if not uids:
        return None
    # A lineage with all of these jobs is among the lineages with the first of them.
    candidates: list[sqlite3.Row] = connection.execute(
        "SELECT hash, graph_id, jobs FROM (SELECT graph_id FROM jobs WHERE uid = :uid"
        " UNION SELECT graph_id FROM job_aliases WHERE uid = :uid) CROSS JOIN lineages USING (graph_id)"
        " JOIN graphs ON graphs.id = graph_id"
        " WHERE owner = :owner AND visibility = :private AND session_id IS NOT NULL AND jobs <= :asked"
        " ORDER BY published_at DESC LIMIT :most",
        {
            "uid": uids[0],
            "owner": session.owner,
            "private": PRIVATE,
            "asked": len(set(uids)),
            "most": MOST_CANDIDATES,
        },
    ).fetchall()
    return next((each for each in candidates if _has_exactly(connection, each, uids)), None)


def _has_exactly(connection: sqlite3.Connection, lineage: sqlite3.Row, uids: Sequence[str]) -> bool:
    row = connection.execute(
        "WITH asked (uid) AS (SELECT DISTINCT value FROM json_each(:uids)), known (uid, job) AS ("
        " SELECT uid, uid FROM asked CROSS JOIN jobs USING (uid) WHERE graph_id = :graph"
        " UNION ALL SELECT uid, job_uid FROM asked CROSS JOIN job_aliases USING (uid) WHERE graph_id = :graph)"
        " SELECT count(DISTINCT uid), count(DISTINCT job) FROM known",
        {"uids": json.dumps(uids), "graph": lineage["graph_id"]},
    ).fetchone()
    return tuple(row) == (len(set(uids)), lineage["jobs"])
