"""The output of `roar journal list` and `show`. Both only read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import asdict

from roar_publisher.cli.display import tables
from roar_publisher.naming import as_called
from roar_publisher.publishing.status import explain, facts, more_facts, next_step, unreadable_facts
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Checkpoint, Progress
from roar_publisher.state.status import CountedStatus, Status
from roar_publisher.state.status_reader import count_all, count_status
from roar_publisher.text import count, fitted, printable, size, span

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

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

Entry = CountedStatus | tuple[PublishPaths, LocalProblem]
"""A publish, or an unreadable one with its error."""


def show_list(folder: StateFolder, project: Path | None, *, as_json: bool) -> None:
    """Print every publish, newest first. For unreadable ones, print the error.

    project: print only its publishes, with the number of others on stderr. Unreadable ones may belong to it, so they
    are shown as well.
    """
    every = list(count_all(folder, None if project is None else str(project)))
    found = [entry for entry in every if isinstance(entry, CountedStatus | tuple)]
    _list(found, folder, as_json=as_json)
    if others := len(every) - len(found):
        command = as_called("roar journal list --all")
        click.echo(f"{count(others, 'publish', 'publishes')} of other projects: {command}", err=True)


def _list(found: list[Entry], folder: StateFolder, *, as_json: bool) -> None:
    if as_json:
        for entry in found:
            click.echo(json.dumps(facts(entry) if isinstance(entry, CountedStatus) else _unreadable(*entry)))
    elif not found:
        click.echo(f"No publishes in {folder.publishes}.", err=True)
    else:
        names = ("ID", "STATUS", "DONE", "AGE", "PROJECT", "TARGET")
        rows = [_row(entry) for entry in found]
        tables.show_noted(names, rows, "WHY, AND WHAT NEXT", right=("DONE", "AGE"))


def show_one(paths: PublishPaths, *, as_json: bool) -> None:
    """Print a publish with its history. Raises LocalProblem if its journal cannot be read."""
    status = count_status(paths)
    with Journal(paths.journal, read_only=True) as journal:
        history = journal.history()
    if as_json:
        click.echo(json.dumps(facts(status) | more_facts(status) | {"history": [asdict(row) for row in history]}))
        return
    tables.show_facts(_rows(status))
    if history:
        tables.show(_history(history), unbroken=True)


def _row(entry: Entry) -> tuple[list[str | Text], str]:
    """Return the table cells of a publish, and the text that explains its status."""
    from rich.text import Text

    if not isinstance(entry, CountedStatus):
        paths, problem = entry
        status = Text(Status.UNREADABLE, style=COLOURS[Status.UNREADABLE])
        why = "; ".join(filter(None, (problem.what, problem.next_step)))
        return [paths.id, status, "", "", "", ""], as_called(why)
    status = Text(entry.label, style=COLOURS.get(entry.status, ""))
    # The width that is left beside the columns that are never cut.
    room = max(tables.columns() - FIXED_WIDTH, 2 * NARROWEST)
    project = fitted(Path(entry.plan.project).name, min(room // 2, PROJECT_WIDTH))
    target = fitted(entry.plan.target or "session", min(room - max(len(project), len("PROJECT")), TARGET_WIDTH))
    cells: list[str | Text] = [
        entry.plan.id,
        status,
        f"{entry.percent} %",
        span(entry.age),
        Text(project),
        Text(target),
    ]
    return cells, _why(entry)


def _why(status: CountedStatus) -> str:
    """Return the reason in words and the next step, or where the lineage is published."""
    progress = status.progress
    match status.status:
        case Status.DONE:
            if status.owes:
                owed = ", ".join(debt.what for debt in progress.owed)
                return f"remaining: {owed}; {next_step(status)}"
            if progress.unconfirmed or progress.differs:
                return f"{status.reason}; {next_step(status)}"
            url, lineage_hash = progress.url or "", progress.hash or ""
            return url if url and len(url) + tables.GAP <= tables.columns() else lineage_hash
        case Status.RUNNING:
            return f"{progress.state}, {explain(status)}"
        case _:
            return "; ".join(filter(None, (explain(status), next_step(status))))


def _rows(status: CountedStatus) -> list[tuple[str, str]]:
    plan, progress = status.plan, status.progress
    done, total = status.items
    state = progress.state if progress.state != status.label else ""
    owner = f"pid {status.owner} is working on it" if status.owner else ""
    more = ", ".join(filter(None, (state, owner)))
    kinds = ", ".join(f"{kind.value} {t.acked_items:,}/{t.items:,}" for kind, t in status.tally.items())
    links = f"{count(plan.inputs, 'input')}, {count(plan.outputs, 'output')}"
    lineage = f"{count(plan.jobs, 'job')}, {links}, {count(plan.artifacts, 'artifact')}, {count(plan.labels, 'label')}"
    objects = status.objects
    stored = f"{objects.stored:,}/{count(objects.objects, 'file')}, {size(objects.stored_size)}/{size(objects.size)}"
    files = f"{stored}, in {plan.destination}" if plan.destination else ""
    return [
        ("publish", plan.id),
        ("status", f"{status.label} ({more})" if more else status.label),
        ("reason", ": ".join(filter(None, (explain(status), as_called(progress.detail))))),
        ("remaining", "; ".join(debt.text for debt in progress.owed)),
        ("next", next_step(status)),
        ("hash", progress.hash or ""),
        ("url", progress.url or ""),
        ("receipt", json.dumps(progress.receipt) if progress.receipt and status.reason == Reason.RECEIPT else ""),
        ("verification", _verification(progress)),
        ("project", plan.project),
        ("target", plan.target or "the active session"),
        ("registry", plan.registry),
        ("files", files),
        ("lineage", lineage),
        ("redacted", ", ".join(f"{shape} ({number})" for shape, number in plan.redactions.items())),
        ("credential", ", because ".join(filter(None, (progress.credential, progress.why)))),
        ("planned", f"{_moment(plan.created_at)} ({span(status.age)} ago)"),
        ("acknowledged", f"{done:,}/{total:,} items ({kinds})"),
    ]


def _verification(progress: Progress) -> str:
    found = progress.verification or {}
    return ": ".join(filter(None, (found.get("outcome"), found.get("why"))))


def _history(history: list[Checkpoint]) -> Table:
    from rich.text import Text

    table = tables.plain_table()
    for name in ("AT", "EVENT", "STATE"):
        table.add_column(name, no_wrap=True)
    table.add_column("", overflow="fold")
    for row in history:
        table.add_row(_moment(row.at), row.event, f"{row.source} → {row.target}", Text(printable(row.detail)))
    return table


def _unreadable(paths: PublishPaths, problem: LocalProblem) -> dict[str, Any]:
    every = unreadable_facts(paths, problem)
    return {name: every[name] for name in ("publish_id", "status", "reason", "detail", "next")}


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
