"""The table of artifacts. A digest that only links name is an artifact, too; its `hashes` are null."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from roar_publisher.registry.store.access import CREDIBILITY, READABLE, Reader, reader_parameters
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.graphs import count_artifacts, recount_artifacts
from roar_publisher.registry.store.jobs import LinkRow
from roar_publisher.registry.store.lineages import Lineage, lineage_of
from roar_publisher.registry.store.lists import in_chunks
from roar_publisher.registry.store.rows import insert_rows

_PUBLISHED = f"FROM artifacts JOIN lineages USING (graph_id) WHERE digest = :digest AND {READABLE}"
_INTO_ARTIFACTS = {
    4: "INSERT INTO artifacts (graph_id, digest, hashes, size) VALUES (?, ?, ?, ?)",
    6: "INSERT INTO artifacts (graph_id, digest, hashes, size, source_type, metadata) VALUES (?, ?, ?, ?, ?, ?)",
}
_SENT = "FROM artifacts WHERE graph_id = :graph AND digest IN (:digests) AND hashes IS NOT NULL"
_IF_NEW = "ON CONFLICT (graph_id, digest) DO NOTHING"
_IF_ONLY_LINKED = """
    ON CONFLICT (graph_id, digest) DO UPDATE SET hashes = excluded.hashes, size = excluded.size,
    source_type = excluded.source_type, metadata = excluded.metadata WHERE artifacts.hashes IS NULL
"""
_INSERT_LINKED = """
    INSERT INTO artifacts (graph_id, digest, size, source_type, path) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (graph_id, digest) DO
"""


ArtifactRow = tuple[str, str, int] | tuple[str, str, int, str | None, str | None]
"""An artifact, as stored: digest, hashes (a text) and size in bytes, and possibly source type and metadata (a text).
There are as many of these and of `jobs.LinkRow` as a lineage has files, so neither is a class of its own."""


class PublishedArtifact(NamedTuple):
    """An artifact of a lineage.

    `hashes` is a JSON text, and None if only links name the artifact. `composite` is whether it has components.
    """

    digest: str
    hashes: str | None
    size: int | None
    source_type: str | None
    path: str | None
    metadata: str | None
    composite: bool
    lineage: Lineage


def insert_artifacts(connection: Connection, graph_id: int, rows: Sequence[ArtifactRow]) -> int:
    """Add the artifacts that the graph does not have or knows only from links. Return how many these are."""
    values = [(graph_id, *row) for row in rows]
    created = changed = insert_rows(connection, _INTO_ARTIFACTS, _IF_NEW, values)
    if created < len(rows):
        changed += insert_rows(connection, _INTO_ARTIFACTS, _IF_ONLY_LINKED, values)
    count_artifacts(connection, graph_id, created)
    return changed


def insert_composite(connection: Connection, graph_id: int, row: ArtifactRow, members: str) -> bool:
    """Add a composite artifact, or its members to an existing plain artifact. Return whether something was new."""
    count_artifacts(connection, graph_id, 0 if has_artifact(connection, graph_id, row[0]) else 1)
    added = connection.execute(
        "INSERT INTO artifacts (graph_id, digest, hashes, size, source_type, metadata, composite)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (graph_id, digest) DO UPDATE SET composite = excluded.composite,"
        " hashes = coalesce(artifacts.hashes, excluded.hashes),"
        " size = CASE WHEN artifacts.hashes IS NULL THEN excluded.size ELSE artifacts.size END"
        " WHERE artifacts.composite IS NULL RETURNING id",
        (graph_id, *_whole(row), members),
    ).fetchone()
    return added is not None


def set_members(connection: Connection, graph_id: int, row: ArtifactRow, members: str) -> bool:
    """Add the members of a composite to an artifact that has none, without changing its other data.

    Return whether the members were new.
    """
    digest, hashes, size, *_ = row
    added = connection.execute(
        "UPDATE artifacts SET composite = ?, hashes = coalesce(hashes, ?), size = coalesce(size, ?)"
        " WHERE graph_id = ? AND digest = ? AND composite IS NULL",
        (members, hashes, size, graph_id, digest),
    )
    return added.rowcount == 1


def insert_linked(connection: Connection, graph_id: int, links: Sequence[LinkRow]) -> None:
    """Add the artifacts that links name.

    An artifact that was sent itself is not changed. Of several paths, the smallest stays.
    """
    not_sent = _not_sent(connection, graph_id, sorted({link[2] for link in links}))
    if not not_sent:
        return
    values = []
    for _job, _kind, digest, path, *others in links:
        if digest in not_sent:
            size, source_type = others[:2] or (None, None)
            values.append((graph_id, digest, size, source_type, path))
    created = connection.executemany(f"{_INSERT_LINKED} NOTHING", values).rowcount
    if created < len(values):
        connection.executemany(
            f"{_INSERT_LINKED} UPDATE SET size = coalesce(artifacts.size, excluded.size),"
            " source_type = coalesce(artifacts.source_type, excluded.source_type),"
            " path = CASE WHEN excluded.path < artifacts.path THEN excluded.path ELSE artifacts.path END"
            " WHERE artifacts.hashes IS NULL AND (excluded.path < artifacts.path"
            " OR (artifacts.size IS NULL AND excluded.size IS NOT NULL))",
            values,
        )
    count_artifacts(connection, graph_id, created)


def move_artifacts(connection: Connection, graph_id: int, new_graph_id: int) -> None:
    """Move the artifacts of a graph to another one that does not have them, or knows them only from links."""
    connection.execute(
        "DELETE FROM artifacts WHERE graph_id = ? AND hashes IS NULL"
        " AND digest IN (SELECT digest FROM artifacts WHERE graph_id = ? AND hashes IS NOT NULL)",
        (new_graph_id, graph_id),
    )
    connection.execute(
        "UPDATE artifacts SET graph_id = :new WHERE graph_id = :old AND NOT EXISTS"
        " (SELECT 1 FROM artifacts AS known WHERE known.graph_id = :new AND known.digest = artifacts.digest)",
        {"old": graph_id, "new": new_graph_id},
    )
    recount_artifacts(connection, new_graph_id)


def artifact_sizes(connection: Connection, graph_id: int) -> Iterator[int]:
    """Yield the approximate sizes in bytes of a graph's artifacts, as stored. They are read lazily."""
    rows = connection.stream(
        "SELECT length(coalesce(hashes, '')) + length(coalesce(metadata, '')) + length(coalesce(composite, ''))"
        " FROM artifacts WHERE graph_id = :graph",
        {"graph": graph_id},
    )
    return (size for (size,) in rows)


