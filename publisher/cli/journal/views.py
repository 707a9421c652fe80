"""The output of `roar journal list` and `show`. Both only read."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from roar_publisher.cli.display import tables
from roar_publisher.cli.display.naming import as_called
from roar_publisher.cli.display.text import Status, count, one_line, printable, size, span
from roar_publisher.cli.status import Circumstances, Standing
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Checkpoint
from roar_publisher.state.survey import Summary, look, survey

COLOURS = {
    Status.RUNNING: "cyan",
    Status.INTERRUPTED: "yellow",
    Status.DONE: "green",
    Status.FAILED: "red",
    Status.UNREADABLE: "red",
}

TARGET_WIDTH = 200
"""The number of characters of a target in the list. `roar journal show` prints all of it."""
PROJECT_WIDTH = 40
NARROWEST = 8
FIXED_WIDTH = 8 + 11 + 5 + 11 + 5 * tables.GAP
"""The width of an id, a status, a percentage and an age, with the gaps between all six columns."""

Entry = Summary | tuple[PublishPaths, LocalProblem]
"""A publish, or an unreadable one with its error."""


def show_list(folder: StateFolder, project: Path | None, *, as_json: bool) -> None:
    """Print every publish, newest first. For unreadable ones, print the error.

    project: print only its publishes, with the number of others on stderr. Unreadable ones may belong to it, so they
    are shown as well.
    """
    around = Circumstances.of(folder, time.time())
    every = list(survey(folder))
    found = [entry for entry in every if project is None or _belongs(entry, project)]
    _list(found, folder, around, as_json=as_json)
    if others := len(every) - len(found):
        command = as_called("roar journal list --all")
        click.echo(f"{count(others, 'publish', 'publishes')} of other projects: {command}", err=True)


def _belongs(entry: Entry, project: Path) -> bool:
    return not isinstance(entry, Summary) or entry.plan.project == str(project)


def _list(found: list[Entry], folder: StateFolder, around: Circumstances, *, as_json: bool) -> None:
    if as_json:
        for entry in found:
            facts = Standing(entry, around).facts() if isinstance(entry, Summary) else _unreadable(*entry)
            click.echo(json.dumps(facts))
    elif not found:
        click.echo(f"No publishes in {folder.publishes}.", err=True)
    else:
        names = ("ID", "STATUS", "DONE", "AGE", "PROJECT", "TARGET")
        rows = [_row(entry, around) for entry in found]
        tables.show_noted(names, rows, "WHY, AND WHAT NEXT", right=("DONE", "AGE"))


def show_one(paths: PublishPaths, folder: StateFolder, *, as_json: bool) -> None:
    """Print a publish with its history. Raises LocalProblem if its journal cannot be read."""
    standing = Standing(look(paths), Circumstances.of(folder, time.time()))
    with Journal(paths.journal, read_only=True) as journal:
        history = journal.history()
    if as_json:
        facts = standing.facts() | standing.more_facts() | {"history": [asdict(row) for row in history]}
        click.echo(json.dumps(facts))
        return
    tables.show_facts(_rows(standing))
    if history:
        tables.show(_history(history), unbroken=True)


def _row(entry: Entry, around: Circumstances) -> tuple[list[str | Text], str]:
    """Return the table cells of a publish, and the text that explains its status."""
    if not isinstance(entry, Summary):
        paths, problem = entry
        status = Text(Status.UNREADABLE, style=COLOURS[Status.UNREADABLE])
        why = "; ".join(filter(None, (problem.what, problem.next_step)))
        return [paths.id, status, "", "", "", ""], as_called(why)
    standing = Standing(entry, around)
    status = Text(standing.word, style=COLOURS.get(standing.status, ""))
    # The width that is left beside the columns that are never cut.
    room = max(tables.columns() - FIXED_WIDTH, 2 * NARROWEST)
    project = one_line(Path(entry.plan.project).name, min(room // 2, PROJECT_WIDTH))
    target = one_line(entry.plan.target or "session", min(room - max(len(project), len("PROJECT")), TARGET_WIDTH))
    cells: list[str | Text] = [
        entry.plan.id,
        status,
        f"{standing.percent} %",
        span(standing.age),
        Text(project),
        Text(target),
    ]
    return cells, _why(standing)


def _why(standing: Standing) -> str:
    """Return the reason in words and the next step, or where the lineage is published."""
    progress = standing.summary.progress
    match standing.status:
        case Status.DONE:
            if standing.summary.owes:
                owed = ", ".join(debt.what for debt in progress.owed)
                return f"owed: {owed}; {standing.next_step}"
            if progress.unconfirmed:
                return f"{standing.reason}; {standing.next_step}"
            url, lineage_hash = progress.url or "", progress.hash or ""
            return url if url and len(url) + tables.GAP <= tables.columns() else lineage_hash
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
        ("reason", ": ".join(filter(None, (standing.why, as_called(progress.detail))))),
        ("owed", "; ".join(debt.text for debt in progress.owed)),
        ("next", standing.next_step),
        ("hash", progress.hash or ""),
        ("url", progress.url or ""),
        ("receipt", json.dumps(progress.receipt) if progress.receipt and standing.reason == Reason.RECEIPT else ""),
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
    return facts | {"detail": as_called(problem.what), "next": as_called(problem.next_step)}


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
