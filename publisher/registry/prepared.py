"""Publishing a private lineage again: its jobs are not staged once more, and finalize settles where it stands.

The answer to the jobs names the lineage and says `existing_binding_prepared: true`; roar-cli from 0.4.6 on calls
finalize then.  Earlier releases would stop there and leave the lineage private, so for them everything is staged again
(see `releases`).
"""

import json
import sqlite3
from collections.abc import Sequence
from http import HTTPStatus

from roar_publisher.registry.auth import ANONYMOUS_OWNER
from roar_publisher.registry.refusals import Refusal
from roar_publisher.registry.scope import PRIVATE
from roar_publisher.registry.sessions import Session


def prepare(connection: sqlite3.Connection, session: Session, uids: Sequence[str]) -> str | None:
    """Prepare a session for the private lineage of its owner that has exactly these jobs; returns the lineage's hash.

    None, and nothing is done, where there is none, where the session has staged jobs (a lineage that comes in several
    batches is staged again), or where it is prepared for another lineage.  Repeating it returns the same.
    """
    found = None if session.owner == ANONYMOUS_OWNER else _private_lineage_of(connection, session, uids)
    staged = connection.execute("SELECT 1 FROM jobs WHERE graph_id = ? LIMIT 1", (session.graph_id,)).fetchone()
    if found is None or staged is not None or session.prepared_graph not in (None, found["graph_id"]):
        return None
    connection.execute("UPDATE sessions SET prepared_graph = ? WHERE id = ?", (found["graph_id"], session.id))
    return str(found["hash"])


def refuse_other_jobs(session: Session) -> None:
    """Raises `Refusal` (409) where a session is prepared: of the lineage's jobs none is staged, so what would be staged
    beside them would be published without them.
    """
    if session.prepared_graph is not None:
        detail = "this registration session stands for a lineage that is published: stage other jobs in a new one"
        raise Refusal(HTTPStatus.CONFLICT, detail)


def _private_lineage_of(connection: sqlite3.Connection, session: Session, uids: Sequence[str]) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "WITH asked (uid) AS (SELECT DISTINCT value FROM json_each(:uids)), known (uid, job, graph_id) AS ("
        " SELECT uid, uid, graph_id FROM jobs WHERE uid IN asked"
        " UNION ALL SELECT uid, job_uid, graph_id FROM job_aliases WHERE uid IN asked)"
        " SELECT hash, graph_id FROM known JOIN lineages USING (graph_id)"
        " WHERE owner = :owner AND visibility = :private AND session_id IS NOT NULL GROUP BY graph_id"
        " HAVING count(DISTINCT uid) = (SELECT count(*) FROM asked) AND count(DISTINCT job) ="
        " (SELECT jobs FROM graphs WHERE graphs.id = known.graph_id)"
        " ORDER BY published_at DESC LIMIT 1",
        {"uids": json.dumps(uids), "owner": session.owner, "private": PRIVATE},
    ).fetchone()
    return row
