"""Links of a job as they come from roar.db: grouped by job, with the digest that names each artifact."""

import json
from collections.abc import Iterator, Sequence

from publisher.lineage.database import LinkRow

LINK_ALGORITHMS = ("blake3", "composite-blake3", "composite-sha256")
"""Which of an artifact's hashes names it in links; where it has none of these, its first one (`protocol.md §7`)."""
REMOTE_SOURCES = frozenset({"s3", "gs", "https", "hf"})
"""The source types that GLaaS knows; any other is sent as null (`protocol.md §7`)."""
COMPOSITE_PREFIX = "composite-"


class LinkStream:
    """Deals a stream of links out job by job; the jobs must be asked for in the stream's order."""

    def __init__(self, rows: Iterator[LinkRow]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, seq: int) -> list[LinkRow]:
        """The links of the job at this place; links of jobs that were never asked for are passed over."""
        group: list[LinkRow] = []
        while self._next is not None and self._next.seq <= seq:
            if self._next.seq == seq:
                group.append(self._next)
            self._next = next(self._rows, None)
        return group


def link_digest(hashes: Sequence[str]) -> str:
    """The digest (lower-case hex) that names an artifact; empty where it has no hash."""
    if len(hashes) == 1:
        return hashes[0].partition(":")[2].lower()
    for wanted in LINK_ALGORITHMS:
        for entry in hashes:
            algorithm, _, digest = entry.partition(":")
            if algorithm.lower() == wanted:
                return digest.lower()
    return hashes[0].partition(":")[2].lower() if hashes else ""


def hash_entries(hashes: Sequence[str]) -> list[dict[str, str]]:
    """An artifact's hashes as they travel, blake3 first."""
    entries = []
    for text in hashes:
        algorithm, _, digest = text.lower().partition(":")
        entries.append({"algorithm": algorithm, "digest": digest})
    return sorted(entries, key=lambda entry: entry["algorithm"] != "blake3")


def is_composite(kind: str, hashes: Sequence[str]) -> bool:
    """Whether an artifact stands for many files; such a one is not sent among the plain artifacts."""
    return kind == "composite" or any(entry.lower().startswith(COMPOSITE_PREFIX) for entry in hashes)


def remote_source(source_type: str | None) -> str | None:
    """The source type as GLaaS takes it, None for a local file."""
    source = (source_type or "").strip().lower()
    return source if source in REMOTE_SOURCES else None


def parsed_json(text: str | None) -> object:
    """The value of a JSON text, None where there is none; what Python reads as NaN is null."""
    if not text:
        return None
    try:
        return json.loads(text, parse_constant=lambda _name: None)
    except (ValueError, RecursionError):
        return None
