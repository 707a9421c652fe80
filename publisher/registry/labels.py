"""Labels of published lineages: one document per entity, in versions that are never rewritten (`protocol.md §4, §7`).

Who published a lineage labels it: the session that did, or the user whom it belongs to.  An anonymous session whose
lineage had been published before may repeat the labels that stand; what it says beyond that is counted as skipped, for
anybody can publish such a lineage again.
"""

import sqlite3
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus

from roar_publisher.glaas.wire import Label
from roar_publisher.registry.documents import kept_text, read_text
from roar_publisher.registry.lineages import readable_lineage
from roar_publisher.registry.refusals import Refusal
from roar_publisher.registry.scope import Reader
from roar_publisher.registry.sessions import Access, find_session


def write_session_labels(connection: sqlite3.Connection, access: Access, labels: Sequence[Label]) -> dict[str, int]:
    """Write labels under the session that finalized the lineage; returns how many are created, updated, noops, skipped.

    Raises `Refusal`: as `find_session`; 409 before finalize; 404 for another lineage or an entity it does not have.
    """
    session = find_session(connection, access)
    if session.receipt is None:
        raise Refusal(HTTPStatus.CONFLICT, "finalize first: labels belong to a published lineage")
    if any(label.session_hash != session.receipt["hash"] for label in labels):
        raise Refusal(HTTPStatus.NOT_FOUND, "this registration session published another lineage")
    lineage = connection.execute("SELECT * FROM lineages WHERE graph_id = ?", (session.graph_id,)).fetchone()
    own = lineage["session_id"] == session.id or (session.owner and lineage["owner"] == session.owner)
    outcomes = Counter({"created": 0, "updated": 0, "noops": 0, "skipped": 0})
    for label in labels:
        if own:
            outcomes[write_label(connection, session.graph_id, label, access.now)] += 1
        else:
            outcomes["noops" if _stands(connection, session.graph_id, label) else "skipped"] += 1
    return dict(outcomes)


def write_label(connection: sqlite3.Connection, graph_id: int, label: Label, now: float) -> str:
    """Write one label; returns `created`, `updated` or `noops`.  Raises `Refusal`: 404, 422."""
    entity = _existing_entity(connection, graph_id, label)
    current = current_label(connection, graph_id, label.entity_type, entity)
    metadata, origins = kept_text(label.metadata), kept_text(label.key_origins or {})
    if current is not None and (current["metadata"], current["key_origins"]) == (metadata, origins):
        return "noops"
    version = 1 if current is None else current["version"] + 1
    connection.execute(
        "INSERT INTO labels (graph_id, entity_type, entity, version, metadata, key_origins, written_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (graph_id, label.entity_type, entity, version, metadata, origins, now),
    )
    return "created" if current is None else "updated"


def _stands(connection: sqlite3.Connection, graph_id: int, label: Label) -> bool:
    current = current_label(connection, graph_id, label.entity_type, label.entity)
    return current is not None and bool(current["metadata"] == kept_text(label.metadata))


def _existing_entity(connection: sqlite3.Connection, graph_id: int, label: Label) -> str:
    entity = label.entity
    if entity is None:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"a label of a {label.entity_type} must name it")
    if label.entity_type == "dag":
        return entity
    table, column = {"job": ("jobs", "uid"), "artifact": ("artifacts", "digest")}[label.entity_type]
    known = connection.execute(f"SELECT 1 FROM {table} WHERE graph_id = ? AND {column} = ?", (graph_id, entity))
    if known.fetchone() is None:
        raise Refusal(HTTPStatus.NOT_FOUND, f"the lineage has no such {label.entity_type}: {entity}")
    return entity


def current_label(
    connection: sqlite3.Connection, graph_id: int, entity_type: str, entity: str | None
) -> sqlite3.Row | None:
    """The newest version of an entity's label document, a row of `labels`; None where there is none."""
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM labels WHERE graph_id = ? AND entity_type = ? AND entity = ? ORDER BY version DESC LIMIT 1",
        (graph_id, entity_type, entity),
    ).fetchone()
    return row


def label_versions(
    connection: sqlite3.Connection, lineage_hash: str, reader: Reader, entity_type: str, entity: str
) -> list[dict[str, object]]:
    """Every version of an entity's label document, the oldest first.

    Raises `Refusal` (404) where there is none that this reader may know of.
    """
    lineage = readable_lineage(connection, lineage_hash, reader)
    rows = connection.execute(
        "SELECT * FROM labels WHERE graph_id = ? AND entity_type = ? AND entity = ? ORDER BY version",
        (lineage["graph_id"], entity_type, entity),
    ).fetchall()
    if not rows:
        raise Refusal(HTTPStatus.NOT_FOUND, "no labels are published for this")
    names = {"job": {"jobUid": entity}, "artifact": {"artifactHash": entity}}.get(entity_type, {})
    return [
        {
            "entityType": entity_type,
            "sessionHash": lineage_hash,
            **names,
            "version": row["version"],
            "metadata": read_text(row["metadata"]),
            "keyOrigins": read_text(row["key_origins"]),
        }
        for row in rows
    ]
