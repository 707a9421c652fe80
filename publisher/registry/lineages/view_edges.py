"""View edges of published jobs, which roar-cli sends after the lineage: which part of a composite a job used.

They are no part of the lineage hash. roar-cli before 0.4.6 has no other way, and names the job but not its lineage.
"""

from collections.abc import Sequence
from http import HTTPStatus

from roar_publisher.glaas.wire import ViewEdge
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.labels import accepts_additions
from roar_publisher.registry.lineages.reading import MAX_GRAPHS_WITH_UID
from roar_publisher.registry.lineages.staging import add_view_edges
from roar_publisher.registry.store import jobs, lineages
from roar_publisher.registry.store.access import ANONYMOUS_OWNER, Reader
from roar_publisher.registry.store.database import Connection


def add_published_view_edges(
    connection: Connection, reader: Reader, uid: str, edges: Sequence[ViewEdge], now: float
) -> None:
    """Record which parts of composites a published job used. Existing edges are not changed.

    The job is that of the reader's newest lineage, or else of the newest anonymous one, which takes them for as long as
    labels (`labels.ADDITION_TIME`). Raises `Refusal`: 404 if there is neither, 409 if it takes none any more.
    """
    lineage = lineages.writable_with_job(connection, uid, reader.user_id, MAX_GRAPHS_WITH_UID)
    if lineage is None or not reader.may_write(lineage.scope):
        raise Refusal(HTTPStatus.NOT_FOUND, "no lineage that you may write to has this job")
    is_open = lineage.session_id is None or lineage.owner != ANONYMOUS_OWNER
    if not is_open and not accepts_additions(lineage, now):
        raise Refusal(HTTPStatus.CONFLICT, "this lineage was finalized and can no longer change")
    add_view_edges(connection, lineage.graph_id, jobs.uid_of_alias(connection, lineage.graph_id, uid), edges)
