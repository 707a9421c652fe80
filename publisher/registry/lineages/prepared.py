"""Publishing a private lineage again: its jobs are not staged again, and finalize settles its scope.

The reply to the jobs names the lineage and has `existing_binding_prepared: true`. roar-cli from 0.4.6 on then calls
finalize. Earlier releases would stop and leave the lineage private, so for them everything is staged again (see
`releases`).
"""

from collections.abc import Sequence
from http import HTTPStatus

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store import jobs, lineages, sessions
from roar_publisher.registry.store.access import ANONYMOUS_OWNER
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.lineages import LineageMatch
from roar_publisher.registry.store.sessions import Session

MAX_CANDIDATES = 8
"""Lineages that are compared with what is staged, the newest first."""


def prepare(connection: Connection, session: Session, uids: Sequence[str]) -> str | None:
    """Prepare a session for its owner's private lineage with exactly these jobs, and return the lineage's hash.

    Return None and change nothing if there is no such lineage, if the session has staged jobs (a lineage in several
    batches is staged again), or if the session is prepared for another lineage. A repeat returns the same.
    """
    found = None if session.owner == ANONYMOUS_OWNER else _private_lineage_of(connection, session, uids)
    if found is None or session.prepared_graph not in (None, found.graph_id):
        return None
    if jobs.has_jobs(connection, session.graph_id):
        return None
    sessions.set_prepared_graph(connection, session.id, found.graph_id)
    return found.hash


def refuse_other_jobs(session: Session) -> None:
    """Raise `Refusal` (409) if the session is prepared.

    The jobs of its lineage are not staged, so other staged jobs would be published without them.
    """
    if session.prepared_graph is not None:
        detail = "this registration session is for a lineage that is published: stage other jobs in a new one"
        raise Refusal(HTTPStatus.CONFLICT, detail)


def _private_lineage_of(connection: Connection, session: Session, uids: Sequence[str]) -> LineageMatch | None:
    if not uids:
        return None
    count = len(set(uids))
    # A lineage with all of these jobs is among the lineages with the first of them.
    candidates = lineages.private_with_job(connection, session.owner, uids[0], most_jobs=count, limit=MAX_CANDIDATES)
    return next(
        (each for each in candidates if jobs.count_known(connection, each.graph_id, uids) == (count, each.jobs)), None
    )
