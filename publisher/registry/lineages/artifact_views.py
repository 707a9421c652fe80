"""Lookup of published artifacts by digest, limited to what the reader may read."""

import json
from http import HTTPStatus

from roar_publisher.registry.accounts.signin_file import iso_time
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.job_views import shown_metadata
from roar_publisher.registry.lineages.label_views import current_artifact_labels
from roar_publisher.registry.lineages.reading import SHORTEST_PREFIX
from roar_publisher.registry.store import artifacts
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.documents import load_document
from roar_publisher.registry.store.lineages import LAST_CHARACTER

MAX_CANDIDATES = 1000
"""Maximum digests that are examined for one prefix, including those that this reader may not see."""


def find_artifact(connection: Connection, digest: str, reader: Reader) -> dict[str, object]:
    """Return an artifact as the first of the most credible lineages has it (`access.CREDIBILITY`).

    `digest` is the whole digest or its first `SHORTEST_PREFIX` or more digits. A whole digest is found even if others
    begin like it. The legacy route of roar asks for each digest before it links it. `hashes` is empty if only links
    name the digest, because the algorithm is then unknown.

    Raises `Refusal` as `whole_digest`.
    """
    found = artifacts.find_published(connection, whole_digest(connection, digest, reader), reader)
    if found is None:
        raise _not_published()
    lineage = found.lineage
    return {
        "hash": found.digest,
        "kind": "composite" if found.composite else "primitive",
        "isComposite": found.composite,
        "hashes": json.loads(found.hashes or "[]"),
        "size": found.size,
        "source_type": found.source_type,
        "path": found.path,
        "metadata": shown_metadata(found.metadata),
        "original_session_hash": lineage.hash,
        "registeredAt": iso_time(lineage.published_at),
        "labels": current_artifact_labels(connection, found.digest, reader),
        "scope": {
            "visibility": lineage.scope.visibility,
            "owner_id": lineage.scope.owner_id or lineage.owner or None,
            "project_id": lineage.scope.project_id,
        },
    }


def find_components(connection: Connection, digest: str, reader: Reader) -> dict[str, object]:
    """Return the stored components of a composite artifact. `componentCount` counts all of its components.

    `digest` is as in `find_artifact`. An artifact without components has an empty list. Raises `Refusal` as
    `whole_digest`.
    """
    whole = whole_digest(connection, digest, reader)
    text = artifacts.find_members(connection, whole, reader)
    members = {} if text is None else load_document(text)
    components = [
        {_camel_case(key): value for key, value in component.items()} for component in members.get("components", [])
    ]
    return {"hash": whole, "componentCount": members.get("component_count_total", 0), "components": components}


def whole_digest(connection: Connection, prefix: str, reader: Reader) -> str:
    """Return the digest that begins like this, as `find_artifact` finds it.

    Raises `Refusal`: 404 if this reader can see none, 409 if several digests begin like this, or too many to examine.
    """
    if len(prefix) < SHORTEST_PREFIX:
        raise _not_published()
    if artifacts.is_published(connection, prefix, reader):
        return prefix
    found: list[str] = []
    candidate, complete = prefix, True
    for _ in range(MAX_CANDIDATES):
        following = artifacts.next_digest(connection, candidate, prefix + LAST_CHARACTER)
        if following is None:
            break
        candidate = following
        if artifacts.is_published(connection, candidate, reader):
            found.append(candidate)
        if len(found) > 1:
            break
    else:
        complete = False
    if not found:  # even if too many others were examined, because this reader cannot see them
        raise _not_published()
    if len(found) > 1 or not complete:
        raise Refusal(HTTPStatus.CONFLICT, f"several artifacts begin with {prefix}: give more of the digest")
    return found[0]


def _not_published() -> Refusal:
    return Refusal(HTTPStatus.NOT_FOUND, "no published lineage has this artifact")


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
