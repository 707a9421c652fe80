"""Delivers a unit, and describes the items that the registry did not accept in terms that the user recognises."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from roar_publisher.engine.run import Run
from roar_publisher.engine.staging.reply_counts import contradiction
from roar_publisher.engine.staging.routes import UnitRoute
from roar_publisher.glaas.acceptance import NotAccepted, errors_in, not_accepted
from roar_publisher.glaas.client import Authorizer, Refused
from roar_publisher.glaas.replies import BatchReply
from roar_publisher.net.documents import one_line
from roar_publisher.state.errors import Rejected
from roar_publisher.state.journal import Journal
from roar_publisher.state.reasons import Reason
from roar_publisher.state.units import Kind, Unit

MOST_NAMED = 3
"""Maximum number of items named in one message. The others are counted."""
LONGEST_COMMAND = 60
"""Maximum number of characters shown of a step's command."""
SHORT_DIGEST = 12
ABOUT_ITEMS = frozenset({400, 422})
"""Statuses of refusals that may concern only some items of a batch."""
Item = dict[str, Any]


async def deliver_unit(run: Run, unit: Unit, route: UnitRoute, authorize: Authorizer) -> BatchReply:
    """Send a unit and return the registry's reply once it has every item.

    Raises Rejected, naming the items, if the registry did not accept some of them or if its counts are impossible.
    Raises what `RegistryClient.call` raises.
    """
    path, body = route.request(unit)
    try:
        reply = await run.client.call("POST", path, body, expect=BatchReply, authorize=authorize)
    except Refused as refusal:
        about_items = refusal.status in ABOUT_ITEMS or refusal.status < 300
        if about_items and (missing := not_accepted(errors_in(refusal.body), unit.items)):
            raise Rejected(f"the registry did not accept {await describe_rejected(run, unit, missing)}") from refusal
        raise
    if missing := reply.not_accepted(unit.items):
        raise Rejected(f"the registry did not accept {await describe_rejected(run, unit, missing)}")
    if wrong := contradiction(reply, unit):
        raise Rejected(f"the registry's answer does not match what was sent: {wrong}", reason=Reason.RECEIPT)
    return reply


async def describe_rejected(run: Run, unit: Unit, missing: Sequence[NotAccepted]) -> str:
    """Return a text such as `2 of the 5 jobs that were sent: step 3 (python train.py): …; step 4 (…): …`."""

    def explain(journal: Journal) -> str:
        items = json.loads(unit.body)
        shown = [_describe_rejected_item(journal, unit, _item(items, entry), entry) for entry in missing[:MOST_NAMED]]
        named = "; ".join(dict.fromkeys(filter(None, shown)))
        more = f"; and {len(missing) - MOST_NAMED} more" if named and len(missing) > MOST_NAMED else ""
        return (
            f"{len(missing)} of the {unit.items} {unit.kind.value} that were sent{': ' if named else ''}{named}{more}"
        )

    return await run.journal.call(explain)


async def describe_oversized_item(run: Run, unit: Unit) -> str:
    """Describe the only item of a unit and its size, for a registry that finds it too large."""

    def describe(journal: Journal) -> str:
        return f"{_describe_item(journal, unit, json.loads(unit.body)[0])}: {len(unit.body):,} bytes"

    return await run.journal.call(describe)


def _describe_item(journal: Journal, unit: Unit, item: Item) -> str:
    """Describe an item for the user: a step by its command, a file by the step that used it.

    Searches the plan for what the item itself does not contain. Blocking.
    """
    match unit.kind:
        case Kind.JOBS:
            return _step(item)
        case Kind.INPUTS | Kind.OUTPUTS:
            return f"{unit.kind.value[:-1]} {one_line(str(item.get('path')))} of {_step_of(journal, unit.job_uid)}"
        case Kind.ARTIFACTS | Kind.COMPOSITE:
            what = "dataset" if unit.kind is Kind.COMPOSITE else "artifact"
            digests = {entry["digest"] for entry in item["hashes"]}
            return f"{what} {min(digests, default='')[:SHORT_DIGEST]}{_shown_path(journal, digests)}"
        case Kind.LABELS:
            return _describe_label(journal, item)


def _describe_rejected_item(journal: Journal, unit: Unit, item: Item | None, entry: NotAccepted) -> str:
    why = one_line(entry.why)
    what = _describe_item(journal, unit, item) if item is not None else one_line(entry.name)
    return ": ".join(filter(None, [what, why]))


def _item(items: list[Item], entry: NotAccepted) -> Item | None:
    return items[entry.place] if entry.place is not None else None


def _describe_label(journal: Journal, item: Item) -> str:
    if item.get("entity_type") == "job":
        return f"labels of {_step_of(journal, item.get('job_uid'))}"
    digest = item.get("artifact_hash")
    if not digest:
        return "labels of the session"
    return f"labels of artifact {digest[:SHORT_DIGEST]}{_shown_path(journal, {digest})}"


def _step_of(journal: Journal, uid: str | None) -> str:
    jobs = (job for body in journal.units.bodies(Kind.JOBS) for job in json.loads(body))
    return next((_step(job) for job in jobs if job.get("job_uid") == uid), f"job {uid}")


def _step(job: Item) -> str:
    command = one_line(str(job.get("command") or ""))
    shown = command if len(command) <= LONGEST_COMMAND else f"{command[: LONGEST_COMMAND - 1]}…"
    step = job.get("step_number")
    name = f"job {job.get('job_uid')}" if step is None else f"step {step}"
    return f"{name} ({shown})" if shown else name


def _shown_path(journal: Journal, digests: Iterable[str]) -> str:
    """Return the path of an artifact from the first link that names it."""
    links = (
        link for kind in (Kind.OUTPUTS, Kind.INPUTS) for body in journal.units.bodies(kind) for link in json.loads(body)
    )
    path = next((str(link.get("path")) for link in links if link.get("hash") in digests), "")
    return f" ({one_line(path)})" if path else ""
