"""What the displays say about a publish and its progress."""

from roar_publisher.cli.display.words import delay
from roar_publisher.publishing.meter import Meter
from roar_publisher.state.record import Plan
from roar_publisher.text import count, lasted, size, span


def headline(plan: Plan, *, verb: str = "Publishing", resumed: bool = False) -> str:
    """Return what is published where, under which id. verb: what this run does with it."""
    what = f"Resuming {plan.id}, begun earlier" if resumed else f"{verb} {plan.id}"
    return f"{what}: {_contents(plan)}"


def detached_line(plan: Plan) -> str:
    """Return what is left to the daemon."""
    return f"Left to the daemon: {_contents(plan)}"


def _contents(plan: Plan) -> str:
    """Return what is sent where."""
    files = f"files to {plan.destination}, then " if plan.destination else ""
    links = count(plan.inputs + plan.outputs, "link")
    return f"{files}{count(plan.jobs, 'job')}, {links} to {plan.registry}"


def progress_text(meter: Meter) -> str:
    """Return the progress of a phase as text: `1,204/3,010 items, 412/s, 4 s left`."""
    parts = (
        [f"{share(meter)} items" if not meter.in_bytes else share(meter)]
        if meter.total
        else [f"{span(meter.elapsed)} so far"]
    )
    return ", ".join(parts + pace(meter) + delay_text(meter))


def pace(meter: Meter) -> list[str]:
    """Return the speed of a phase and the remaining time. Empty if there is no progress."""
    if not meter.total or not meter.rate or meter.delay is not None:
        return []
    left = [f"{span(meter.seconds_left)} left"] if meter.seconds_left else []
    return [f"{size(meter.rate)}/s" if meter.in_bytes else f"{meter.rate:,.0f}/s", *left]


def share(meter: Meter) -> str:
    """Return the finished and total amounts: `1,204/3,010`, `1.2 GB/3 GB`."""
    if meter.in_bytes:
        return f"{size(meter.done)}/{size(meter.total)}"
    return f"{meter.done:,}/{meter.total:,}"


def delay_text(meter: Meter) -> list[str]:
    """Return what is waited for, with the remaining time. Empty if nothing is."""
    if meter.delay is None:
        return []
    what, left = meter.delay
    again = f"next try in {span(left)}" if left >= 0.5 else "trying again"
    return [f"{delay(what, files=meter.in_bytes)}, {again}"]


def result_line(plan: Plan, seconds: float | None, *, again: bool) -> str:
    """Return what was published as a sentence. seconds: how long this run took, or None if it did not publish it."""
    what = f"{count(plan.jobs, 'job')}, {count(plan.inputs, 'input')} and {count(plan.outputs, 'output')}"
    if again:
        return f"Published earlier: {what}:"
    return f"Published {what}:" if seconds is None else f"Published {what} in {lasted(seconds)}:"
