"""Functions of the real roar-cli to compare ours with, with types, which roar-cli lacks."""

from collections.abc import Callable
from typing import Any

from roar.application.labels import (  # type: ignore[import-untyped]
    build_reconcile_payload_for_current_lineage as labels_to_push,
)
from roar.application.publish import (  # type: ignore[import-untyped]
    composite_builder,
    job_preparation,
    lineage_composites,
)
from roar.application.publish import remote_job_uids as _remote_job_uids
from roar.application.publish import session as _session
from roar.application.publish.lineage import LineageCollector  # type: ignore[import-untyped]
from roar.core import canonical_session as _canonical  # type: ignore[import-untyped]
from roar.core.interfaces.lineage import LineageData  # type: ignore[import-untyped]
from roar.core.interfaces.registration import GitContext  # type: ignore[import-untyped]
from roar.core.label_origins import build_current_key_origins  # type: ignore[import-untyped]
from roar.db.context import create_database_context  # type: ignore[import-untyped]
from roar.filters.omit import OmitFilter  # type: ignore[import-untyped]

__all__ = [
    "GitContext",
    "LineageCollector",
    "OmitFilter",
    "build_current_key_origins",
    "composite_builder",
    "create_database_context",
    "labels_to_push",
    "lineage_composites",
    "lineage_hash",
    "published_jobs",
    "remote_job_uid",
]

remote_job_uid: Callable[[str, str], str] = _remote_job_uids.build_remote_publication_job_uid


def lineage_hash(jobs: list[dict[str, Any]], git: Any, identity: str) -> str:
    """Return the hash that roar-cli computes for these jobs."""
    lineage = LineageData(jobs=jobs, artifacts=[], artifact_hashes=set(), pipeline=None)
    payload = _session.build_canonical_session_payload(lineage=lineage, git_context=git, creator_identity=identity)
    return str(_canonical.compute_canonical_session_hash(payload))


def published_jobs(lineage: Any) -> list[dict[str, Any]]:
    """Return the jobs of a lineage as roar-cli registers them: in order, with repaired parents, without noise."""
    normal = job_preparation.normalize_jobs_for_registration(lineage.jobs)
    return list(job_preparation.order_jobs_for_registration(normal))
