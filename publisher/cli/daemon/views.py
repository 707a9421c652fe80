"""The output of `roar daemon`. It reads locks, journals and the log, and changes nothing."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import click

from roar_publisher.cli.display import tables
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.streams import StdoutLost
from roar_publisher.daemon.background import running
from roar_publisher.naming import as_called
from roar_publisher.publishing.status import explain, facts, moment, next_step
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.lock import name_owner
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.shell import shell_word
from roar_publisher.state.status import CountedStatus, JournalStatus
from roar_publisher.state.status_reader import count_status, read_status
from roar_publisher.text import fitted, printable

if TYPE_CHECKING:
    from rich.text import Text

    from roar_publisher.daemon.install import Installed

PROJECT_WIDTH = 40
"""Characters of a project's name that are shown."""


class QueuePosition(StrEnum):
    """The position of an unfinished publish in the daemon's queue."""

    RUNNING = "running"
    QUEUED = "queued"
    WAITING = "waiting"
    PARKED = "parked"


def show_status(folder: StateFolder, *, as_json: bool) -> bool:
    """Print whether a daemon runs and what is left to publish, newest first. Return whether one runs."""
    pid = running(folder)
    live = _live(folder)
    counts = Counter(_position(status) for status in live)
    next_attempt = min((at for status in live if (at := status.next_attempt) is not None), default=None)
    if as_json:
        answer = {
            "running": pid is not None,
            "pid": pid,
            "state_folder": str(folder.root),
            "log": str(folder.daemon_log),
            "counts": {position.value: counts[position] for position in QueuePosition},
            "next_attempt": next_attempt,
            "publishes": [facts(status) for status in live],
        }
        click.echo(json.dumps(answer))
        return pid is not None
    click.echo("No daemon is running." if pid is None else f"The daemon is running{name_owner(folder.daemon_lock)}.")
    click.echo(f"State folder: {printable(str(folder.root))}")
    click.echo(f"Log: {printable(str(folder.daemon_log))}")
    if live:
        until = f" (next attempt {moment(next_attempt, time.time())})" if next_attempt is not None else ""
        words = {
            position: f"{counts[position]} {position}{until if position is QueuePosition.WAITING else ''}"
            for position in QueuePosition
        }
        click.echo(", ".join(words[position] for position in QueuePosition if counts[position]))
        names = ("ID", "STATUS", "DONE", "PROJECT")
        tables.show_noted(names, [_row(status) for status in live], "WHY, AND WHAT NEXT", right=("DONE",))
    if pid is None and counts[QueuePosition.QUEUED] + counts[QueuePosition.WAITING]:
        click.echo(as_called("Next: roar daemon start"), err=True)
    return pid is not None


def _live(folder: StateFolder) -> list[CountedStatus]:
    """Return every publish that has not ended, newest first. Unreadable ones are left to `roar journal list`."""
    found = []
    for paths in folder.all_publishes():
        with suppress(LocalProblem):
            if read_status(paths).live:  # counting is expensive, so skip those that have ended
                found.append(count_status(paths))
    return sorted(found, key=lambda status: status.plan.created_at, reverse=True)


def _position(status: JournalStatus) -> QueuePosition:
    if status.owner is not None:
        return QueuePosition.RUNNING
    if status.parked:
        return QueuePosition.PARKED
    return QueuePosition.QUEUED if status.next_attempt is None else QueuePosition.WAITING


def _row(status: CountedStatus) -> tuple[list[str | Text], str]:
    """Return the table cells of a publish, and the text that explains its status."""
    from rich.text import Text

    plan = status.plan
    project = Text(fitted(Path(plan.project).name, PROJECT_WIDTH))
    why = "; ".join(filter(None, (explain(status), next_step(status))))
    return [plan.id, _position(status), f"{status.percent} %", project], why


def show_log(path: Path, lines: int, *, follow: bool) -> None:
    """Print the last lines of the log, and with `follow` each new line until Ctrl-C. Raises LocalProblem."""
    from roar_publisher.daemon.log import follow as follow_log
    from roar_publisher.daemon.log import last_lines

    if not follow and not path.exists():
        click.echo(f"There is no log yet: {printable(str(path))}", err=True)
    try:
        for line in follow_log(path, lines) if follow else last_lines(path, lines):
            click.echo(printable(line))
    except KeyboardInterrupt:
        if not follow:
            raise
    except BrokenPipeError:
        Output(sys.stdout).drop()
    except StdoutLost:
        raise
    except OSError as error:
        raise LocalProblem(
            f"the log {path} cannot be read: {error.strerror}",
            next_step=f"ls -l {shell_word(str(path))}",
            reason=Reason.DAEMON,
        ) from error


def show_installed(installed: Installed) -> None:
    """Print where the service is, and the commands left to type."""
    if installed.pid is None:
        click.echo(f"Wrote {installed.path}. No service manager answers here. Where one does, run:")
        _show_commands(installed.remaining)
        return
    click.echo(f"Installed {installed.path}. The daemon is running (pid {installed.pid}), and starts when you log in.")
    if sys.platform.startswith("linux"):
        click.echo("To keep it running while you are logged out: loginctl enable-linger")


def show_uninstalled(removed: Installed | None) -> None:
    """Print what was removed, and the commands left to type."""
    if removed is None:
        click.echo("The service is not installed.")
    elif removed.remaining:
        click.echo(f"Removed {removed.path}. No service manager answers here. Where one does, run:")
        _show_commands(removed.remaining)
    else:
        click.echo(f"Stopped the service and removed {removed.path}.")


def _show_commands(commands: tuple[str, ...]) -> None:
    for command in commands:
        click.echo(f"  {command}")
