"""Units: the smallest things that are sent and acknowledged, frozen before the first write.

A unit is one request's worth of items of one kind. Its body contains *local* job uids. The route decides which uid goes
on the wire (`protocol.md §6`: a staged publish sends remote uids, the legacy path sends local ones), so one frozen plan
serves both routes and every identity.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What the items of a unit are. The journal stores the value."""

    COMPOSITE = "composite"
    JOBS = "jobs"
    ARTIFACTS = "artifacts"
    INPUTS = "inputs"
    OUTPUTS = "outputs"
    LABELS = "labels"


NODES = frozenset({Kind.COMPOSITE, Kind.JOBS, Kind.ARTIFACTS})
"""Kinds that other units may depend on. Links depend on nodes; labels wait for finalize."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One request's worth of items.

    seq: position in the plan, from 1. Nodes come before links, links before labels.
    part: 0 as planned. A unit that the server finds too large is split into parts of the same seq.
    job_uid: the *local* uid of the job that links belong to, else None.
    items: how many items the body holds.
    after: every node unit with `seq <= after` must be acknowledged before this one is sent (0: nothing to wait for).
    body: the items as a JSON array, UTF-8, without spaces, already redacted.
    """

    seq: int
    kind: Kind
    job_uid: str | None
    items: int
    after: int
    body: bytes
    part: int = 0
