"""Sends the links of several jobs in one request, to a registry that has `links/batch` (protocol.md §4).

The units stay as they were planned, and each is acknowledged for itself. What was not accepted in a group is sent
alone, so that the registry's reason is about one unit. After a 413, groups are half as large.
"""

import math
from collections.abc import Callable, Sequence

from roar_publisher.engine.run import MAX_BODY_BYTES, Run
from roar_publisher.engine.staging.delivery import ABOUT_ITEMS
from roar_publisher.engine.staging.reply_counts import group_contradiction
from roar_publisher.engine.staging.requests import TOO_LARGE, StagedRoute
from roar_publisher.engine.steps.missing import LINKS_BATCH, Endpoints
from roar_publisher.glaas.client import Authorizer, Refused
from roar_publisher.glaas.replies import BatchReply
from roar_publisher.lineage.batches import BODY_LIMIT
from roar_publisher.state.errors import Rejected
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress
from roar_publisher.state.units import LINKS, Unit

GROUP_BYTES = 256 * 1024
"""The most bytes of a group's body. Larger ones save few requests, and would time out on slow connections."""
ENTRY_BYTES = 128
"""Bytes that a unit may add to those of its items: the job's uid, the kind and the names of the fields."""

Take = Callable[[Callable[[Unit], bool]], Unit | None]


class LinkGroups:
    """Forms groups of ready units and delivers them. Use one instance per drain.

    enabled: set it to False to send every unit alone.
    """

    def __init__(
        self, run: Run, progress: Progress, route: StagedRoute, authorize: Authorizer, endpoints: Endpoints
    ) -> None:
        self.enabled = True
        self._run = run
        self._route = route
        self._authorize = authorize
        self._endpoints = endpoints
        self._most = min(progress.capabilities.get(MAX_BODY_BYTES, BODY_LIMIT), GROUP_BYTES)
        self._alone: set[tuple[int, int]] = set()  # units that were not accepted in a group

    def gather(self, first: Unit, take: Take) -> list[Unit]:
        """Return a unit, and the next ready ones that are sent in the same request; none if it is sent alone.

        take: removes and returns the next ready unit if it suits.
        """
        units, size = [first], self._size(first)

        def fits(unit: Unit) -> bool:
            return size + self._size(unit) <= self._most

        while self.enabled and self._endpoints.links_batch and (unit := take(fits)) is not None:
            units.append(unit)
            size += self._size(unit)
        return units

    async def deliver(self, units: Sequence[Unit]) -> tuple[list[Unit], list[Unit]]:
        """Send units in one request. Return those that the registry has, and those to send in another way.

        Raises Rejected if the registry's counts are impossible, and what `RegistryClient.call` raises.
        """
        path, body = self._route.group_request([await self._endpoints.with_descriptions(unit) for unit in units])
        try:
            reply = await self._run.caller.call("POST", path, body, expect=BatchReply, authorize=self._authorize)
        except Refused as refusal:
            await self._learn(refusal, units, len(body))
            return [], list(units)
        if wrong := group_contradiction(reply, units):
            raise Rejected(f"the registry's answer does not match what was sent: {wrong}", reason=Reason.RECEIPT)
        missing = reply.not_accepted(len(units))
        places = {entry.place for entry in missing}
        refused = [unit for place, unit in enumerate(units) if place in places or None in places]
        self._send_alone(refused)
        return [unit for place, unit in enumerate(units) if place not in places and None not in places], refused

    async def _learn(self, refusal: Refused, units: Sequence[Unit], size: int) -> None:
        """Choose how units are sent after a group was refused. Raises the refusal if it is not about the group."""
        if refusal.status == TOO_LARGE:
            self._most = min(self._most, size // 2)
        elif refusal.status in ABOUT_ITEMS or refusal.status < 300:
            self._send_alone(units)
        elif not await self._endpoints.is_missing(LINKS_BATCH, refusal):
            raise refusal

    def _send_alone(self, units: Sequence[Unit]) -> None:
        self._alone |= {(unit.seq, unit.part) for unit in units}

    def _size(self, unit: Unit) -> float:
        alone = unit.kind not in LINKS or (unit.seq, unit.part) in self._alone
        return math.inf if alone else len(unit.body) + ENTRY_BYTES
