"""The tables and rows of roar.db that are published, and links grouped by job."""

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from msgspec import Struct

NEEDED_COLUMNS = {
    "sessions": {"id", "hash", "is_active", "git_repo", "metadata", "synced_at"},
    "jobs": {"id", "job_uid", "parent_job_uid", "session_id", "step_number", "execution_role", "job_type", "metadata"},
    "artifacts": {"id", "size", "source_type", "source_url", "kind", "component_count", "metadata"},
    "artifact_hashes": {"artifact_id", "algorithm", "digest"},
    "job_inputs": {"job_id", "artifact_id", "path", "byte_ranges"},
    "job_outputs": {"job_id", "artifact_id", "path", "byte_ranges"},
    "labels": {"entity_type", "session_id", "job_id", "artifact_id", "version", "metadata", "write_origin"},
    "composite_artifact_components": {"composite_artifact_id", "ordinal", "relative_path", "component_digest"},
    "composite_membership_indexes": {"composite_artifact_id", "total_components", "bloom_filter_base64"},
}
TABLES = frozenset({*NEEDED_COLUMNS, "hash_cache"})
"""The tables of roar.db that our statements name."""


class SessionRow(Struct, frozen=True):
    """A row of `sessions`. `hash` is roar's local hash, not a published one."""

    id: int
    hash: str | None
    git_repo: str | None


class JobRow(Struct, frozen=True):
    """The published fields of a row of `jobs`. `seq` is the job's place in the publishing order, from 0."""

    seq: int
    command: str
    timestamp: float
    git_commit: str | None
    git_branch: str | None
    duration_seconds: float | None
    exit_code: int | None
    job_type: str | None
    metadata: str | None


class LinkRow(NamedTuple):
    """A job's input or output with its artifact (a tuple: there may be a million of them).

    seq: the job's place in the publishing order.
    artifact: the artifact's row number.
    digest: the digest that names the artifact.
    hashes: all of its digests, in the format of `artifacts`.
    """

    seq: int
    artifact: int
    digest: str
    hashes: str
    path: str
    byte_ranges: str | None
    size: int
    source_type: str | None
    source_url: str | None
    metadata: str | None
    kind: str


class LinkStream:
    """Groups a stream of links by job. Jobs must be requested in the stream's order."""

    def __init__(self, rows: Iterator[LinkRow]) -> None:
        self._groups = groupby(rows, key=itemgetter(0))
        self._next = next(self._groups, None)

    def of(self, seq: int) -> list[LinkRow]:
        """Return the links of the job at this place; links of jobs that were not requested are skipped."""
        group: list[LinkRow] = []
        while self._next is not None and self._next[0] <= seq:
            if self._next[0] == seq:
                group = list(self._next[1])
            self._next = next(self._groups, None)
        return group
