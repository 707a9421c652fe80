"""Whether the numbers in a registry's answer to a batch can be true of what it was sent (protocol.md §4).

A server that says no numbers says nothing.  Requests are repeated, and servers count what was there before in
different ways, so fewer artifacts or links than were sent are no contradiction; more are.
"""

from roar_publisher.glaas.replies import BatchReply
from roar_publisher.state.units import Kind, Unit


def contradiction(reply: BatchReply, unit: Unit) -> str:
    """What can't be true, as a clause; empty where nothing is wrong."""
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
    """How many labels a registry does not say that it took; 0 where it does not say it of all three kinds."""
    same = reply.noops if reply.noops is not None else reply.unchanged
    if reply.created is None or reply.updated is None or same is None:
        return 0
    return max(0, items - reply.created - reply.updated - same)


def _of_jobs(reply: BatchReply, items: int) -> str:
    if reply.already_registered_session_hashes:  # those are in neither number
        return ""
    if reply.created_count is not None and reply.existing_count is not None:
        told = reply.created_count + reply.existing_count
        if told != items or min(reply.created_count, reply.existing_count) < 0:
            return f"it says that it has {told} of the {items} jobs it was sent"
    if isinstance(reply.job_ids, list) and reply.job_ids and len(reply.job_ids) != items:
        return f"it gives {len(reply.job_ids)} ids for the {items} jobs it was sent"
    return ""


def _taken(reply: BatchReply) -> int:
    """`noops` and `unchanged` are two words for the same number."""
    return sum(number or 0 for number in (reply.created, reply.updated, reply.existing, reply.noops or reply.unchanged))


def _too_many(told: int | None, unit: Unit) -> str:
    if told is None or 0 <= told <= unit.items:
        return ""
    return f"it says that it took {told} of the {unit.items} {unit.kind.value} it was sent"
