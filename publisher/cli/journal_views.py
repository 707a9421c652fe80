"""What `roar journal list` and `show` print.  They read, and change nothing."""

import json
import time
from dataclasses import asdict
from datetime import datetime

import click
from rich.table import Table
from rich.text import Text

from publisher.cli import tables
from publisher.cli.standing import Standing, Surroundings
from publisher.cli.text import Status, count, printable, size, span
from publisher.cli.why import named
from state.errors import LocalProblem
from state.journal import Journal
from state.paths import PublishPaths, StateFolder
from state.record import Checkpoint
from state.survey import Summary, look, survey

COLOURS = {
    Status.RUNNING: "cyan",
    Status.INTERRUPTED: "yellow",
    Status.DONE: "green",
    Status.FAILED: "red",
    Status.UNREADABLE: "red",
}


def show_list(folder: StateFolder, *, as_json: bool) -> None:
    """Print every publish, newest first; one that can't be read with the reason why."""
    around = Surroundings.of(folder, time.time())
    found = list(survey(folder))
    if as_json:
        for entry in found:
            facts = Standing(entry, around).facts() if isinstance(entry, Summary) else _unreadable(*entry)
            click.echo(json.dumps(facts))
    elif not found:
        click.echo(f"No publishes in {folder.publishes}.", err=True)
    else:
        tables.show(_table(found, around))


def show_one(paths: PublishPaths, folder: StateFolder, *, as_json: bool) -> None:
    """Print a publish with its history.  Raises LocalProblem if its journal can't be read."""
    standing = Standing(look(paths), Surroundings.of(folder, time.time()))
    with Journal(paths.journal, read_only=True) as journal:
        history = journal.history()
    if as_json:
        facts = standing.facts() | standing.more_facts() | {"history": [asdict(row) for row in history]}
        click.echo(json.dumps(facts))
        return
    tables.show(named(_rows(standing)), *([_history(history)] if history else []))


def _table(found: list[Summary | tuple[PublishPaths, LocalProblem]], around: Surroundings) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("ID", "STATUS", "DONE", "AGE"):
        table.add_column(name, no_wrap=True, justify="right" if name in ("DONE", "AGE") else "left")
    table.add_column("TARGET", overflow="fold")
    table.add_column("WHY, AND WHAT NEXT", overflow="fold", ratio=1)
    for entry in found:
        if isinstance(entry, Summary):
            standing = Standing(entry, around)
            share, age = f"{standing.percent} %", span(standing.age)
            target, why, colour = entry.plan.target or "session", _why(standing), COLOURS.get(standing.status, "")
            name, status = entry.plan.id, standing.word
        else:
            name, status, share, age, target = entry[0].id, Status.UNREADABLE, "", "", ""
            why, colour = f"{entry[1].what}; {entry[1].next_step}", COLOURS[Status.UNREADABLE]
        table.add_row(name, Text(status, style=colour), share, age, Text(printable(target)), Text(printable(why)))
    return table


def _why(standing: Standing) -> str:
    """The reason in words and the next step, or where it is published."""
    progress = standing.summary.progress
    match standing.status:
        case Status.DONE:
            return progress.url or progress.hash or ""
        case Status.RUNNING:
            return f"{progress.state}, {standing.why}"
        case _:
            return "; ".join(filter(None, (standing.why, standing.next_step)))


def _rows(standing: Standing) -> list[tuple[str, str]]:
    plan, progress = standing.summary.plan, standing.summary.progress
    done, total = standing.items
    owner = f", pid {standing.summary.owner} works on it" if standing.summary.owner else ""
    kinds = ", ".join(f"{kind.value} {t.acked_items:,}/{t.items:,}" for kind, t in standing.summary.tally.items())
    links = f"{count(plan.inputs, 'input')}, {count(plan.outputs, 'output')}"
    lineage = f"{count(plan.jobs, 'job')}, {links}, {count(plan.artifacts, 'artifact')}, {count(plan.labels, 'label')}"
    objects = standing.summary.objects
    stored = f"{objects.stored:,}/{count(objects.objects, 'file')}, {size(objects.stored_size)}/{size(objects.size)}"
    files = f"{stored}, in {plan.destination}" if plan.destination else ""
    return [
        ("publish", plan.id),
        ("status", f"{standing.word} ({progress.state}{owner})"),
        ("reason", ": ".join(filter(None, (standing.why, progress.detail)))),
        ("next", standing.next_step),
        ("hash", progress.hash or ""),
        ("url", progress.url or ""),
        ("project", plan.project),
        ("target", plan.target or "the active session"),
        ("registry", plan.registry),
        ("files", files),
        ("lineage", lineage),
        ("redacted", ", ".join(f"{shape} ({number})" for shape, number in plan.redactions.items())),
        ("credential", ", because ".join(filter(None, (progress.credential, progress.why)))),
        ("planned", f"{_moment(plan.created_at)} ({span(standing.age)} ago)"),
        ("acknowledged", f"{done:,}/{total:,} items ({kinds})"),
    ]


def _history(history: list[Checkpoint]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("AT", "EVENT", "STATE"):
        table.add_column(name, no_wrap=True)
    table.add_column("", overflow="fold")
    for row in history:
        table.add_row(_moment(row.at), row.event, f"{row.source} → {row.target}", Text(printable(row.detail)))
    return table


def _unreadable(paths: PublishPaths, problem: LocalProblem) -> dict[str, str]:
    facts = {"publish_id": paths.id, "status": Status.UNREADABLE, "reason": problem.reason}
    return facts | {"detail": problem.what, "next": problem.next_step}


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")
