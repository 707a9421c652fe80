"""Lookup of published artifacts by digest, limited to what the reader may read."""

import json
from http import HTTPStatus

from roar_publisher.registry.accounts.signin_file import iso_time
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.job_views import shown_metadata
from roar_publisher.registry.lineages.label_views import current_artifact_labels
from roar_publisher.registry.store import artifacts
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.documents import load_document


def find_artifact(connection: Connection, digest: str, reader: Reader) -> dict[str, object]:
    """Return an artifact as the first of the most credible lineages has it (`access.CREDIBILITY`).

    `hashes` is empty if only links name the digest, because the algorithm is then unknown. Raises `Refusal` (404) if
    this reader can see none.
    """
    found = artifacts.find_published(connection, digest, reader)
    if found is None:
        raise no_such_artifact()
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

    An artifact without components, or that the reader cannot see, has an empty list.
    """
    text = artifacts.find_members(connection, digest, reader)
    members = {} if text is None else load_document(text)
    components = [
        {_camel_case(key): value for key, value in component.items()} for component in members.get("components", [])
    ]
    return {"hash": digest, "componentCount": members.get("component_count_total", 0), "components": components}


def no_such_artifact() -> Refusal:
    """Return a 404 that says that this reader can see no such artifact."""
    return Refusal(HTTPStatus.NOT_FOUND, "no published lineage has this artifact")


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
