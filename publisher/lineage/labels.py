"""The labels that are sent with a lineage: the current one of the session, of each job and of each artifact.

A label is a versioned JSON object. `key_origins` says for each flattened key who changed it last, the user or roar
itself (`protocol.md §7`).
"""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from roar_publisher.glaas.request_dicts import LabelItem, LabelText
from roar_publisher.lineage.database import LINKED_ARTIFACTS, RoarDatabase, Row
from roar_publisher.lineage.jsontext import parse_json
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.selection import JobHead

USER = "user"
SYSTEM = "system"


def label_items(
    database: RoarDatabase,
    session_id: int,
    jobs: Sequence[JobHead],
    published: Callable[[int], str],
    redactor: Redactor,
) -> Iterator[LabelItem]:
    """Yield the label items in publishing order: the session's, then the jobs', then the artifacts'.

    jobs: as chosen in the database.
    published: returns the digest of an artifact's row if it is part of the lineage, else "".

    Jobs have their local uid, and no item has a session hash: the sender fills in both.
    """
    columns = "CAST(l.metadata AS TEXT), CAST(l.write_origin AS TEXT)"
    dag = database.query(
        f"SELECT 0, {columns} FROM labels l WHERE entity_type = 'dag' AND session_id = ? ORDER BY version", session_id
    )
    for _key, label in _current(dag, redactor):
        yield {"entity_type": "dag", **label}
    of_jobs = database.query(
        f"SELECT c.seq, {columns} FROM chosen c CROSS JOIN labels l ON l.job_id = c.job"
        " WHERE entity_type = 'job' ORDER BY c.seq, version"
    )
    for seq, label in _current(of_jobs, redactor):
        yield {"entity_type": "job", "job_uid": jobs[seq].uid, **label}
    of_artifacts = database.query(
        f"SELECT a.rowid, {columns} FROM artifacts a CROSS JOIN labels l ON l.artifact_id = a.id"
        f" WHERE a.id IN ({LINKED_ARTIFACTS}) AND entity_type = 'artifact' ORDER BY a.rowid, version"
    )
    known = (row for row in of_artifacts if published(row[0]))
    for artifact, label in _current(known, redactor):
        yield {"entity_type": "artifact", "artifact_hash": published(artifact), **label}


def key_origins(versions: Sequence[tuple[dict[str, object], str | None]]) -> dict[str, str]:
    """Return who last changed each key of the newest version.

    versions: (label, origin) from the first version to the newest. A version without an origin is older than that
    column: its `dataset` keys are roar's own, all others the user's.
    """
    if len(versions) == 1:
        label, origin = versions[0]
        return {path: _origin(path, origin) for path in sorted(flattened(label))}
    origins: dict[str, str] = {}
    before: dict[str, str] = {}
    for label, origin in versions:
        # Compare texts, as roar does: 1, 1.0 and true are equal in Python but different in a label.
        now = {path: json.dumps(value, sort_keys=True) for path, value in flattened(label).items()}
        for path, text in now.items():
            if before.get(path) != text:
                origins[path] = _origin(path, origin)
        before = now
    return {path: origins[path] for path in sorted(before)}


def _current(rows: Iterator[Row], redactor: Redactor) -> Iterator[tuple[int, LabelText]]:
    """Yield the newest version of every label, redacted, with its origins.

    rows: (key, metadata, origin), oldest first.
    """
    for key, group in groupby(rows, key=itemgetter(0)):
        versions = [(_label(metadata), origin) for _key, metadata, origin in group]
        newest = versions[-1][0]
        if newest is not None:
            sent = _object(redactor.value(newest))
            if len(versions) == 1:
                history = [(sent, versions[0][1])]
            else:
                history = [(_with_keys_of(redactor, label or {}), origin) for label, origin in versions]
            yield key, {"metadata": sent, "key_origins": key_origins(history)}


def _with_keys_of(redactor: Redactor, label: dict[str, object]) -> dict[str, object]:
    """Return the label under the keys that are sent, so that `key_origins` uses the same names."""
    return _object(redactor.keys(label))


def _object(redacted: object) -> dict[str, object]:
    assert isinstance(redacted, dict), "redaction keeps the shape"
    return redacted


def _label(metadata: str) -> dict[str, object] | None:
    label = parse_json(metadata)
    return label if isinstance(label, dict) else None


def flattened(label: dict[str, object]) -> dict[str, object]:
    """Return the values of a label that are no objects, by their paths; the names in a path are joined by dots."""
    leaves: dict[str, object] = {}
    level: list[tuple[str, dict[str, object]]] = [("", label)]
    while level:
        prefix, branch = level.pop()
        for key, value in branch.items():
            path = f"{prefix}.{key}" if prefix else key
            if isinstance(value, dict):
                level.append((path, value))
            elif path:
                leaves[path] = value
    return leaves


def _origin(path: str, origin: str | None) -> str:
    if origin in (USER, SYSTEM):
        return str(origin)
    return SYSTEM if path == "dataset" or path.startswith("dataset.") else USER
