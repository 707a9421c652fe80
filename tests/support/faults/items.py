"""What a request delivers, item by item: by this a test knows what was sent twice, however batches were cut."""

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from roar_publisher.lineage.canonical import remote_job_uid
from roar_publisher.state.journal import Journal
from roar_publisher.state.units import Kind

Item = tuple[str, ...]
"""(kind, names …): a job's uid, an artifact's digest, a link's (uid, digest), a label's entity."""

_PATHS = (
    (Kind.JOBS, r"/api/v1/(?:registration-)?sessions/(?P<session>\w+)/jobs/batch", "jobs"),
    (Kind.ARTIFACTS, r"/api/v1/(?:registration-sessions/(?P<session>\w+)/)?artifacts/batch", "artifacts"),
    (Kind.COMPOSITE, r"/api/v1/(?:registration-sessions/(?P<session>\w+)/)?artifacts/composites", ""),
    (Kind.INPUTS, r"/api/v1/(?:registration-)?sessions/(?P<session>\w+)/jobs/(?P<uid>\w+)/inputs", "artifacts"),
    (Kind.OUTPUTS, r"/api/v1/(?:registration-)?sessions/(?P<session>\w+)/jobs/(?P<uid>\w+)/outputs", "artifacts"),
    (Kind.LABELS, r"/api/v1/(?:registration-sessions/(?P<session>\w+)/)?labels/(?:batch|sync)", "labels"),
)

_LINKS_BATCH = r"/api/v1/(?:registration-)?sessions/\w+/links/batch"


def inflated(body: bytes) -> bytes:
    """A body as it was before it was compressed. No JSON begins as gzip does."""
    return gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body


def session_of(path: str) -> str | None:
    """The registration session that a path speaks of; None on the legacy route."""
    found = re.match(r"/api/v1/registration-sessions/(\w+)/", path)
    return found[1] if found else None


def items_of_request(path: str, body: bytes) -> set[Item]:
    """The items that a request delivers; empty for a request that stages nothing.  body: may be compressed."""
    body = inflated(body)
    if re.fullmatch(_LINKS_BATCH, path):
        entries = json.loads(body)["links"]
        return {
            item for entry in entries for item in _items(Kind(entry["kind"]), entry["job_uid"], entry["artifacts"], str)
        }
    for kind, pattern, name in _PATHS:
        if found := re.fullmatch(pattern, path):
            document = json.loads(body)
            uid = found.groupdict().get("uid") or ""
            return _items(kind, uid, document[name] if name else [document], str)
    return set()


def acknowledged_items(journal: Journal, lineage_hash: str) -> set[Item]:
    """The items of every unit that the journal holds as acknowledged, under the uids that they travel by."""
    staged = journal.progress().remote_session is not None
    items: set[Item] = set()
    rows = journal.db.execute("SELECT seq, kind, job_uid FROM units WHERE acked = 1 GROUP BY seq, kind, job_uid")
    wanted = {seq: (Kind(kind), job_uid or "") for seq, kind, job_uid in rows}
    for seq, body in _acknowledged_bodies(journal):
        kind, job_uid = wanted[seq]
        items |= _items(kind, job_uid, json.loads(body), _uids(staged, lineage_hash))
    return items


def _acknowledged_bodies(journal: Journal) -> Iterable[tuple[int, bytes]]:
    for seq, body in journal.db.execute("SELECT seq, body FROM units WHERE acked = 1"):
        yield seq, zlib.decompress(body)


def _uids(staged: bool, lineage_hash: str) -> Callable[[str], str]:
    return (lambda uid: remote_job_uid(lineage_hash, uid)) if staged else str


def _items(kind: Kind, uid: str, documents: Iterable[dict[str, Any]], name: Callable[[str], str]) -> set[Item]:
    match kind:
        case Kind.JOBS:
            return {(kind, name(job["job_uid"])) for job in documents}
        case Kind.ARTIFACTS:
            return {(kind, artifact["hashes"][0]["digest"]) for artifact in documents}
        case Kind.COMPOSITE:
            return {(kind, composite["hash"]) for composite in documents}
        case Kind.INPUTS | Kind.OUTPUTS:
            return {(kind, name(uid), link["hash"]) for link in documents}
        case Kind.LABELS:
            return {(kind, label["entity_type"], _entity(label, name)) for label in documents}


def _entity(label: dict[str, Any], name: Callable[[str], str]) -> str:
    return name(label["job_uid"]) if label.get("job_uid") else label.get("artifact_hash") or ""
