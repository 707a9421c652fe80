"""Reading of the labels of published lineages, limited to what the reader may read."""

import heapq
from collections.abc import Iterator
from http import HTTPStatus
from itertools import islice

from msgspec import Struct

from roar_publisher.registry.http.bounds import REPLY_BYTES, json_bytes, up_to_size
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.reading import shown_lineage
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.jobs import uid_of_alias
from roar_publisher.registry.store.label_versions import (
    Entity,
    LabelInLineage,
    Version,
    has_version_before,
    labels_of_artifact,
    versions_before,
)

MAX_VERSIONS = 1000
"""Maximum versions in one reply."""
MAX_LINEAGES = 100
"""Maximum lineages whose label of an artifact is returned with the artifact."""


class History(Struct, frozen=True):
    """Some versions of label documents.

    `documents` are ordered from oldest to newest. `before` is the version before which older ones exist; None if there
    are none, or none that can be requested.
    """

    documents: list[dict[str, object]]
    before: int | None = None


def label_versions(
    connection: Connection,
    lineage_hash: str,
    reader: Reader,
    entity_type: str,
    entity: str,
    *,
    before: int | None = None,
    limit: int = MAX_VERSIONS,
) -> History:
    """Return the newest versions of an entity's label document, or the newest before a version.

    There are up to `limit`: as many as fit in `REPLY_BYTES`, but at least one. Raises `Refusal` (404) if this reader
    can see none.
    """
    lineage = shown_lineage(connection, lineage_hash, reader)
    if entity_type == "job":
        entity = uid_of_alias(connection, lineage.graph_id, entity)
    labelled = Entity(lineage.graph_id, entity_type, entity)
    documents = (_document(labelled, lineage.hash, each) for each in versions_before(connection, labelled, before))
    chosen = up_to_size(islice(documents, limit), REPLY_BYTES, json_bytes)
    if not chosen:
        raise no_labels()
    oldest = chosen[-1]["version"]
    assert isinstance(oldest, int)
    more = has_version_before(connection, labelled, oldest)
    return History(chosen[::-1], oldest if more else None)


def artifact_label_versions(connection: Connection, digest: str, reader: Reader) -> History:
    """Return the newest versions of an artifact's label documents in all lineages, at most `MAX_VERSIONS`.

    Only the `MAX_LINEAGES` most credible lineages count (`access.CREDIBILITY`), the newest of several. There are as
    many versions as fit in `REPLY_BYTES`; older ones must be requested per lineage. Raises `Refusal` (404) if this
    reader can see none.
    """
    labelled = list(labels_of_artifact(connection, digest, reader, MAX_LINEAGES))
    histories = (_dated_documents(connection, label) for label in labelled)
    newest = heapq.merge(*histories, key=lambda dated: dated[0], reverse=True)
    chosen = up_to_size((document for _, document in islice(newest, MAX_VERSIONS)), REPLY_BYTES, json_bytes)
    if not chosen:
        raise no_labels()
    return History(chosen[::-1])


def current_artifact_labels(connection: Connection, digest: str, reader: Reader) -> list[dict[str, object]]:
    """Return the newest version of an artifact's label document in each lineage.

    If documents contradict each other, the last one takes precedence: that of the most credible lineage
    (`access.CREDIBILITY`), and the newest of several. Lineages beyond `MAX_LINEAGES` or `REPLY_BYTES` are left out.
    The list is empty if this reader can see none.
    """
    labelled = labels_of_artifact(connection, digest, reader, MAX_LINEAGES)
    documents = (_document(found.entity, found.lineage_hash, found.label.version()) for found in labelled)
    return up_to_size(documents, REPLY_BYTES, json_bytes)[::-1]


def current_label_document(
    connection: Connection, lineage_hash: str, reader: Reader, entity_type: str, entity: str
) -> list[dict[str, object]]:
    """Return the newest version of an entity's label document in one lineage.

    Raises `Refusal` (404) if this reader can see none.
    """
    return label_versions(connection, lineage_hash, reader, entity_type, entity, limit=1).documents


def no_labels() -> Refusal:
    """Return a 404 that says that this reader can see no labels."""
    return Refusal(HTTPStatus.NOT_FOUND, "no labels are published for this")


def _dated_documents(
    connection: Connection, found: LabelInLineage
) -> Iterator[tuple[tuple[float, str, int], dict[str, object]]]:
    """Yield all versions of a label document, newest first, each with a sort key."""
    for version in versions_before(connection, found.entity):
        key = (version.written_at, found.lineage_hash, version.number)
        yield key, _document(found.entity, found.lineage_hash, version)


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