def hashes_of(connection: Connection, graph_id: int, digests: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the digest and the hashes, a JSON text, of those artifacts of a graph whose hashes are known."""
    for some in in_chunks(digests):
        rows = connection.execute(
            "SELECT digest, hashes FROM artifacts WHERE digest IN (:digests) AND graph_id = :graph"
            " AND hashes IS NOT NULL",
            {"graph": graph_id, "digests": list(some)},
        )
        yield from ((digest, hashes) for digest, hashes in rows)


def has_artifact(connection: Connection, graph_id: int, digest: str) -> bool:
    """Return whether a graph has an artifact."""
    found = connection.execute("SELECT 1 FROM artifacts WHERE graph_id = ? AND digest = ?", (graph_id, digest))
    return found.fetchone() is not None


def is_published(connection: Connection, digest: str, reader: Reader) -> bool:
    """Return whether a lineage that this reader can see has an artifact."""
    found = connection.execute(f"SELECT 1 {_PUBLISHED} LIMIT 1", {"digest": digest, **reader_parameters(reader)})
    return found.fetchone() is not None


def find_published(connection: Connection, digest: str, reader: Reader) -> PublishedArtifact | None:
    """Return an artifact as the first of the most credible lineages has it (`access.CREDIBILITY`).

    Return None if this reader can see none.
    """
    row = connection.execute(
        f"SELECT artifacts.*, lineages.* FROM (SELECT artifacts.id {_PUBLISHED}"
        f" ORDER BY {CREDIBILITY} DESC, published_at, hash LIMIT 1) AS chosen"
        " JOIN artifacts USING (id) JOIN lineages USING (graph_id)",
        {"digest": digest, **reader_parameters(reader)},
    ).fetchone()
    if row is None:
        return None
    return PublishedArtifact(
        row["digest"],
        row["hashes"],
        row["size"],
        row["source_type"],
        row["path"],
        row["metadata"],
        row["composite"] is not None,
        lineage_of(row),
    )


def find_members(connection: Connection, digest: str, reader: Reader) -> str | None:
    """Return the members of a composite artifact, chosen as in `find_published`; None if this reader can see none."""
    row = connection.execute(
        f"SELECT composite {_PUBLISHED} AND composite IS NOT NULL"
        f" ORDER BY {CREDIBILITY} DESC, published_at, hash LIMIT 1",
        {"digest": digest, **reader_parameters(reader)},
    ).fetchone()
    return None if row is None else row["composite"]


def next_digest(connection: Connection, after: str, before: str) -> str | None:
    """Return the first digest between two texts, published or not; None if there is none."""
    row = connection.execute(
        "SELECT digest FROM artifacts WHERE digest > ? AND digest < ? ORDER BY digest LIMIT 1", (after, before)
    ).fetchone()
    return None if row is None else row["digest"]


def _whole(row: ArtifactRow) -> Sequence[object]:
    return row if len(row) == 5 else (*row, None, None)


def _not_sent(connection: Connection, graph_id: int, digests: Sequence[str]) -> set[str]:
    """Return the digests that a graph does not know, or knows only from links. Usually there are none."""
    chosen = {"graph": graph_id, "digests": digests}
    (count,) = connection.execute(f"SELECT count(*) {_SENT}", chosen).fetchone()
    if count == len(digests):
        return set()
    return set(digests).difference(digest for (digest,) in connection.execute(f"SELECT digest {_SENT}", chosen))
