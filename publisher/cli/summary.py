"""`roar summary`: what `--json` wrote, as Markdown for the page of a CI job, or as variables for its later steps.

The events hold texts of a server and of the project. None of them can become markup, a link or a second line.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, BinaryIO

import click

from roar_publisher.exit_codes import ExitCode
from roar_publisher.text import count, fitted, size

PREFIX = "ROAR_PUBLISH_"
"""Of the variables, as for the daemon's hook."""
LONGEST = 1000
"""Characters of a text that are shown."""
WEB_ADDRESS = re.compile(r"https?://[\w.:/\[\]-]+", re.ASCII)
"""What is written as a link."""
THEN = "; then: "
"""Stands before the command that resumes (`publishing.errors`)."""
OUTCOMES: Mapping[int, str] = {
    ExitCode.USAGE: "wrong usage",
    ExitCode.INTERRUPTED: "interrupted, resumable",
    ExitCode.NEEDS_USER: "needs you",
    ExitCode.OWNED: "another process is working on it",
    ExitCode.STOPPED: "stopped, resumable",
}
"""The outcomes that are not plain failures."""


@click.command()
@click.argument("events", type=click.File("rb"))
@click.option("--variables", is_flag=True, help="Print NAME=value lines instead.")
@click.option(
    "--without-journal", is_flag=True, help="The journal ends with the job: advise to run it again, not to resume."
)
def summary(events: BinaryIO, variables: bool, without_journal: bool) -> None:
    """Summarise a publish in Markdown. EVENTS is the output of --json, or - for stdin.

    Reads only that file, and sends nothing. With --variables, prints the known ones of ROAR_PUBLISH_STATE (done,
    failed), _ID, _HASH, _URL and _REASON, one per line: the same as the daemon's hook gets.

    \b
      roar publish --public -y --json > events.jsonl
      roar summary events.jsonl >> "$GITHUB_STEP_SUMMARY"
      roar summary --variables events.jsonl >> "$GITHUB_OUTPUT"

    \b
    Exit codes: 0 also for a publish that failed, 2 EVENTS cannot be read.
    """
    planned, notes, last = _facts(events)
    if without_journal:
        last = _without_journal(planned, last)
    if variables:
        text = _variables(planned, last)
    else:
        text = chain(_markdown(planned, last), (f"- {_text(note)}" for note in notes))
    for line in text:
        click.echo(line)


def _facts(lines: Iterable[bytes]) -> tuple[dict[str, Any], list[str], dict[str, Any]]:
    """Return the `planned` event, the notes, and the event that ended the publish; empty ones if they are missing.

    What is published stays so: an error after that is another note.
    """
    planned: dict[str, Any] = {}
    notes: list[str] = []
    last: dict[str, Any] = {}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:  # cut off when the writer was killed
            continue
        match event:
            case {"event": "planned"}:
                planned = event
            case {"event": "note", "text": text}:
                notes.append(text)
            case {"event": "error", "what": what} if last.get("event") == "published":
                notes.append(what)
            case {"event": "published" | "error" | "detached" | "dry-run"}:
                last = event
    return planned, notes, last


def _without_journal(planned: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event that ended the publish without the commands that need its journal."""
    publish_id = last.get("publish_id") or planned.get("publish_id")
    kept, next_step = (str(last.get(name) or "") for name in ("kept", "next"))
    if not publish_id or publish_id not in kept + next_step:
        return dict(last)
    before, then, _ = next_step.partition(THEN)
    first = f"{before}; then " if then and publish_id not in before else ""
    return {**last, "kept": "", "next": f"{first}run this job again"}


def _variables(planned: Mapping[str, Any], last: Mapping[str, Any]) -> Iterator[str]:
    publish_id = last.get("publish_id") or planned.get("publish_id")
    state = {"published": "done", "detached": "", "dry-run": ""}.get(last.get("event", ""), "failed")
    url = last.get("url")
    values = {"STATE": state, "ID": publish_id, "HASH": last.get("hash"), "REASON": last.get("reason")}
    values["URL"] = url if url and WEB_ADDRESS.fullmatch(str(url)) else None
    return (f"{PREFIX}{name}={fitted(str(value), LONGEST)}" for name, value in values.items() if value)


def _markdown(planned: Mapping[str, Any], last: Mapping[str, Any]) -> Iterator[str]:
    match last.get("event"):
        case "published":
            yield "### roar: published\n"
            yield from _table(_published(planned, last))
        case "detached":
            yield "### roar: left to the daemon\n"
            yield from _table([("Publish", _text(last.get("publish_id")))])
        case "dry-run":
            yield "### roar: a dry run\n"
            yield "Nothing was sent.\n"
            yield from _table([(noun, _text(last.get(noun.lower()))) for noun in ("Registry", "Jobs", "Artifacts")])
        case "error":
            yield f"### roar: {OUTCOMES.get(last.get('exit_code', 1), 'failed')}\n"
            yield f"{_text(last.get('what'))}\n"
            yield from _table(_failed(planned, last))
        case _:
            yield "### roar: ended without a result\n"
            yield "Run the job again.\n"
            yield from _table([("Publish", _text(planned.get("publish_id")))])


def _published(planned: Mapping[str, Any], last: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    lineage, url = _text(last.get("hash")), str(last.get("url"))
    yield "Lineage", f"[{lineage}]({url})" if WEB_ADDRESS.fullmatch(url) else lineage
    numbers = [count(int(last.get(f"{noun}s") or 0), noun) for noun in ("job", "input", "output")]
    yield "Size", ", ".join(numbers)
    yield "Visibility", _text(last.get("visibility"))
    yield "Published by", _text(last.get("identity"))
    if last.get("destination"):
        stored = f"{count(int(last.get('files') or 0), 'file')}, {size(int(last.get('bytes') or 0))}"
        yield "Stored", f"{stored} in {_text(last['destination'])}"
    if redactions := planned.get("redactions"):
        yield "Redacted", ", ".join(f"{_text(kind)}: {number}" for kind, number in redactions.items())
    yield "Publish", _text(last.get("publish_id"))


def _failed(planned: Mapping[str, Any], last: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Kept", _text(last.get("kept"))
    yield "Next", _text(last.get("next"))
    yield "Reason", _text(last.get("reason"))
    yield "Exit code", _text(last.get("exit_code"))
    yield "Publish", _text(last.get("publish_id") or planned.get("publish_id"))


def _table(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Yield the lines of a table, without the rows that have no value."""
    known = [f"| {name} | {value} |" for name, value in rows if value]
    if known:
        yield from ("| | |", "| --- | --- |", *known, "")


def _text(value: object) -> str:
    """Return a value as one line without Markdown or HTML: what an entity stands for is never markup."""
    if value is None:
        return ""
    line = fitted(str(value), LONGEST)
    return "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in line)
