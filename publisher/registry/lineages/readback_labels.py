"""Reading the labels of a lineage back (`protocol.md §4`): the newest document of every entity, in bounded pages."""

from http import HTTPStatus
from itertools import islice

from roar_publisher.registry.http.bounds import REPLY_BYTES, json_bytes, up_to_size
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.reading import lineage_by_prefix
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.label_versions import Entity, StoredLabel, newest_labels_after

ENTITY_TYPES = {"artifact": "artifact_hash", "dag": "", "job": "job_uid"}
"""The field that names the entity, by its type."""
MAX_LABELS = 1000
"""Labels in one reply."""


def read_labels_back(connection: Connection, lineage_hash: str, reader: Reader, after: str) -> dict[str, object]:
    """Return one page of labels, in the order of entity type and name, and `next`, the place of the next page.

    `next` is None at the end. Raises `Refusal`: 404 and 409 as `lineage_by_prefix`, 422 if `after` is no place.
    """
    entity_type, mark, entity = after.partition(":")
    if after and (entity_type not in ENTITY_TYPES or not mark):
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "`after` must be the `next` of a page")
    lineage = lineage_by_prefix(connection, lineage_hash, reader)
    found = newest_labels_after(connection, lineage.graph_id, entity_type, entity)
    page = up_to_size(((each[0], _document(*each)) for each in islice(found, MAX_LABELS)), REPLY_BYTES, _bytes)
    last = page[-1][0] if page and next(found, None) is not None else None
    following = None if last is None else f"{last.type}:{last.name}"
    return {"hash": lineage.hash, "labels": [document for _entity, document in page], "next": following}


def _bytes(label: tuple[Entity, dict[str, object]]) -> int:
    return json_bytes(label[1])


def _document(entity: Entity, label: StoredLabel) -> dict[str, object]:
    version = label.version()
    name = ENTITY_TYPES.get(entity.type)
    return {
        "entity_type": entity.type,
        **({name: entity.name} if name else {}),
        "version": label.number,
        "metadata": version.metadata,
        "key_origins": version.key_origins,
    }
