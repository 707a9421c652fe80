"""Questions to a person: what may go out.  Without a person to ask, `--yes` answers, or nothing goes out."""

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import anyio
import click

from publisher.auth.choice import Choice
from publisher.cli.text import count
from state.errors import Interrupted, NeedsPerson

YES = frozenset({"y", "yes"})


class Pausing(Protocol):
    """Gives the terminal up for as long as a question is asked."""

    def paused(self) -> AbstractContextManager[None]: ...


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever runs the command.

    present: somebody sits at the terminal and may be asked.  yes: everything was agreed to on the command line.
    """

    present: bool
    yes: bool
    display: Pausing

    def accept_redactions(self, redactions: Mapping[str, int]) -> None:
        """Return if the redacted data may be published.  Raises NeedsPerson if not, or if nobody can be asked."""
        if self.yes:
            return
        found = ", ".join(f"{shape} ({number})" for shape, number in redactions.items())
        total = count(sum(redactions.values()), "secret")
        if not self.present:
            raise NeedsPerson(
                f"{total} would be taken out before publishing: {found}",
                kept="Nothing was sent, nothing was kept.",
                next_step="look with --dry-run, then go on with --yes",
            )
        with self.display.paused():
            click.echo(f"{total} will be taken out of what is published: {found}", err=True)
            _prompt("Publish the rest?")
            if not _affirmed(sys.stdin.readline()):
                raise NeedsPerson("not published, as you chose", kept="Nothing was sent, nothing was kept.")

    async def confirm(self, choice: Choice, stop: anyio.Event) -> bool:
        """Whether a publish that names nobody may go out.  Raises Interrupted if `stop` is set before the answer."""
        if self.yes or not self.present:
            return self.yes
        with self.display.paused():
            click.echo(f"This will be public and name nobody as its owner ({choice.why}).", err=True)
            _prompt("Publish it?")
            return _affirmed(await _line(stop))


async def _line(stop: anyio.Event) -> str:
    """A line from the terminal.  The terminal hands out whole lines, so once it is readable nothing blocks."""
    line: str | None = None
    async with anyio.create_task_group() as tasks:

        async def give_up() -> None:
            await stop.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(give_up)
        await anyio.wait_readable(sys.stdin)
        line = sys.stdin.readline()
        tasks.cancel_scope.cancel()
    if line is None:
        raise Interrupted("stopped on request")
    return line


def _prompt(question: str) -> None:
    click.echo(f"{question} [y/N] ", err=True, nl=False)


def _affirmed(answer: str) -> bool:
    return answer.strip().lower() in YES
