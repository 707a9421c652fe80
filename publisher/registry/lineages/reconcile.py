"""Label edits by the owner of a lineage, as of `roar label sync` (`POST /labels/reconcile`).

An edit is a patch: keys that it does not name stay. A request is atomic: if one of its edits fails, none is applied.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from copy import deepcopy
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import Field

from roar_publisher.glaas.wire import Count, Items, Label, LineageHash, Name, RequestBody, Text
from roar_publisher.registry.accounts.callers import Caller
from roar_publisher.registry.accounts.replays import refuse_replay
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.label_views import current_label_document
from roar_publisher.registry.lineages.labels import CREATED, LARGEST_DOCUMENT, NOOPS, UPDATED, find_entity, write_label
from roar_publisher.registry.lineages.reading import readable_lineage, refuse_former_members
from roar_publisher.registry.store import lineages
from roar_publisher.registry.store.access import ANONYMOUS_OWNER, Reader
from roar_publisher.registry.store.database import Connection, undone
from roar_publisher.registry.store.documents import load_document
from roar_publisher.registry.store.label_versions import Entity, current_label

USER_ORIGIN = "user"
"""The value in `key_origins` for keys that were edited here."""
MAX_EDITED_BYTES = 4 * 1024 * 1024
"""Maximum bytes of label documents that one request may edit. A small edit of a large document costs as much as a
large one."""


class LabelEdit(RequestBody):
    """A patch of one entity's label document.

    `deleted_keys` are dotted paths. `base_version` is the version that was edited, 0 if there was none; with None, the
    edit applies to any version.
    """

    entity_type: Literal["dag", "job", "artifact"]
    job_uid: Name | None = None
    artifact_hash: Name | None = None
    metadata: Annotated[dict[str, Any], Field(default_factory=dict)]
    deleted_keys: Annotated[Items[Text], Field(default_factory=list)]
    base_version: Count | None = None


class ReconcileRequest(RequestBody):
    """The body of `POST /labels/reconcile`.

    With `dry_run`, the reply says what would happen, and nothing is changed.
    """

    session_hash: LineageHash
    dry_run: bool = False
    labels: Items[LabelEdit]


class PatchRequest(LabelEdit):
    """The body of `PATCH /labels/current`."""

    session_hash: LineageHash


def reconcile(
    connection: Connection, caller: Caller, reader: Reader, request: ReconcileRequest, now: float
) -> dict[str, object]:
    """Apply the edits and return their outcomes.

    Raises `Refusal`: 404 if the caller cannot see the lineage or it lacks an entity, 403 for another user's lineage,
    409 if a document has changed since `base_version`, 413 if the edited documents are too large, 422 for an edit that
    names no entity or makes a document too large, 425 for a replay.
    """
    lineage = readable_lineage(connection, request.session_hash, reader)
    if lineage.owner != caller.owner:
        raise Refusal(HTTPStatus.FORBIDDEN, "this lineage is not yours, so you cannot edit its labels")
    refuse_former_members(connection, lineage, reader)
    with undone(connection) if request.dry_run else nullcontext():
        results = _edit_all(connection, lineage.graph_id, request, now)
    if not request.dry_run:
        changed = any(result["action"] != NOOPS for result in results)
        refuse_replay(connection, caller, changed=changed, now=now)
    outcomes = Counter(str(result["action"]) for result in results)
    deleted = sum(len(edit.deleted_keys) for edit in request.labels)
    counts = {name: outcomes[name] for name in (CREATED, UPDATED, NOOPS)}
    return {"processed": len(results), **counts, "deletedKeys": deleted, "conflicts": [], "results": results}


def patch(
    connection: Connection, caller: Caller, reader: Reader, request: PatchRequest, now: float
) -> dict[str, object]:
    """Apply one edit. Return the newest label document of its entity. Raises `Refusal` as `reconcile`."""
    reconcile(connection, caller, reader, ReconcileRequest(session_hash=request.session_hash, labels=[request]), now)
    entity = _label(request, request.session_hash).entity or ""
    (newest,) = current_label_document(connection, request.session_hash, reader, request.entity_type, entity)
    return newest


def may_edit(connection: Connection, lineage_hash: str, reader: Reader) -> bool:
    """Return whether `reconcile` would let a signed-in reader edit the labels of a lineage."""
    lineage = lineages.find(connection, lineage_hash)
    if lineage is None or reader.user_id == ANONYMOUS_OWNER:
        return False
    return lineage.owner == reader.user_id and reader.may_write(lineage.scope)


def _edit_all(connection: Connection, graph_id: int, request: ReconcileRequest, now: float) -> list[dict[str, object]]:
    results = []
    edited = 0
    for edit in request.labels:
        result, size = _edit(connection, graph_id, request.session_hash, edit, now)
        results.append(result)
        edited += size
        if edited > MAX_EDITED_BYTES:
            raise Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                "these edits change labels that are too large: send fewer at once",
            )
    return results


def _edit(
    connection: Connection, graph_id: int, lineage_hash: str, edit: LabelEdit, now: float
) -> tuple[dict[str, object], int]:
    """Apply an edit. Return its outcome, and the bytes of the document that it changes."""
    label = _label(edit, lineage_hash)
    entity = find_entity(connection, graph_id, label)
    current = current_label(connection, Entity(graph_id, label.entity_type, entity))
    version = 0 if current is None else current.number
    size = 0 if current is None else current.size
    if edit.base_version is not None and edit.base_version != version:
        raise Refusal(HTTPStatus.CONFLICT, f"a label has changed meanwhile: it is at version {version}")
    if current is not None:
        label.metadata, label.key_origins = load_document(current.metadata), load_document(current.key_origins)
    for path in edit.deleted_keys:
        _delete(label.metadata, path)
    label.metadata = _patched(label.metadata, edit.metadata)
    origins = {**(label.key_origins or {}), **dict.fromkeys(_bounded_paths(edit.metadata), USER_ORIGIN)}
    present = _bounded_paths(label.metadata)
    label.key_origins = {path: origin for path, origin in origins.items() if path in present}
    action = write_label(connection, graph_id, label, now)
    names = {"sessionHash": lineage_hash, "jobUid": edit.job_uid, "artifactHash": edit.artifact_hash}
    return {
        "entityType": label.entity_type,
        **{name: value for name, value in names.items() if value is not None},
        "action": action,
        "version": version if action == NOOPS else version + 1,
        "deletedKeys": edit.deleted_keys,
    }, size


def _label(edit: LabelEdit, lineage_hash: str) -> Label:
    return Label(
        entity_type=edit.entity_type,
        session_hash=lineage_hash,
        job_uid=edit.job_uid,
        artifact_hash=edit.artifact_hash,
        metadata={},
    )


def _patched(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(document)
    for key, value in patch.items():
        known = result.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            result[key] = _patched(known, value)
        else:
            result[key] = deepcopy(value)
    return result


def _delete(document: dict[str, Any], path: str) -> None:
    """Remove a key, and the objects that this leaves empty. A missing key is ignored."""
    head, _, rest = path.partition(".")
    inner = document.get(head)
    if rest and isinstance(inner, dict):
        _delete(inner, rest)
    if not rest or inner == {}:
        document.pop(head, None)


def _bounded_paths(document: Mapping[str, Any]) -> set[str]:
    """Return the dotted paths of a document's leaves. Raises `Refusal` (422) if they exceed the size of a label.

    A path repeats all of its parent keys, so without a limit, the paths of a small document could exhaust memory.
    """
    paths = set()
    size = 0
    for path in _paths(document):
        paths.add(path)
        size += len(path)
        if size > LARGEST_DOCUMENT:
            detail = f"the full paths of this label's keys take more than {LARGEST_DOCUMENT} bytes: use shorter ones"
            raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail)
    return paths


def _paths(document: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in document.items():
        path = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _paths(value, f"{path}.")
        else:
            yield path
