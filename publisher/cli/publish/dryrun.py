"""`roar publish --dry-run`: shows what would be published, by which route and under which hash.

Sends and keeps nothing.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial

import anyio
import click
from msgspec.structs import asdict
from rich.table import Table
from rich.text import Text

from roar_publisher.auth.choice import Choice, Decision
from roar_publisher.cli.display import tables
from roar_publisher.engine.credentials import user_keyring
from roar_publisher.exit_codes import ExitCode
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.lineage.explain import Explanation, UnitReader
from roar_publisher.lineage.git.context import describe_missing_git
from roar_publisher.lineage.plan import PlanSummary
from roar_publisher.planning.plans import Planner, PublishRequest, PutPlan, lineage_planner
from roar_publisher.planning.put.request import PutRequest
from roar_publisher.publishing.registry_acceptance import registry_source
from roar_publisher.publishing.request import known_identities, possible_choices
from roar_publisher.report import Noted, Report
from roar_publisher.state.objects import ObjectRow
from roar_publisher.storage.source import shown
from roar_publisher.text import count, fitted, printable, size

ROWS_SHOWN = 40
"""The number of jobs, and of files, shown on a terminal. `--json` lists them all."""
UNNAMED = "known after the registry names the owner of the credential"
"""Shown instead of a hash, because the hash depends on the identity that the lineage names."""
UNTIMED = "known after publishing, because it includes the time of the put"
COMMAND_WIDTH = 200
"""The number of characters of a command if stdout is not a terminal."""


def show(request: PublishRequest, put: PutRequest | None, *, as_json: bool, quiet: bool) -> int:
    """Print the plan and return 0, even if the publish itself would stop.

    Raises what planning raises, because a publish would fail in the same way.
    """
    keyring = user_keyring(request.registry, request.intent)
    held = anyio.run(partial(keyring.available, request.flag, request.scope, may_ask=False))
    choices = possible_choices(request, held)
    identities = known_identities(choices)
    notes = request.project.config.omit.notes()
    if not keyring.policy.accepted:
        notes.append(
            f"{registry_source(request)} names this registry, and you have not accepted it yet: you are asked before "
            f"anything is sent there, or: roar registry trust {keyring.policy.origin}"
        )
    planner = lineage_planner(request) if put is None else anyio.run(_put_planner, put, notes)
    reader = UnitReader()
    draft = planner(identities or [ANONYMOUS_IDENTITY], reader.take)
    explanation, put_plan = reader.explanation(draft.summary), draft.put
    # A put records when it was made, so another run has another hash.
    hashes = {} if put_plan else {name: explanation.summary.published[name] for name in identities}
    if as_json:
        known = {"hashes": hashes, "provisional": {name: explanation.summary.provisional[name] for name in identities}}
        click.echo(json.dumps(_facts(request, explanation, choices, put_plan) | {"notes": notes} | known))
    elif quiet:
        click.echo(next(iter(hashes.values()), UNTIMED if put_plan else UNNAMED))
    else:
        _print(request, explanation, choices, hashes, [keyring.why_unusable, *notes], put_plan)
    return ExitCode.PUBLISHED


async def _put_planner(put: PutRequest, notes: list[str]) -> Planner:
    """Return the planner of the put. Messages for the user are added to `notes`."""
    from roar_publisher.planning.put.prepare import put_planner

    def note(report: Report) -> None:
        if isinstance(report, Noted):
            notes.append(report.text)

    return await put_planner(put, report=note, clock=time.time)


def _facts(
    request: PublishRequest, explanation: Explanation, choices: list[Choice], put: PutPlan | None
) -> dict[str, object]:
    summary = explanation.summary
    objects = put.objects if put else ()
    files = [{"key": row.key, "url": row.url, "bytes": row.size, "path": _real_path(row)} for row in objects]
    return {
        "event": "dry-run",
        "registry": request.registry,
        "registry_named_by": request.named_by,
        "target": request.target,
        "git": {"repo": summary.git.repo, "commit": summary.git.commit, "branch": summary.git.branch},
        "git_missing": describe_missing_git(summary.git.repo, summary.git.commit),
        "jobs": summary.jobs,
        "inputs": summary.inputs,
        "outputs": summary.outputs,
        "artifacts": summary.artifacts,
        "composites": explanation.composites,
        "labels": summary.labels,
        "redactions": summary.redactions,
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
        "destination": put.destination if put else None,
        "files": files,
        "tags": [{"name": name, "push_to": url or None} for name, _, _, url in (put.tags if put else ())],
    }


def _print(
    request: PublishRequest,
    explanation: Explanation,
    choices: list[Choice],
    hashes: Mapping[str, str],
    notes: Sequence[str],
    put: PutPlan | None,
) -> None:
    summary = explanation.summary
    links = f"{count(summary.inputs, 'distinct input')}, {count(summary.outputs, 'distinct output')}"
    things = f"{count(summary.artifacts, 'artifact')} and {count(summary.labels, 'label')}"
    headline = f"Would publish {count(summary.jobs, 'job')}, {links}, {things}. Nothing is sent."
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    for name, value in [
        *_rows(request, explanation),
        *_route_rows(choices),
        *(_hash_rows(choices, hashes, explanation.summary) if put is None else [("hash", UNTIMED)]),
        *(("note", note) for note in notes),
    ]:
        if value:
            rows.add_row(name, Text(printable(value)))
    if put is not None:
        rows.add_row("git tag", Text(printable(_tag(put))))
        tables.show(Text(_files_headline(put), style="bold"), _file_table(put))
    tables.show(Text(headline, style="bold"), _job_table(explanation), rows)


def _files_headline(put: PutPlan) -> str:
    total = size(sum(row.size for row in put.objects))
    return f"Would store {count(len(put.objects), 'file')}, {total}, in {printable(put.destination)}."


def _tag(put: PutPlan) -> str:
    """Return the tag that would be made, and where it would be pushed."""
    texts = [f"{name}, {f'pushed to {url}' if url else 'not pushed'}" for name, _commit, _remote, url in put.tags]
    return "; ".join(texts) or "none"


def _real_path(row: ObjectRow) -> str:
    """Return the path of the file after resolving all links."""
    return os.path.realpath(str(json.loads(row.content)["path"]))


def _file_table(put: PutPlan) -> Table:
    table = tables.plain_table(header=False)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    for row in put.objects[:ROWS_SHOWN]:
        table.add_row(size(row.size), Text(shown(row.key)), Text(shown(_real_path(row)), style="dim"))
    if (more := len(put.objects) - ROWS_SHOWN) > 0:
        table.add_row("…", f"{count(more, 'file')} more; --json lists them all", "")
    return table


def _job_table(explanation: Explanation) -> Table:
    table = tables.plain_table()
    for name in ("STEP", "JOB"):
        table.add_column(name, no_wrap=True)
    for name in ("IN", "OUT"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("COMMAND")
    for job in explanation.jobs[:ROWS_SHOWN]:
        step = f"@{'B' if job.build else ''}{job.step}"
        # Set on the cell: a column that must not wrap takes the space of all others.
        command = Text(fitted(job.command, COMMAND_WIDTH), no_wrap=True, overflow="ellipsis")
        table.add_row(step, Text(printable(job.uid)), str(job.inputs), str(job.outputs), command)
    if (more := len(explanation.jobs) - ROWS_SHOWN) > 0:
        table.add_row("…", "", "", "", f"{count(more, 'job')} more; --json lists them all")
    return table


def _rows(request: PublishRequest, explanation: Explanation) -> list[tuple[str, str]]:
    summary = explanation.summary
    redactions = ", ".join(f"{shape} ({number})" for shape, number in summary.redactions.items())
    lacking = describe_missing_git(summary.git.repo, summary.git.commit)
    return [
        ("registry", request.registry),
        ("target", request.target or "the active session"),
        ("git", " ".join(filter(None, (summary.git.repo, summary.git.branch, summary.git.commit)))),
        ("" if any((summary.git.repo, summary.git.commit)) else "git", lacking),
        ("redacted", redactions or "nothing"),
    ]


def _route_rows(choices: list[Choice]) -> list[tuple[str, str]]:
    """Return every route that the publish may take, depending on the registry's answers."""
    rows = []
    for number, choice in enumerate(choices):
        stops = choice.decision is Decision.STOP
        how = "stop" if stops else f"{choice.decision}, {'public' if choice.public else 'private'}"
        remedy = f"; {choice.problem().next_step}" if stops else ""
        rows.append(("or" if number else "route", f"{how}: {choice.why}{remedy} ({choice.row})"))
    scopes = (choice.scope_request or {} for choice in choices)
    if scope := next((scope for scope in scopes if "owner_id" in scope), None):  # as the project's files say
        project = f"the project {scope['project_id']} of " if "project_id" in scope else "the space of "
        rows.append(("into", f"{project}the {scope['owner_type']} {scope['owner_id']}"))
    if any(choice.needs_confirmation for choice in choices):
        rows.append(("owner", "without a credential it is published anonymously, which needs your consent or --yes"))
    return rows


def _hash_rows(choices: list[Choice], hashes: Mapping[str, str], summary: PlanSummary) -> list[tuple[str, str]]:
    """Return the hash of what is sent for each identity, as far as it is known here."""
    texts = [f"{digest} as {identity}" for identity, digest in hashes.items()]
    if not hashes or any(choice.decision is Decision.SSH for choice in choices):
        texts.append(UNNAMED)
    if summary.published != summary.provisional:
        texts.append("(of the redacted lineage, which is what the registry hashes)")
    return [("" if number else "hash", text) for number, text in enumerate(texts)]
