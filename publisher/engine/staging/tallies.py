"""Checks whether the counts in a registry's reply to a batch can be true (protocol.md §4).

Missing counts are not judged. Requests are repeated, and servers count existing items in different ways, so a count
below the number of artifacts or links sent is no contradiction. A higher count is one.
"""

from roar_publisher.glaas.replies import BatchReply
from roar_publisher.state.units import Kind, Unit


def contradiction(reply: BatchReply, unit: Unit) -> str:
    """Return what is impossible in a reply, as a clause; empty if nothing is."""
    match unit.kind:
        case Kind.JOBS:
            return _of_jobs(reply, unit.items)
        case Kind.INPUTS:
            return _too_many(reply.inputs_linked, unit)
        case Kind.OUTPUTS:
            return _too_many(reply.outputs_linked, unit)
        case Kind.ARTIFACTS | Kind.COMPOSITE | Kind.LABELS:
            return _too_many(_taken(reply), unit)


def labels_missing(reply: BatchReply, items: int) -> int:
    """Return how many labels the reply does not account for; 0 unless it gives all three counts."""
    same = reply.noops if reply.noops is not None else reply.unchanged
    if reply.created is None or reply.updated is None or same is None:
        return 0
    return max(0, items - reply.created - reply.updated - same)


def _of_jobs(reply: BatchReply, items: int) -> str:
    if reply.already_registered_session_hashes:  # neither number includes those
        return ""
    if reply.created_count is not None and reply.existing_count is not None:
        told = reply.created_count + reply.existing_count
        if told != items or min(reply.created_count, reply.existing_count) < 0:
            return f"it says that it has {told} of the {items} jobs it was sent"
    if isinstance(reply.job_ids, list) and reply.job_ids and len(reply.job_ids) != items:
        return f"it gives {len(reply.job_ids)} ids for the {items} jobs it was sent"
    return ""


def _taken(reply: BatchReply) -> int:
    """Return how many items the reply says were taken. `noops` and `unchanged` are two names for the same count."""
    return sum(number or 0 for number in (reply.created, reply.updated, reply.existing, reply.noops or reply.unchanged))


def _too_many(told: int | None, unit: Unit) -> str:
    if told is None or 0 <= told <= unit.items:
        return ""
    return f"it says that it took {told} of the {unit.items} {unit.kind.value} it was sent"
