"""The table of label documents: the newest version in full, each earlier one as its difference to the next.

Every `FULL_VERSION_INTERVAL`-th version is stored in full, so reading an old one takes a bounded number of steps. If
the earlier versions of one entity exceed `HISTORY_BYTES`, the oldest are dropped. No other version depends on them.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec import Struct

from roar_publisher.registry.http.bounds import up_to_size
from roar_publisher.registry.store.access import CREDIBILITY, READABLE, Reader, reader_parameters
from roar_publisher.registry.store.database import Connection, Row
from roar_publisher.registry.store.differences import difference, restored
from roar_publisher.registry.store.documents import dump_document, load_document

FULL_VERSION_INTERVAL = 100
"""Migrations rely on this value, so changing it needs a migration."""
HISTORY_BYTES = 16 * 1024 * 1024
VERSIONS_AT_ONCE = 10
"""Versions of an entity that are in memory at once, as stored. Those of a hundred lineages are merged."""

_OF_ENTITY = "graph_id = ? AND entity_type = ? AND entity = ?"
_LAST_VERSION = 2**63 - 1
_NEXT_IN_LINEAGE = f"""
    SELECT * FROM labels WHERE graph_id = :graph AND (entity_type, entity) = (
        SELECT entity_type, entity FROM labels
        WHERE graph_id = :graph AND (entity_type, entity, version) > (:type, :entity, {_LAST_VERSION})
        ORDER BY entity_type, entity, version LIMIT 1
    ) ORDER BY version DESC LIMIT 1
"""
"""Both engines seek from entity to entity, and pass over no versions: one entity may have hundreds of thousands."""
_NEWEST_OF_ARTIFACT = f"""
    SELECT labels.*, chosen.hash FROM (
        SELECT graph_id, hash, digest, {CREDIBILITY} AS credibility FROM artifacts JOIN lineages USING (graph_id)
        WHERE digest = :digest AND {READABLE} AND EXISTS (
            SELECT 1 FROM labels WHERE labels.graph_id = artifacts.graph_id AND entity_type = 'artifact'
                AND entity = digest
        )
        ORDER BY credibility DESC, published_at DESC, hash LIMIT :lineages
    ) AS chosen JOIN labels ON labels.graph_id = chosen.graph_id AND entity_type = 'artifact' AND entity = digest
        AND version = (
            SELECT max(version) FROM labels AS every
            WHERE every.graph_id = chosen.graph_id AND every.entity_type = 'artifact' AND every.entity = digest
        )
    ORDER BY credibility DESC, written_at DESC, hash
"""
"""The lineages are chosen before their documents are read: there may be gigabytes of these."""


class Entity(Struct, frozen=True):
    """The entity of a label document. `name` is a job's uid, an artifact's digest, or `""` for the lineage."""

    graph_id: int
    type: str
    name: str

    @property
    def key(self) -> tuple[int, str, str]:
        """The values of the columns that identify the entity."""
        return self.graph_id, self.type, self.name


class Version(Struct, frozen=True):
    """One version of a label document. `written_at` is in Unix seconds."""

    number: int
    metadata: dict[str, Any]
    key_origins: dict[str, Any]
    written_at: float


class StoredLabel(Struct, frozen=True):
    """The newest version of a label document, as stored. `metadata` and `key_origins` are texts of JSON objects.

    `history_bytes` are those of all earlier versions. `written_at` is in Unix seconds.
    """

    number: int
    metadata: str
    key_origins: str
    written_at: float
    history_bytes: int

    @property
    def size(self) -> int:
        """Characters of the document with its origins."""
        return len(self.metadata) + len(self.key_origins)

    def version(self) -> Version:
        """Return the version with parsed documents."""
        return Version(self.number, load_document(self.metadata), load_document(self.key_origins), self.written_at)


class LabelInLineage(NamedTuple):
    """The newest label document of an entity in one of several lineages."""

    lineage_hash: str
    entity: Entity
    label: StoredLabel


def current_label(connection: Connection, entity: Entity) -> StoredLabel | None:
    """Return the newest version of an entity's label document; None if there is none."""
    row = connection.execute(
        f"SELECT * FROM labels WHERE {_OF_ENTITY} ORDER BY version DESC LIMIT 1", entity.key
    ).fetchone()
    return None if row is None else _stored_label(row)


def newest_labels_after(
    connection: Connection, graph_id: int, entity_type: str, entity: str
) -> Iterator[tuple[Entity, StoredLabel]]:
    """Yield the newest label documents of a graph after an entity, by entity type and name. They are read lazily."""
    place = {"graph": graph_id, "type": entity_type, "entity": entity}
    while (row := connection.execute(_NEXT_IN_LINEAGE, place).fetchone()) is not None:
        place |= {"type": row["entity_type"], "entity": row["entity"]}
        yield Entity(row["graph_id"], row["entity_type"], row["entity"]), _stored_label(row)


def labels_of_artifact(connection: Connection, digest: str, reader: Reader, lineages: int) -> Iterator[LabelInLineage]:
    """Yield the newest label document of an artifact in each of the `lineages` most credible lineages with one.

    The most credible lineage comes first (`access.CREDIBILITY`), and the newest document of several. They are read
    lazily.
    """
    rows = connection.stream(_NEWEST_OF_ARTIFACT, {"digest": digest, "lineages": lineages, **reader_parameters(reader)})
    for row in rows:
        entity = Entity(row["graph_id"], row["entity_type"], row["entity"])
        yield LabelInLineage(row["hash"], entity, _stored_label(row))


