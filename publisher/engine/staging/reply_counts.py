"""Checks whether the counts in a registry's reply to a batch can be true (protocol.md §4).

Missing counts are not judged. Requests are repeated, and servers count existing items in different ways, so a count
below the number of artifacts or links sent is not a contradiction. A higher count is one.
"""

from collections.abc import Sequence

from roar_publisher.glaas.replies import BatchReply
from roar_publisher.state.units import LINKS, Kind, Unit


def contradiction(reply: BatchReply, unit: Unit) -> str:
    """Return what is impossible in a reply, as a clause; empty if nothing is."""
    match unit.kind:
        case Kind.JOBS:
            return _job_contradiction(reply, unit.items)
        case Kind.INPUTS:
            return _too_many(reply.inputs_linked, unit.items, unit.kind)
        case Kind.OUTPUTS:
            return _too_many(reply.outputs_linked, unit.items, unit.kind)
        case Kind.ARTIFACTS | Kind.COMPOSITE | Kind.LABELS:
            return _too_many(_accepted_items(reply), unit.items, unit.kind)


def links_contradiction(reply: BatchReply, units: Sequence[Unit]) -> str:
    """Return what is impossible in a reply to several units of links, as a clause; empty if nothing is."""
    sent = {kind: sum(unit.items for unit in units if unit.kind is kind) for kind in LINKS}
    inputs = _too_many(reply.inputs_linked, sent[Kind.INPUTS], Kind.INPUTS)
    return inputs or _too_many(reply.outputs_linked, sent[Kind.OUTPUTS], Kind.OUTPUTS)


def unaccounted_labels(reply: BatchReply, items: int) -> int:
    """Return how many labels the reply does not account for; 0 unless it gives all three counts."""
    same = reply.noops if reply.noops is not None else reply.unchanged
    if reply.created is None or reply.updated is None or same is None:
        return 0
    return max(0, items - reply.created - reply.updated - same)


def _job_contradiction(reply: BatchReply, items: int) -> str:
    if reply.already_registered_session_hashes:  # neither number includes those
        return ""
    if reply.created_count is not None and reply.existing_count is not None:
        count = reply.created_count + reply.existing_count
        if count != items or min(reply.created_count, reply.existing_count) < 0:
            return f"it reports {count} of the {items} jobs that were sent"
    if isinstance(reply.job_ids, list) and reply.job_ids and len(reply.job_ids) != items:
        return f"it returns {len(reply.job_ids)} ids for the {items} jobs that were sent"
    return ""


def _accepted_items(reply: BatchReply) -> int:
    """Return how many items were accepted, by the reply. `noops` and `unchanged` are two names for the same count."""
    return sum(number or 0 for number in (reply.created, reply.updated, reply.existing, reply.noops or reply.unchanged))


def _too_many(count: int | None, items: int, kind: Kind) -> str:
    if count is None or 0 <= count <= items:
        return ""
    return f"it reports {count} accepted of the {items} {kind.value} that were sent"
