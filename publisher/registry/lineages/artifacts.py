"""Lookup of published artifacts by digest, limited to what the reader may read."""

import json
import sqlite3
from http import HTTPStatus

from roar_publisher.registry.accounts.scope import CREDIBILITY, READABLE, Reader
from roar_publisher.registry.accounts.signin_file import iso_time
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.label_views import current_artifact_labels
from roar_publisher.registry.lineages.reading import LAST_CHARACTER, SHORTEST_PREFIX

_PUBLISHED = f"FROM artifacts JOIN lineages USING (graph_id) WHERE digest = :digest AND {READABLE}"
MOST_CANDIDATES = 1000
"""Digests that are looked at for one prefix, those that this reader may not know of included."""


def find_artifact(connection: sqlite3.Connection, digest: str, reader: Reader) -> dict[str, object]:
    """An artifact by its digest, as the first of those lineages has it that count most (`scope.CREDIBILITY`); or by the
    first `SHORTEST_PREFIX` or more digits of it.  A whole digest is found whatever others begin like it.

    The legacy route of roar asks for each digest before it links it.  `hashes` is empty where only links name the
    digest: nobody has said by which algorithm.  Raises `Refusal`: 404 where nobody has it, 409 where several digests
    begin like this, or too many to look at.
    """
    whole = _whole_digest(connection, digest, reader) if len(digest) >= SHORTEST_PREFIX else None
    if whole is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "no published lineage has this artifact")
    row = connection.execute(
        f"SELECT artifacts.*, lineages.* FROM (SELECT artifacts.id {_PUBLISHED}"
        f" ORDER BY {CREDIBILITY} DESC, published_at, hash LIMIT 1) AS chosen"
        " JOIN artifacts USING (id) JOIN lineages USING (graph_id)",
        {"digest": whole, **reader.parameters()},
    ).fetchone()
    return {
        "hash": row["digest"],
        "hashes": json.loads(row["hashes"] or "[]"),
        "size": row["size"],
        "source_type": row["source_type"],
        "path": row["path"],
        "original_session_hash": row["hash"],
        "registeredAt": iso_time(row["published_at"]),
        "labels": current_artifact_labels(connection, row["digest"], reader),
        "scope": {
            "visibility": row["visibility"],
            "owner_id": row["scope_owner"] or row["owner"] or None,
            "project_id": row["scope_project"],
        },
    }


def _whole_digest(connection: sqlite3.Connection, prefix: str, reader: Reader) -> str | None:
    if _is_published(connection, prefix, reader):
        return prefix
    found: list[str] = []
    candidate = prefix
    for _ in range(MOST_CANDIDATES):
        row = connection.execute(
            "SELECT digest FROM artifacts WHERE digest > ? AND digest < ? ORDER BY digest LIMIT 1",
            (candidate, prefix + LAST_CHARACTER),
        ).fetchone()
        if row is None:
            return found[0] if found else None
        candidate = row["digest"]
        if _is_published(connection, candidate, reader):
            found.append(candidate)
        if len(found) > 1:
            break
    raise Refusal(HTTPStatus.CONFLICT, f"several artifacts begin with {prefix}: give more of the digest")


def _is_published(connection: sqlite3.Connection, digest: str, reader: Reader) -> bool:
    found = connection.execute(f"SELECT 1 {_PUBLISHED} LIMIT 1", {"digest": digest, **reader.parameters()})
    return found.fetchone() is not None
