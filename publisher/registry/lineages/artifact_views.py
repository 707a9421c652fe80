"""Lookup of published artifacts by digest, limited to what the reader may read."""

import json
from http import HTTPStatus

from roar_publisher.registry.accounts.signin_file import iso_time
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.label_views import current_artifact_labels
from roar_publisher.registry.lineages.reading import SHORTEST_PREFIX
from roar_publisher.registry.store import artifacts
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.lineages import LAST_CHARACTER

MAX_CANDIDATES = 1000
"""Maximum digests that are examined for one prefix, including those that this reader may not see."""


def find_artifact(connection: Connection, digest: str, reader: Reader) -> dict[str, object]:
    """Return an artifact as the first of the most credible lineages has it (`access.CREDIBILITY`).

    `digest` is the whole digest or its first `SHORTEST_PREFIX` or more digits. A whole digest is found even if others
    begin like it. The legacy route of roar asks for each digest before it links it. `hashes` is empty if only links
    name the digest, because the algorithm is then unknown.

    Raises `Refusal`: 404 if this reader can see none, 409 if several digests begin like this, or too many to examine.
    """
    whole = _whole_digest(connection, digest, reader) if len(digest) >= SHORTEST_PREFIX else None
    found = None if whole is None else artifacts.find_published(connection, whole, reader)
    if found is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "no published lineage has this artifact")
    lineage = found.lineage
    return {
        "hash": found.digest,
        "hashes": json.loads(found.hashes or "[]"),
        "size": found.size,
        "source_type": found.source_type,
        "path": found.path,
        "original_session_hash": lineage.hash,
        "registeredAt": iso_time(lineage.published_at),
        "labels": current_artifact_labels(connection, found.digest, reader),
        "scope": {
            "visibility": lineage.scope.visibility,
            "owner_id": lineage.scope.owner_id or lineage.owner or None,
            "project_id": lineage.scope.project_id,
        },
    }


def _whole_digest(connection: Connection, prefix: str, reader: Reader) -> str | None:
    if artifacts.is_published(connection, prefix, reader):
        return prefix
    found: list[str] = []
    candidate = prefix
    for _ in range(MAX_CANDIDATES):
        following = artifacts.next_digest(connection, candidate, prefix + LAST_CHARACTER)
        if following is None:
            return found[0] if found else None
        candidate = following
        if artifacts.is_published(connection, candidate, reader):
            found.append(candidate)
        if len(found) > 1:
            break
    raise Refusal(HTTPStatus.CONFLICT, f"several artifacts begin with {prefix}: give more of the digest")
