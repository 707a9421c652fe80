"""What is published of an artifact: its hashes, the one that names it in links, and its source type.

Hashes come from roar.db as one lower-case text, `algorithm:digest` separated by spaces, in roar's order.
"""

from roar_publisher.glaas.protocol import LINK_ALGORITHMS
from roar_publisher.glaas.request_dicts import HashItem

COMPOSITE_PREFIX = "composite-"
REMOTE_SOURCES = frozenset({"s3", "gs", "https", "hf"})
"""The source types that GLaaS knows; any other is sent as null (`protocol.md §7`)."""


def link_digest(hashes: str) -> str:
    """Return the digest (hex) that names an artifact (`LINK_ALGORITHMS`), or "" if it has no hash."""
    if " " not in hashes:
        return hashes.partition(":")[2]
    entries = _entries(hashes)
    digests = dict(reversed(entries))
    for algorithm in LINK_ALGORITHMS:
        if algorithm in digests:
            return digests[algorithm]
    return entries[0][1] if entries else ""


def hash_entries(hashes: str) -> list[HashItem]:
    """Return an artifact's hashes as they are sent, blake3 first."""
    entries: list[HashItem] = [{"algorithm": algorithm, "digest": digest} for algorithm, digest in _entries(hashes)]
    return sorted(entries, key=lambda entry: entry["algorithm"] != "blake3")


def is_composite(kind: str, hashes: str) -> bool:
    """Return whether an artifact stands for many files; those are not sent among the plain artifacts."""
    return kind == "composite" or COMPOSITE_PREFIX in hashes


def remote_source(source_type: str | None) -> str | None:
    """Return the source type as GLaaS takes it, None for a local file."""
    source = (source_type or "").strip().lower()
    return source if source in REMOTE_SOURCES else None


def _entries(hashes: str) -> list[tuple[str, str]]:
    """Return the (algorithm, digest) pairs. The project is untrusted: anything that is not a pair is left out."""
    pairs = (entry.partition(":") for entry in hashes.split())
    return [(algorithm, digest) for algorithm, _, digest in pairs if algorithm and digest]
