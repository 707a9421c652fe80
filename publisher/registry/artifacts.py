"""Published artifacts by their digest, each reader those that the reader may know of."""

import json
import sqlite3
from http import HTTPStatus

from roar_publisher.registry.label_views import current_artifact_labels
from roar_publisher.registry.lineages import LAST_CHARACTER, SHORTEST_PREFIX
from roar_publisher.registry.refusals import Refusal
from roar_publisher.registry.scope import CREDIBILITY, READABLE, Reader
from roar_publisher.registry.signin_file import iso_time


def find_artifact(connection: sqlite3.Connection, digest: str, reader: Reader) -> dict[str, object]:
    """An artifact by its digest or the first `SHORTEST_PREFIX` or more digits of it, as the first of those lineages
    has it that count most (`scope.CREDIBILITY`).

    The legacy route of roar asks for each digest before it links it.  `hashes` is empty where only links name the
    digest: nobody has said by which algorithm.  Raises `Refusal`: 404 where nobody has it, 409 where several digests
    begin like this.
    """
    row = None
    if len(digest) >= SHORTEST_PREFIX:
        found = (
            f"FROM artifacts JOIN lineages USING (graph_id) WHERE digest >= :first AND digest < :last AND {READABLE}"
        )
        sought = {"first": digest, "last": digest + LAST_CHARACTER, **reader.parameters()}
        if len(connection.execute(f"SELECT DISTINCT digest {found} LIMIT 2", sought).fetchall()) > 1:
            raise Refusal(HTTPStatus.CONFLICT, f"several artifacts begin with {digest}: give more of the digest")
        row = connection.execute(
            f"SELECT artifacts.*, lineages.* {found} ORDER BY {CREDIBILITY} DESC, published_at, hash LIMIT 1", sought
        ).fetchone()
    if row is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "no published lineage has this artifact")
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
