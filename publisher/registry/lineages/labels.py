"""Writing of labels of published lineages: one document per entity, with immutable versions (`label_versions`).

The publisher of a lineage may label it: the session that published it, or the user that owns it. If an anonymous
session finalizes a lineage that was published before, it may repeat existing labels and, for `ADDITION_TIME` after the
first publication, add labels. Its other labels are counted as skipped, because any client can publish such a lineage
again.

Valid labels of a batch are written even if others are refused.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from http import HTTPStatus
from typing import Any

from roar_publisher.glaas.wire import Label
from roar_publisher.registry.accounts.replays import refuse_replay
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.reading import refuse_former_members
from roar_publisher.registry.lineages.registration import Access, find_session
from roar_publisher.registry.store import artifacts, jobs, lineages
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.documents import dump_document, load_document
from roar_publisher.registry.store.label_versions import Entity, StoredLabel, add_version, current_label
from roar_publisher.registry.store.lineage_index import forget_labels
from roar_publisher.registry.store.lineages import Lineage
from roar_publisher.registry.store.sessions import Session

CREATED, UPDATED, NOOPS, SKIPPED = "created", "updated", "noops", "skipped"
LARGEST_DOCUMENT = 256 * 1024
"""Maximum bytes of one entity's label document with its origins. Edits can make it larger than one request."""
ADDITION_TIME = 15 * 60.0
"""Seconds after an anonymous finalize in which labels and composites may be added without its session's token."""


class Rights(Enum):
    """What a caller may do to the labels of a lineage. Every writer may repeat existing labels."""

    CHANGE = "change"
    ADD = "add"
    REPEAT = "repeat"


def write_session_labels(
    connection: Connection, access: Access, reader: Reader, labels: Sequence[Label]
) -> dict[str, object]:
    """Write labels under the session that finalized the lineage. Return the result of `write_each`.

    Raises `Refusal`: as `find_session`, `refuse_former_members` and `write_each`; 409 before finalize, 425 for a
    replay.
    """
    session = find_session(connection, access)
    if session.receipt is None:
        raise Refusal(HTTPStatus.CONFLICT, "finalize first: labels belong to a published lineage")
    lineage = lineages.find_by_graph(connection, session.graph_id)
    assert lineage is not None
    refuse_former_members(connection, lineage, reader)
    own = lineage.session_id == session.id or (session.owner and lineage.owner == session.owner)

    def write(label: Label) -> str:
        if label.session_hash not in (None, lineage.hash):
            raise Refusal(HTTPStatus.NOT_FOUND, "this registration session published another lineage")
        if own:
            return write_label(connection, session.graph_id, label, access.now)
        if _is_current(connection, session, label):
            return NOOPS
        if not accepts_additions(lineage, access.now):
            return SKIPPED
        return _add_or_skip(connection, session, label, access.now)

    outcome = write_each(labels, write)
    refuse_replay(connection, access.caller, changed=changes(outcome), now=access.now)
    return outcome


def accepts_additions(lineage: Lineage, now: float) -> bool:
    """Return whether an anonymous lineage was finalized recently enough to take additions."""
    return now - lineage.published_at <= ADDITION_TIME


def write_each(labels: Sequence[Label], write: Callable[[Label], str]) -> dict[str, object]:
    """Write labels one by one.

    Return how many were created, updated, noops and skipped, and `errors` (`protocol.md §4`).

    `write` writes a label and returns its outcome, or raises `Refusal` without writing anything. `errors` is
    positional, with null for each label that was taken, and empty if all were. Raises the first `Refusal`, with all
    errors, if no label can be taken.
    """
    outcomes = Counter({CREATED: 0, UPDATED: 0, NOOPS: 0, SKIPPED: 0})
    errors: list[str | None] = []
    first: Refusal | None = None
    for label in labels:
        try:
            outcomes[write(label)] += 1
            errors.append(None)
        except Refusal as refusal:
            errors.append(refusal.detail)
            first = first or refusal
    if first is not None and None not in errors:
        raise Refusal(first.status, first.detail, {**first.extra, "errors": errors})
    return {**outcomes, "errors": errors if first is not None else []}