def add_version(
    connection: Connection,
    entity: Entity,
    current: StoredLabel | None,
    metadata: str,
    key_origins: str,
    now: float,
) -> None:
    """Write the next version.

    `current` is the newest so far. `metadata` and `key_origins` are stored texts of JSON objects.
    """
    number, history = 1, 0
    if current is not None:
        number = current.number + 1
        history = current.history_bytes + _shorten(connection, entity, current, metadata, key_origins)
        history -= _drop_oldest(connection, entity, history - HISTORY_BYTES)
    connection.execute(
        "INSERT INTO labels (graph_id, entity_type, entity, version, metadata, key_origins, written_at, is_difference,"
        " history_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)",
        (*entity.key, number, metadata, key_origins, now, history),
    )


def versions_before(connection: Connection, entity: Entity, before: int | None = None) -> Iterator[Version]:
    """Yield the versions before the number `before`, or all of them, newest first. They are read lazily."""
    metadata: dict[str, Any] = {}
    origins: dict[str, Any] = {}
    for row in _rows_from(connection, entity, _whole_from(connection, entity, before)):
        read, other = load_document(row["metadata"]), load_document(row["key_origins"])
        if row["is_difference"]:
            read, other = restored(metadata, read), restored(origins, other)
        metadata, origins = read, other
        if before is None or row["version"] < before:
            yield Version(row["version"], metadata, origins, row["written_at"])


def _rows_from(connection: Connection, entity: Entity, number: int) -> Iterator[Row]:
    """Yield the rows of a version and of the older ones, newest first, a few at a time."""
    count = VERSIONS_AT_ONCE
    while count == VERSIONS_AT_ONCE:
        rows = connection.execute(
            f"SELECT * FROM labels WHERE {_OF_ENTITY} AND version <= ? ORDER BY version DESC LIMIT ?",
            (*entity.key, number, VERSIONS_AT_ONCE),
        )
        count = 0
        for row in rows:
            count, number = count + 1, row["version"] - 1
            yield row


def has_version_before(connection: Connection, entity: Entity, number: int) -> bool:
    """Return whether an older version is stored."""
    row = connection.execute(f"SELECT 1 FROM labels WHERE {_OF_ENTITY} AND version < ? LIMIT 1", (*entity.key, number))
    return row.fetchone() is not None


def _whole_from(connection: Connection, entity: Entity, before: int | None) -> int:
    """Return the version to start restoring from: the newest, or the next one that is stored in full."""
    newest = current_label(connection, entity)
    if newest is None:
        return 0
    if before is None or before > newest.number:
        return newest.number
    (number,) = connection.execute(
        f"SELECT min(version) FROM labels WHERE {_OF_ENTITY} AND version >= ? AND is_difference = 0",
        (*entity.key, before),
    ).fetchone()
    return int(number)


def _shorten(connection: Connection, entity: Entity, current: StoredLabel, metadata: str, key_origins: str) -> int:
    """Store the previous newest version as a difference to the new one. Return the bytes that it now takes."""
    texts = current.metadata, current.key_origins
    if current.number % FULL_VERSION_INTERVAL:
        texts = difference_text(metadata, texts[0]), difference_text(key_origins, texts[1])
        connection.execute(
            f"UPDATE labels SET metadata = ?, key_origins = ?, is_difference = 1 WHERE {_OF_ENTITY} AND version = ?",
            (*texts, *entity.key, current.number),
        )
    return len(texts[0]) + len(texts[1])


def _drop_oldest(connection: Connection, entity: Entity, excess: int) -> int:
    """Drop versions until at least `excess` bytes are free. Return the number of freed bytes."""
    if excess <= 0:
        return 0
    sizes = connection.execute(
        f"SELECT version, length(metadata) + length(key_origins) AS size FROM labels WHERE {_OF_ENTITY}"
        " ORDER BY version",
        entity.key,
    )
    dropped = up_to_size(sizes, excess, lambda row: int(row["size"]))
    sizes.close()
    for row in dropped:
        connection.execute(f"DELETE FROM labels WHERE {_OF_ENTITY} AND version = ?", (*entity.key, row["version"]))
    return sum(row["size"] for row in dropped)


def label_sizes(connection: Connection, graph_id: int) -> Iterator[int]:
    """Yield the sizes in characters of all versions of a graph's label documents, as stored. They are read lazily."""
    rows = connection.stream(
        "SELECT length(metadata) + length(key_origins) FROM labels WHERE graph_id = :graph", {"graph": graph_id}
    )
    return (size for (size,) in rows)


def move_labels(connection: Connection, graph_id: int, new_graph_id: int) -> None:
    """Move the label documents of a graph to another one that has none, with all their versions."""
    connection.execute("UPDATE labels SET graph_id = ? WHERE graph_id = ?", (new_graph_id, graph_id))


def _stored_label(row: Row) -> StoredLabel:
    return StoredLabel(row["version"], row["metadata"], row["key_origins"], row["written_at"], row["history_bytes"])


def difference_text(newer: str, older: str) -> str:
    """Return the text of the difference between two documents. A migration calls this, too."""
    return dump_document(difference(load_document(newer), load_document(older)))
