"""Reading labels of published lineages, each reader what that reader may read."""

import sqlite3
from collections.abc import Iterable
from http import HTTPStatus

from roar_publisher.registry.documents import read_text
from roar_publisher.registry.labels import job_uid_of
from roar_publisher.registry.lineages import shown_lineage
from roar_publisher.registry.refusals import Refusal
from roar_publisher.registry.scope import CREDIBILITY, READABLE, Reader

MOST_VERSIONS = 1000
"""Versions of one artifact's labels that are returned at once, over all lineages."""
MOST_LINEAGES = 100
"""Lineages whose label of one artifact is returned with the artifact."""

_OF_ARTIFACT = f"""
    FROM artifacts JOIN lineages USING (graph_id)
    JOIN labels ON labels.graph_id = artifacts.graph_id AND entity_type = 'artifact' AND entity = digest
    WHERE digest = :digest AND {READABLE}
"""


def label_versions(
    connection: sqlite3.Connection, lineage_hash: str, reader: Reader, entity_type: str, entity: str
) -> list[dict[str, object]]:
    """Every version of an entity's label document, the oldest first.

    Raises `Refusal` (404) where there is none that this reader may know of.
    """
    lineage = shown_lineage(connection, lineage_hash, reader)
    if entity_type == "job":
        entity = job_uid_of(connection, lineage["graph_id"], entity)
    rows = connection.execute(
        "SELECT labels.*, ? AS hash FROM labels WHERE graph_id = ? AND entity_type = ? AND entity = ? ORDER BY version",
        (lineage["hash"], lineage["graph_id"], entity_type, entity),
    )
    return _documents(rows)


def artifact_label_versions(connection: sqlite3.Connection, digest: str, reader: Reader) -> list[dict[str, object]]:
    """The last `MOST_VERSIONS` versions of an artifact's label documents in all lineages, the oldest first.

    Raises `Refusal` (404) where there is none that this reader may know of.
    """
    newest = connection.execute(
        f"SELECT labels.*, hash {_OF_ARTIFACT} ORDER BY written_at DESC, hash DESC, version DESC LIMIT :most",
        {"digest": digest, "most": MOST_VERSIONS, **reader.parameters()},
    )
    return _documents(reversed(newest.fetchall()))


def current_artifact_labels(connection: sqlite3.Connection, digest: str, reader: Reader) -> list[dict[str, object]]:
    """The newest version of an artifact's label document in each lineage.  The last counts where two of them say
    something else: that of the lineage that counts most (`scope.CREDIBILITY`), the newest of several.  Of lineages
    beyond `MOST_LINEAGES` nothing is said.  Empty where there is none that this reader may know of.
    """
    newest = connection.execute(
        f"SELECT labels.*, hash, max(version) {_OF_ARTIFACT} GROUP BY hash"
        f" ORDER BY {CREDIBILITY} DESC, written_at DESC, hash LIMIT :most",
        {"digest": digest, "most": MOST_LINEAGES, **reader.parameters()},
    )
    return [_document(row) for row in reversed(newest.fetchall())]


def no_labels() -> Refusal:
    """404: there are none that this reader may know of."""
    return Refusal(HTTPStatus.NOT_FOUND, "no labels are published for this")


def _documents(rows: Iterable[sqlite3.Row]) -> list[dict[str, object]]:
    documents = [_document(row) for row in rows]
    if not documents:
        raise no_labels()
    return documents


def _document(row: sqlite3.Row) -> dict[str, object]:
    names = {"job": {"jobUid": row["entity"]}, "artifact": {"artifactHash": row["entity"]}}
    return {
        "entityType": row["entity_type"],
        "sessionHash": row["hash"],
        **names.get(row["entity_type"], {}),
        "version": row["version"],
        "metadata": read_text(row["metadata"]),
        "keyOrigins": read_text(row["key_origins"]),
    }
