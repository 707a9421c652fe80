"""What the steps that send units share: STAGE, FALLBACK, and the labels after both."""

from roar_publisher.engine.run import Run
from roar_publisher.engine.staging.delivery import deliver_unit
from roar_publisher.engine.staging.routes import UnitRoute
from roar_publisher.engine.steps.not_found import OPTIONAL, Endpoints
from roar_publisher.glaas.client import Authorizer, Refused
from roar_publisher.glaas.replies import BatchReply
from roar_publisher.report import Planned
from roar_publisher.state.units import Kind, Unit

BEFORE_LABELS = (Kind.COMPOSITE, Kind.JOBS, Kind.ARTIFACTS, Kind.INPUTS, Kind.OUTPUTS)
"""The kinds that are sent before finalize."""


async def deliver_if_supported(
    run: Run, unit: Unit, route: UnitRoute, authorize: Authorizer, endpoints: Endpoints
) -> BatchReply | None:
    """Deliver a unit as `deliver_unit` does. Return None if the registry lacks its endpoint and does not need it."""
    if endpoints.lacks(unit.kind):
        return None
    try:
        return await deliver_unit(run, await endpoints.with_descriptions(unit), route, authorize)
    except Refused as refusal:
        if not await endpoints.is_missing(OPTIONAL.get(unit.kind, ""), refusal):
            raise
        return None


async def report_planned(run: Run, kinds: tuple[Kind, ...]) -> None:
    """Report how much there is to send, and how much earlier runs have acknowledged."""
    tally = await run.journal.units.tally()
    run.report(Planned.of({kind: tally[kind] for kind in kinds if kind in tally}))
