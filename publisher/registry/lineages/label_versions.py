"""Storage of label document versions: the newest in full, each earlier one as its difference to the next.

Every `WHOLE_EACH`-th version is stored in full, so reading an old one takes a bounded number of steps. If the earlier
versions of one entity exceed `HISTORY_BYTES`, the oldest are dropped. No other version depends on them.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from roar_publisher.registry.http.bounds import within
from roar_publisher.registry.lineages.differences import difference, restored
from roar_publisher.registry.store.documents import kept_text, read_text

WHOLE_EACH = 100
"""Migrations rely on this value, so changing it needs a migration."""
HISTORY_BYTES = 16 * 1024 * 1024

_OF_ENTITY = "graph_id = ? AND entity_type = ? AND entity = ?"


@dataclass(frozen=True, slots=True)
class Entity:
    """The entity of a label document. `name` is a job's uid, an artifact's digest, or `""` for the lineage."""

    graph_id: int
    type: str
    name: str

    @property
    def key(self) -> tuple[int, str, str]:
        """The values of the columns that identify the entity."""
        return self.graph_id, self.type, self.name


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a label document. `written_at` is in Unix seconds."""

    number: int
    metadata: dict[str, Any]
    key_origins: dict[str, Any]
    written_at: float


def define_functions(connection: sqlite3.Connection) -> None:
    """Register the SQL function that a migration calls."""
    connection.create_function("label_difference", 2, _difference_text, deterministic=True)


def current_label(connection: sqlite3.Connection, entity: Entity) -> sqlite3.Row | None:
    """Return the newest version of an entity's label document, as a row of `labels`; None if there is none."""
    row: sqlite3.Row | None = connection.execute(
        f"SELECT * FROM labels WHERE {_OF_ENTITY} ORDER BY version DESC LIMIT 1", entity.key
    ).fetchone()
    return row


def add_version(
    connection: sqlite3.Connection,
    entity: Entity,
    current: sqlite3.Row | None,
    metadata: str,
    key_origins: str,
    now: float,
) -> None:
    """Write the next version.

    `current` is the newest so far. `metadata` and `key_origins` are stored texts of JSON objects.
    """
    number, history = 1, 0
    if current is not None:
        number = current["version"] + 1
        history = current["history_bytes"] + _shorten(connection, entity, current, metadata, key_origins)
        history -= _drop_oldest(connection, entity, history - HISTORY_BYTES)
    connection.execute(
        "INSERT INTO labels (graph_id, entity_type, entity, version, metadata, key_origins, written_at, is_difference,"
        " history_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?)",
        (*entity.key, number, metadata, key_origins, now, history),
    )


def versions_before(connection: sqlite3.Connection, entity: Entity, before: int | None = None) -> Iterator[Version]:
    """Yield the versions before the number `before`, or all of them, newest first. They are read lazily."""
    metadata: dict[str, Any] = {}
    origins: dict[str, Any] = {}
    rows = connection.execute(
        f"SELECT * FROM labels WHERE {_OF_ENTITY} AND version <= ? ORDER BY version DESC",
        (*entity.key, _whole_from(connection, entity, before)),
    )
    for row in rows:
        read, other = read_text(row["metadata"]), read_text(row["key_origins"])
        if row["is_difference"]:
            read, other = restored(metadata, read), restored(origins, other)
        metadata, origins = read, other
        if before is None or row["version"] < before:
            yield Version(row["version"], metadata, origins, row["written_at"])


def has_version_before(connection: sqlite3.Connection, entity: Entity, number: int) -> bool:
    """Return whether an older version is stored."""
    row = connection.execute(f"SELECT 1 FROM labels WHERE {_OF_ENTITY} AND version < ? LIMIT 1", (*entity.key, number))
    return row.fetchone() is not None


def _whole_from(connection: sqlite3.Connection, entity: Entity, before: int | None) -> int:
    """Return the version to start restoring from: the newest, or the next one that is stored in full."""
    newest = current_label(connection, entity)
    if newest is None:
        return 0
    if before is None or before > newest["version"]:
        return int(newest["version"])
    (number,) = connection.execute(
        f"SELECT min(version) FROM labels WHERE {_OF_ENTITY} AND version >= ? AND NOT is_difference",
        (*entity.key, before),
    ).fetchone()
    return int(number)


def _shorten(
    connection: sqlite3.Connection, entity: Entity, current: sqlite3.Row, metadata: str, key_origins: str
) -> int:
    """Store the previous newest version as a difference to the new one. Return the bytes that it now takes."""
    texts = current["metadata"], current["key_origins"]
    if current["version"] % WHOLE_EACH:
        texts = _difference_text(metadata, texts[0]), _difference_text(key_origins, texts[1])
        connection.execute(
            f"UPDATE labels SET metadata = ?, key_origins = ?, is_difference = 1 WHERE {_OF_ENTITY} AND version = ?",
            (*texts, *entity.key, current["version"]),
        )
    return len(texts[0]) + len(texts[1])


def _drop_oldest(connection: sqlite3.Connection, entity: Entity, excess: int) -> int:
    """Drop versions until at least `excess` bytes are free. Return the number of freed bytes."""
    if excess <= 0:
        return 0
    sizes = connection.execute(
        f"SELECT version, length(metadata) + length(key_origins) AS size FROM labels WHERE {_OF_ENTITY}"
        " ORDER BY version",
        entity.key,
    )
    dropped = within(sizes, excess, lambda row: int(row["size"]))
    sizes.close()
    for row in dropped:
        connection.execute(f"DELETE FROM labels WHERE {_OF_ENTITY} AND version = ?", (*entity.key, row["version"]))
    return sum(row["size"] for row in dropped)


def _difference_text(newer: str, older: str) -> str:
    return kept_text(difference(read_text(newer), read_text(older)))
