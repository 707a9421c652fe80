"""A checkpoint as the Python API and the command line show it."""

from collections.abc import Mapping
from dataclasses import dataclass

from roar_publisher.checkpoints.record import End, Record
from roar_publisher.checkpoints.series import DONE, TAKEN, WAITING, Series

PUBLISHING = "publishing"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointStatus:
    """A checkpoint of a series.

    name: the last part of its destination, unless that was taken. state: `waiting`, `publishing`, or how it ended:
    `published`, `superseded`, `full` (beyond `max_pending_bytes`), `changed` (rewritten in place or removed before it
    was read), `failed`. size: bytes. detail: why it failed, or still waits. hash, url: of the published lineage.
    """

    name: str
    step: int
    state: str
    metrics: Mapping[str, float]
    pinned: bool
    size: int
    destination: str
    publish_id: str = ""
    detail: str = ""
    hash: str = ""
    url: str = ""


def view(record: Record, state: str) -> CheckpointStatus:
    """Return a record in a state."""
    ended = {WAITING: WAITING, TAKEN: record.end or PUBLISHING}.get(state) or record.end or End.SUPERSEDED.value
    same = {name: getattr(record, name) for name in CheckpointStatus.__dataclass_fields__ if name != "state"}
    return CheckpointStatus(state=ended, **same)


def checkpoints_of(series: Series) -> list[CheckpointStatus]:
    """Return every checkpoint of a series, in the order of their submission."""
    # In this order, one that moves meanwhile is read twice, and its later state remains.
    found = {one.name: (one, state) for state in (WAITING, TAKEN, DONE) for one in series.records(state)}
    ordered = sorted(found.values(), key=lambda item: (item[0].created_at, item[0].name))
    return [view(one, state) for one, state in ordered]
