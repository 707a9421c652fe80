"""The note about a publication in a session's metadata, `roar.remote_publication.glaas` (`protocol.md §7`).

`roar label sync` and `roar show` find the published jobs through it.
"""

import json
from collections.abc import Iterable
from secrets import token_hex

from roar_publisher.lineage.jsontext import encode_text

SCHEMA_VERSION = 1


def published_hashes(metadata: str | None) -> list[str]:
    """Return the hashes of a session's earlier publishes, from its `metadata`; none if the note is invalid."""
    note: object = _parsed(metadata)
    for key in ("roar", "remote_publication", "glaas"):
        note = note.get(key) if isinstance(note, dict) else None
    if not isinstance(note, dict):
        return []
    hashes = (note.get("session_hash"), note.get("prepared_session_hash"))
    return [value for value in hashes if isinstance(value, str)]


def with_publication(
    metadata: str | bytes | None,
    *,
    session_hash: str,
    prepared_hash: str,
    jobs: Iterable[tuple[str, str]],
    now: float,
) -> str:
    """Return the session's metadata (JSON text) with a new note in place of an older one; everything else stays.

    jobs: (local, remote) uid of each job, in order.
    now: seconds since the epoch.
    """
    document = _parsed(metadata)
    level = document
    for key in ("roar", "remote_publication"):
        below = level.get(key)
        if not isinstance(below, dict):
            below = level[key] = {}
        level = below
    level["glaas"] = {
        "schema_version": SCHEMA_VERSION,
        "session_hash": session_hash,
        "prepared_session_hash": prepared_hash,
        "published_at": now,
        "jobs": (place := token_hex(16)),
    }
    before, after = json.dumps(document, sort_keys=True, separators=(",", ":")).split(f'"{place}"')
    members = ",".join(f"{encode_text(uid)}:{encode_text(remote)}" for uid, remote in jobs)
    return f"{before}{{{members}}}{after}"


def _parsed(metadata: str | bytes | None) -> dict[str, object]:
    """Return the metadata as an object. A value that is not an object is put under a key of its own, as roar does.

    SQLite also stores bytes in a text column. The lineage is published already, so they must not stop the update.
    """
    if isinstance(metadata, bytes):
        metadata = metadata.decode("utf-8", "replace")
    if not metadata or not metadata.strip():
        return {}
    try:
        value = json.loads(metadata)
    except (ValueError, RecursionError):
        return {"raw": metadata}
    return value if isinstance(value, dict) else {"value": value}
