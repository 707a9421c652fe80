"""Reading of the labels of published lineages, limited to what the reader may read."""

import heapq
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice

from roar_publisher.registry.accounts.scope import CREDIBILITY, READABLE, Reader
from roar_publisher.registry.http.bounds import ANSWER_BYTES, json_bytes, within
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.label_versions import Entity, Version, has_version_before, versions_before
from roar_publisher.registry.lineages.labels import job_uid_of
from roar_publisher.registry.lineages.reading import shown_lineage
from roar_publisher.registry.store.documents import read_text

MOST_VERSIONS = 1000
"""Maximum versions in one reply."""
MOST_LINEAGES = 100
"""Maximum lineages whose label of an artifact is returned with the artifact."""

_NEWEST_OF_ARTIFACT = f"""
    SELECT labels.*, chosen.* FROM (
        SELECT graph_id, hash, digest, {CREDIBILITY} AS credibility FROM artifacts JOIN lineages USING (graph_id)
        WHERE digest = :digest AND {READABLE} AND EXISTS (
            SELECT 1 FROM labels WHERE labels.graph_id = artifacts.graph_id AND entity_type = 'artifact'
                AND entity = digest
        )
        ORDER BY credibility DESC, published_at DESC, hash LIMIT {MOST_LINEAGES}
    ) AS chosen CROSS JOIN labels ON labels.graph_id = chosen.graph_id AND entity_type = 'artifact' AND entity = digest
        AND version = (
            SELECT max(version) FROM labels AS every
            WHERE every.graph_id = chosen.graph_id AND every.entity_type = 'artifact' AND every.entity = digest
        )
"""
"""The lineages are chosen before their documents are read: there may be gigabytes of these."""


@dataclass(frozen=True, slots=True)
class History:
    """Some versions of label documents.

    `documents` are ordered from oldest to newest. `before` is the version before which older ones exist; None if there
    are none, or none that can be requested.
    """

    documents: list[dict[str, object]]
    before: int | None = None


def label_versions(
    connection: sqlite3.Connection,
    lineage_hash: str,
    reader: Reader,
    entity_type: str,
    entity: str,
    *,
    before: int | None = None,
    limit: int = MOST_VERSIONS,
) -> History:
    """Return the newest versions of an entity's label document, or the newest before a version.

    There are up to `limit`: as many as fit in `ANSWER_BYTES`, but at least one. Raises `Refusal` (404) if this reader
    can see none.
    """
    lineage = shown_lineage(connection, lineage_hash, reader)
    if entity_type == "job":
        entity = job_uid_of(connection, lineage["graph_id"], entity)
    labelled = Entity(lineage["graph_id"], entity_type, entity)
    documents = (_document(labelled, lineage["hash"], each) for each in versions_before(connection, labelled, before))
    chosen = within(islice(documents, limit), ANSWER_BYTES, json_bytes)
    if not chosen:
        raise no_labels()
    oldest = chosen[-1]["version"]
    assert isinstance(oldest, int)
    more = has_version_before(connection, labelled, oldest)
    return History(chosen[::-1], oldest if more else None)


def artifact_label_versions(connection: sqlite3.Connection, digest: str, reader: Reader) -> History:
    """The last `MOST_VERSIONS` versions of an artifact's label documents in `MOST_LINEAGES` lineages, those that count
    most (`scope.CREDIBILITY`) and were published last; fewer where they take more than `ANSWER_BYTES`.  Older ones are
    asked for lineage by lineage.

    Only the `MOST_LINEAGES` most recently labelled lineages count. There are as many versions as fit in `ANSWER_BYTES`;
    older ones must be requested per lineage. Raises `Refusal` (404) if this reader can see none.
    """
    labelled = connection.execute(_NEWEST_OF_ARTIFACT, {"digest": digest, **reader.parameters()}).fetchall()
    histories = (_dated_documents(connection, row) for row in labelled)
    newest = heapq.merge(*histories, key=lambda dated: dated[0], reverse=True)
    chosen = within((document for _, document in islice(newest, MOST_VERSIONS)), ANSWER_BYTES, json_bytes)
    if not chosen:
        raise no_labels()
    return History(chosen[::-1])


def current_artifact_labels(connection: sqlite3.Connection, digest: str, reader: Reader) -> list[dict[str, object]]:
    """Return the newest version of an artifact's label document in each lineage.

    If documents contradict each other, the last one takes precedence: that of the most credible lineage
    (`scope.CREDIBILITY`), and the newest of several. Lineages beyond `MOST_LINEAGES` or `ANSWER_BYTES` are left out.
    The list is empty if this reader can see none.
    """
    newest = connection.execute(
        f"{_NEWEST_OF_ARTIFACT} ORDER BY credibility DESC, written_at DESC, hash",
        {"digest": digest, **reader.parameters()},
    )
    documents = (_whole_document(row) for row in newest)
    return within(documents, ANSWER_BYTES, json_bytes)[::-1]


def current_label_document(
    connection: sqlite3.Connection, lineage_hash: str, reader: Reader, entity_type: str, entity: str
) -> list[dict[str, object]]:
    """Return the newest version of an entity's label document in one lineage.

    Raises `Refusal` (404) if this reader can see none.
    """
    return label_versions(connection, lineage_hash, reader, entity_type, entity, limit=1).documents


def no_labels() -> Refusal:
    """Return a 404 that says that this reader can see no labels."""
    return Refusal(HTTPStatus.NOT_FOUND, "no labels are published for this")


def _dated_documents(
    connection: sqlite3.Connection, newest: sqlite3.Row
) -> Iterator[tuple[tuple[float, str, int], dict[str, object]]]:
    """Yield all versions of a label document, newest first, each with a sort key. `newest` is its newest row."""
    labelled = Entity(newest["graph_id"], newest["entity_type"], newest["entity"])
    for version in versions_before(connection, labelled):
        yield (version.written_at, newest["hash"], version.number), _document(labelled, newest["hash"], version)


def _whole_document(row: sqlite3.Row) -> dict[str, object]:
    labelled = Entity(row["graph_id"], row["entity_type"], row["entity"])
    metadata, origins = read_text(row["metadata"]), read_text(row["key_origins"])
    return _document(labelled, row["hash"], Version(row["version"], metadata, origins, row["written_at"]))


def _document(labelled: Entity, lineage_hash: str, version: Version) -> dict[str, object]:
    names = {"job": {"jobUid": labelled.name}, "artifact": {"artifactHash": labelled.name}}
    return {
        "entityType": labelled.type,
        "sessionHash": lineage_hash,
        **names.get(labelled.type, {}),
        "version": version.number,
        "metadata": version.metadata,
        "keyOrigins": version.key_origins,
    }
