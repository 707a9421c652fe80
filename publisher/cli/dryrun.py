"""`roar publish --dry-run`: what would be published, by which route, under which hash.  Sends and keeps nothing."""

import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from publisher.auth.choice import Choice, Decision
from publisher.cli.request import offline_choices
from publisher.cli.tables import console
from publisher.cli.text import count, one_line, printable
from publisher.lineage.canonical import ANONYMOUS
from publisher.lineage.explain import Explanation, explain
from publisher.plans import Request
from state.errors import ExitCode

JOBS_SHOWN = 40
"""Jobs that a terminal gets to see; `--json` has them all."""
COMMAND_WIDTH = 200
"""Characters of a command where stdout is no terminal."""


def show(request: Request, *, as_json: bool, quiet: bool) -> int:
    """Print the plan and return 0, also where the publish itself would stop.

    Raises what `build_plan` raises: a publish would fail in the same way.
    """
    explanation = explain(request.project, request.target, cwd=request.cwd, identities=(ANONYMOUS,))
    choices = offline_choices(request)
    if as_json:
        click.echo(json.dumps(_facts(request, explanation, choices)))
    elif quiet:
        click.echo(explanation.summary.provisional[ANONYMOUS])
    else:
        _print(request, explanation, choices)
    return ExitCode.PUBLISHED


def _facts(request: Request, explanation: Explanation, choices: list[Choice]) -> dict[str, object]:
    summary = explanation.summary
    return {
        "event": "dry-run",
        "registry": request.registry,
        "target": request.target,
        "git": {"repo": summary.git.repo, "commit": summary.git.commit, "branch": summary.git.branch},
        "jobs": summary.jobs,
        "inputs": summary.inputs,
        "outputs": summary.outputs,
        "artifacts": summary.artifacts,
        "composites": explanation.composites,
        "labels": summary.labels,
        "redactions": summary.redactions,
        "provisional_hash": summary.provisional[ANONYMOUS],
        "routes": [
            {
                "decision": choice.decision,
                "row": choice.row,
                "why": choice.why,
                "public": choice.public,
                "scope_request": choice.scope_request,
                "remedies": choice.remedies,
            }
            for choice in choices
        ],
        "job_list": [asdict(job) for job in explanation.jobs],
    }


def _print(request: Request, explanation: Explanation, choices: list[Choice]) -> None:
    summary = explanation.summary
    out = console()
    links = f"{count(summary.inputs, 'input')}, {count(summary.outputs, 'output')}"
    things = f"{count(summary.artifacts, 'artifact')} and {count(summary.labels, 'label')}"
    out.print(f"Would publish {count(summary.jobs, 'job')}, {links}, {things}.  Nothing is sent.", style="bold")
    _print_jobs(out, explanation)
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    for name, value in _rows(request, explanation, choices):
        rows.add_row(name, Text(printable(value)))
    out.print(rows)


def _print_jobs(out: Console, explanation: Explanation) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("STEP", "JOB"):
        table.add_column(name, no_wrap=True)
    for name in ("IN", "OUT"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("COMMAND", no_wrap=True, overflow="ellipsis")
    for job in explanation.jobs[:JOBS_SHOWN]:
        step = f"@{'B' if job.build else ''}{job.step}"
        command = Text(one_line(job.command, COMMAND_WIDTH))
        table.add_row(step, Text(printable(job.uid)), str(job.inputs), str(job.outputs), command)
    out.print(table)
    if len(explanation.jobs) > JOBS_SHOWN:
        out.print(f"… and {count(len(explanation.jobs) - JOBS_SHOWN, 'job')} more; --json lists them all", style="dim")


def _rows(request: Request, explanation: Explanation, choices: list[Choice]) -> list[tuple[str, str]]:
    summary = explanation.summary
    redactions = ", ".join(f"{shape} ({number})" for shape, number in summary.redactions.items())
    return [
        ("registry", request.registry),
        ("target", request.target or "the active session"),
        ("git", " ".join(filter(None, (summary.git.repo, summary.git.branch, summary.git.commit))) or "none"),
        ("redacted", redactions or "nothing"),
        *_route_rows(choices),
        ("hash", f"{summary.provisional[ANONYMOUS]} (provisional: the registry computes the one that counts)"),
    ]


def _route_rows(choices: list[Choice]) -> list[tuple[str, str]]:
    first, *others = choices
    if first.decision is Decision.STOP:
        problem = first.problem().diagnostics()
        return [("would stop", problem.what), ("what to do", problem.next_step)]
    rows = [("visibility", "public" if first.public else "private")]
    rows.append(("route", f"{first.decision}{', if the registry offers it' if others else ''}: {first.why}"))
    rows += [("else", f"{other.decision}: {other.why}") for other in others]
    if first.needs_confirmation:
        rows.append(("owner", "nobody: it names no one, so it needs your confirmation or --yes"))
    return rows
