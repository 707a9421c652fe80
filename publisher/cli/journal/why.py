"""`roar journal show ID --why`: prints one reason, who acts next, and the next command. Changes nothing."""

import json
import time

import click

from roar_publisher.cli.display import tables
from roar_publisher.publishing.status import moment, reason_facts, unreadable_facts
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.status_reader import count_status


def show_why(paths: PublishPaths, *, as_json: bool) -> None:
    """Print the reason for the status of a publish. A journal that cannot be read is also a valid answer."""
    try:
        answer = reason_facts(count_status(paths))
    except LocalProblem as problem:
        answer = unreadable_facts(paths, problem)
    if as_json:
        click.echo(json.dumps(answer))
        return
    until = answer["next_attempt"]
    receipt = answer["receipt"] and json.dumps(answer["receipt"])
    shown = answer | {"next_attempt": until and moment(until, time.time()), "receipt": receipt}
    names = ("reason", "meaning", "turn", "detail", "receipt", "owner", "attempts", "next_attempt", "next")
    tables.show_facts((name.replace("_", " "), str(shown[name] or "")) for name in names)
