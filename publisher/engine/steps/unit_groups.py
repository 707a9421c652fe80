"""Sends several units in one request: links where the registry has `links/batch`, jobs and artifacts where it reads
bodies that hold more than one unit (protocol.md §4).

The units stay as they were planned, and each is acknowledged for itself. What was not accepted in a group is sent
alone, so that the registry's reason is about one unit. After a 413, groups are half as large.
"""

from collections.abc import Awaitable, Callable, Sequence

from roar_publisher.engine.run import MAX_BODY_BYTES, Run
from roar_publisher.engine.staging.delivery import ABOUT_ITEMS
from roar_publisher.engine.staging.pipeline import Take, Taken
from roar_publisher.engine.staging.reply_counts import contradiction, links_contradiction
from roar_publisher.engine.staging.routes import TOO_LARGE, UnitRoute, merged
from roar_publisher.engine.steps.not_found import LINKS_BATCH, OPTIONAL, Endpoints
from roar_publisher.glaas.client import Authorizer, Refused
from roar_publisher.glaas.replies import BatchReply
from roar_publisher.lineage.batches import MAX_UNIT_BYTES
from roar_publisher.state.errors import Rejected
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.state.units import LINKS, Kind, Unit

GROUP_BYTES = 256 * 1024
"""The most bytes of a group's body. Larger ones save few requests, and would time out on slow connections."""
ENTRY_BYTES = 128
"""Bytes that a request may add to the links of a unit: the job's uid, the kind and the names of the fields."""
ITEM_BYTES = 96
"""Bytes that a request may add to each job or artifact: longer uids, or the hash of the lineage."""
ENDPOINTS = {
    Kind.JOBS: "jobs/batch",
    Kind.ARTIFACTS: OPTIONAL[Kind.ARTIFACTS],
    Kind.INPUTS: LINKS_BATCH,
    Kind.OUTPUTS: LINKS_BATCH,
}
"""Where several units of a kind are sent together."""


class UnitGroups:
    """Forms groups of ready units and delivers them. Use one instance per drain.

    enabled: set it to False to send every unit alone.
    note_jobs: learns from the reply to jobs before they are acknowledged.
    """

    def __init__(
        self,
        run: Run,
        progress: Progress,
        route: UnitRoute,
        authorize: Authorizer,
        endpoints: Endpoints,
        note_jobs: Callable[[BatchReply], Awaitable[None]] | None = None,
    ) -> None:
        self.enabled = True
        self._run = run
        self._route = route
        self._authorize = authorize
        self._endpoints = endpoints
        self._note_jobs = note_jobs
        self._large_bodies = MAX_BODY_BYTES in progress.capabilities
        self._most = min(progress.capabilities.get(MAX_BODY_BYTES, MAX_UNIT_BYTES), GROUP_BYTES)
        self._alone: set[tuple[int, int]] = set()  # units that were not accepted in a group

    def gather(self, first: Unit, take: Take) -> list[Unit]:
        """Return the units of one request: `first`, and the next ready ones that fit; `first` alone if it has to be."""
        units, size = [first], _size(first)
        endpoint = self._endpoint(first)

        def fits(unit: Unit) -> bool:
            return self._endpoint(unit) == endpoint and size + _size(unit) <= self._most

        while endpoint is not None and (unit := take(fits)) is not None:
            units.append(unit)
            size += _size(unit)
        return units

    async def deliver(self, units: Sequence[Unit]) -> Taken:
        """Send units of one endpoint in one request. Return those that the registry has, and those to send alone.

        Raises Rejected if the registry's counts are impossible, and what `RegistryClient.call` raises.
        """
        if units[0].kind in LINKS:
            path, body = self._route.links_request([await self._endpoints.with_descriptions(unit) for unit in units])
        else:
            path, body = self._route.request(merged(units))
        try:
            reply = await self._run.client.call("POST", path, body, expect=BatchReply, authorize=self._authorize)
        except Refused as refusal:
            await self._learn(refusal, units, len(body))
            return [], list(units)
        taken, others = _links_taken(reply, units) if units[0].kind in LINKS else _nodes_taken(reply, units)
        self._send_alone(others)
        if taken and units[0].kind is Kind.JOBS and self._note_jobs is not None:
            await self._note_jobs(reply)
        return taken, others

    async def _learn(self, refusal: Refused, units: Sequence[Unit], size: int) -> None:
        """Choose how units are sent after a group was refused. Raises the refusal if it is not about the group."""
        if refusal.status == TOO_LARGE:
            self._most = min(self._most, size // 2)
        elif refusal.status in ABOUT_ITEMS or refusal.status < 300:
            self._send_alone(units)
        elif not await self._endpoints.is_missing(ENDPOINTS[units[0].kind], refusal):
            raise refusal

    def _send_alone(self, units: Sequence[Unit]) -> None:
        self._alone |= {(unit.seq, unit.part) for unit in units}

    def _endpoint(self, unit: Unit) -> str | None:
        """Return where a unit may be sent with others; None if it is sent alone.

        An item past the usual size is alone in its unit, and a registry takes none that is much larger.
        """
        if not self.enabled or (unit.seq, unit.part) in self._alone or len(unit.body) > MAX_UNIT_BYTES:
            return None
        possible = self._endpoints.links_batch if unit.kind in LINKS else self._large_bodies
        return ENDPOINTS.get(unit.kind) if possible and not self._endpoints.lacks(unit.kind) else None


def _links_taken(reply: BatchReply, units: Sequence[Unit]) -> Taken:
    """Judge a reply whose errors are positional over the units. Raises Rejected."""
    _check(links_contradiction(reply, units))
    places = {entry.place for entry in reply.not_accepted(len(units))}
    if None in places:
        return [], list(units)
    refused = [unit for place, unit in enumerate(units) if place in places]
    return [unit for place, unit in enumerate(units) if place not in places], refused


def _nodes_taken(reply: BatchReply, units: Sequence[Unit]) -> Taken:
    """Judge a reply whose errors are positional over the items. If there is one, no unit counts as taken.

    Raises Rejected.
    """
    whole = merged(units)
    if reply.not_accepted(whole.items):
        return [], list(units)
    _check(contradiction(reply, whole))
    return list(units), []


def _check(contradicting: str) -> None:
    if contradicting:
        what = f"the registry's answer does not match what was sent: {contradicting}"
        raise Rejected(what, reason=Reason.RECEIPT)


def _size(unit: Unit) -> int:
    """Return the most bytes that a unit takes in a group's body."""
    return len(unit.body) + (ENTRY_BYTES if unit.kind in LINKS else ITEM_BYTES * unit.items)