def changes(outcome: Mapping[str, object]) -> bool:
    """Return whether a batch of labels had an effect."""
    return bool(outcome[CREATED] or outcome[UPDATED])


def write_label(connection: Connection, graph_id: int, label: Label, now: float, rights: Rights = Rights.CHANGE) -> str:
    """Write one label. Return `created`, `updated` or `noops`.

    Raises `Refusal`: 404 and 422 as `find_entity`, 409 if the rights do not suffice, 422 if the document is too large.
    """
    entity = Entity(graph_id, label.entity_type, find_entity(connection, graph_id, label))
    current = current_label(connection, entity)
    metadata, origins = dump_document(label.metadata), dump_document(label.key_origins or {})
    if current is not None and (current.metadata, current.key_origins) == (metadata, origins):
        return NOOPS
    if rights is Rights.REPEAT:
        raise Refusal(HTTPStatus.CONFLICT, "this lineage was finalized: only its session's token may change its labels")
    if rights is Rights.ADD and current is not None and not _only_adds(label, metadata, origins, current):
        raise Refusal(HTTPStatus.CONFLICT, "this lineage was finalized: labels may be added to it, but not changed")
    _check_size(len(metadata) + len(origins), current)
    add_version(connection, entity, current, metadata, origins, now)
    forget_labels(connection, graph_id)
    return CREATED if current is None else UPDATED


def find_entity(connection: Connection, graph_id: int, label: Label) -> str:
    """Return the name under which the labels of an entity are stored. A job may be known under several uids.

    Raises `Refusal`: 422 if the label does not name an entity, 404 if the lineage does not have it.
    """
    entity = label.entity
    if entity is None:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"the label does not name its {label.entity_type}")
    if label.entity_type == "dag":
        return entity
    if label.entity_type == "job":
        entity = jobs.uid_of_alias(connection, graph_id, entity)
        is_known = jobs.job_id(connection, graph_id, entity) is not None
    else:
        is_known = artifacts.has_artifact(connection, graph_id, entity)
    if not is_known:
        raise Refusal(HTTPStatus.NOT_FOUND, f"the lineage has no such {label.entity_type}: {entity}")
    return entity


def _is_current(connection: Connection, session: Session, label: Label) -> bool:
    if label.entity is None:
        return False
    entity = label.entity
    if label.entity_type == "job":
        entity = jobs.uid_of_alias(connection, session.graph_id, entity)
    current = current_label(connection, Entity(session.graph_id, label.entity_type, entity))
    return current is not None and current.metadata == dump_document(label.metadata)


def _check_size(size: int, current: StoredLabel | None) -> None:
    known = 0 if current is None else current.size
    if size > max(LARGEST_DOCUMENT, known):  # a larger document of an earlier release may still shrink
        detail = f"the labels of one entity may take {LARGEST_DOCUMENT} bytes, these would take {size}: remove some"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail)


def _add_or_skip(connection: Connection, session: Session, label: Label, now: float) -> str:
    try:
        return write_label(connection, session.graph_id, label, now, Rights.ADD)
    except Refusal:
        return SKIPPED


def _only_adds(label: Label, metadata: str, key_origins: str, current: StoredLabel) -> bool:
    # A document that contains another is not shorter. So a label never causes a longer document to be parsed.
    if len(metadata) < len(current.metadata) or len(key_origins) < len(current.key_origins):
        return False
    origins = load_document(current.key_origins)
    kept = {path: origin for path, origin in (label.key_origins or {}).items() if path in origins}
    return kept == origins and _contains(label.metadata, load_document(current.metadata))


def _contains(document: Any, part: Any) -> bool:
    if isinstance(document, dict) and isinstance(part, dict):
        return all(key in document and _contains(document[key], value) for key, value in part.items())
    return dump_document(document) == dump_document(part)
