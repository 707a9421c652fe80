"""What `roar verify` prints of a verdict: sentences, or one JSON object."""

import json
from typing import Any

import click
from msgspec.structs import asdict

from roar_publisher.checking.service import Verified, VerifyOrder
from roar_publisher.inspection.findings import Finding, Inspection
from roar_publisher.text import count, printable_line, size
from roar_publisher.verification.labels import LabelCheck

MOST_SHOWN = 100
"""Differences, and objects, that are printed."""
LONGEST_VALUE = 200
"""Characters of a value that are printed."""


def show(verdict: Verified, order: VerifyOrder, *, as_json: bool) -> None:
    """Print a verdict."""
    if as_json:
        click.echo(json.dumps(_event(verdict, order)))
        return
    _show_lineage(verdict, order)
    if order.objects is not None and verdict.inspection is not None:
        _show_objects(verdict.inspection, verdict.seed)
        for each in verdict.repairs or ():
            name = each.inspected.subject.url or f"digest {each.inspected.subject.digest}"
            click.echo(printable_line(f"  not repaired: {name}: {each.why}" if each.why else f"  repaired: {name}"))


def _labels(verdict: Verified) -> LabelCheck:
    return verdict.lineage.labels or LabelCheck(why_not="there is no plan of them here")


def _event(verdict: Verified, order: VerifyOrder) -> dict[str, Any]:
    lineage, served, labels = verdict.lineage, verdict.lineage.served, _labels(verdict)
    shown = lineage.differences[:MOST_SHOWN]
    event = {"event": "verified", "proven": verdict.exit_code == 0, "hash": lineage.hash}
    event |= {"computed_hash": lineage.computed, "registry": order.registry}
    event |= {"publish_id": order.planned.plan.id if order.planned else None, "finalized": served.finalized}
    event |= {"jobs": served.jobs, "inputs": served.inputs, "outputs": served.outputs}
    event |= {"labels": labels.compared, "edited_labels": labels.edited, "labels_not_compared": labels.why_not}
    event |= {"differences": [asdict(each) for each in shown]}
    event |= {"more_differences": len(lineage.differences) - len(shown), "uncompared": lineage.omitted}
    if verdict.inspection is not None:
        event["objects"] = _objects(verdict.inspection)
        if verdict.repairs is not None:
            event["repaired"] = [each.inspected.subject.url for each in verdict.repairs if not each.why]
            left = [(each.inspected.subject, each.why) for each in verdict.repairs if each.why]
            event["not_repaired"] = [{"url": each.url, "digest": each.digest, "why": why} for each, why in left]
        event["sample_seed"] = verdict.seed
    return event | {"exit_code": int(verdict.exit_code)}


def _objects(inspection: Inspection) -> dict[str, Any]:
    shown = inspection.problems[:MOST_SHOWN]
    problems = [
        {"url": each.subject.url, "digest": each.subject.digest, "finding": each.finding.value, "why": each.why}
        for each in shown
    ]
    counts = {finding.value: number for finding, number in inspection.counts.items()}
    read = {"by_reading": inspection.by_reading, "bytes_read": inspection.bytes_read}
    return counts | read | {"problems": problems, "more_problems": len(inspection.problems) - len(shown)}


def _show_lineage(verdict: Verified, order: VerifyOrder) -> None:
    lineage, served, labels, planned = verdict.lineage, verdict.lineage.served, _labels(verdict), order.planned
    read = f"{count(served.jobs, 'job')}, {count(served.inputs, 'input')}, {count(served.outputs, 'output')}"
    if labels.compared:
        read += f", {count(labels.compared, 'label')}" + (f" of which {labels.edited} edited" if labels.edited else "")
    if lineage.proven:
        by = "its hash" if lineage.computed == lineage.hash or not planned else f"the plan of publish {planned.plan.id}"
        click.echo(f"Proven by {by}: {order.registry} serves {lineage.hash} ({read}).")
        if planned and labels.why_not:
            click.echo(f"Labels were not compared: {labels.why_not}.")
        return
    click.echo(f"Differs: {order.registry} does not serve {lineage.hash} ({read} read).")
    shown = lineage.differences[:MOST_SHOWN]
    for each in shown:
        click.echo(
            printable_line(f"  {each.job}: {each.field}: ours {_value(each.ours)}, theirs {_value(each.theirs)}")
        )
    more = len(lineage.differences) - len(shown)
    if more or lineage.omitted:
        rest = [f"and {count(more, 'more difference')}"] if more else []
        if lineage.omitted:
            rest.append(f"{count(lineage.omitted, 'differing job or label', 'differing jobs and labels')} not compared")
        click.echo(f"  {'; '.join(rest)}")


def _show_objects(inspection: Inspection, seed: int | None) -> None:
    proven = inspection.counts[Finding.PROVEN]
    drawn = f" of a sample (--seed {seed})" if seed is not None else ""
    by = f"{inspection.by_reading} by reading {size(inspection.bytes_read)}" if inspection.by_reading else ""
    rest = proven - inspection.by_reading
    how = ", ".join(filter(None, [f"{rest} by the checksums of their stores" if rest else "", by]))
    click.echo(f"Objects{drawn}: {proven} of {inspection.total} proven" + (f" ({how})." if how else "."))
    for each in inspection.problems[:MOST_SHOWN]:
        name = each.subject.url or f"digest {each.subject.digest}"
        click.echo(printable_line(f"  {each.finding.value}: {name}: {each.why}"))
    if len(inspection.problems) > MOST_SHOWN:
        click.echo(f"  and {len(inspection.problems) - MOST_SHOWN} more")


def _value(value: object) -> str:
    text = json.dumps(value)
    return "nothing" if value is None else text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"
