"""Asks the user what may be sent. If the user cannot be asked, `--yes` is the answer; without it, nothing is sent."""

import contextlib
import select
import sys
import termios
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import anyio
import click

from roar_publisher.auth.choice import Choice
from roar_publisher.auth.secret import Secret
from roar_publisher.cli.display.streams import columns
from roar_publisher.publishing.consent import Consent, Declined, describe
from roar_publisher.state.errors import Interrupted
from roar_publisher.tasks import until_stopped
from roar_publisher.text import count, printable, wrapped

YES = frozenset({"y", "yes"})
POLL_SECONDS = 0.1
"""How often a prompt checks whether the process was asked to stop."""


class PausableDisplay(Protocol):
    """Releases the terminal while a question is asked."""

    def paused(self) -> AbstractContextManager[None]: ...


class Prompter(Consent):
    """The user who runs the command.

    present: whether the user is at the terminal and can be asked. yes: everything was agreed to on the command line.
    """

    def __init__(self, *, present: bool, yes: bool, display: PausableDisplay) -> None:
        super().__init__(yes=yes)
        self.present = present
        self._display = display
        self._aborted = threading.Event()

    def abort(self) -> None:
        """End a passphrase prompt, because the process was asked to stop."""
        self._aborted.set()

    def accept_redactions(self, redactions: Mapping[str, int]) -> None:
        """Ensure that the redacted data may be published.

        Raises Declined if the user says no, NeedsUser if the user cannot be asked.
        """
        if self._yes or not self.present:
            return super().accept_redactions(redactions)
        total = count(sum(redactions.values()), "secret")
        with self._display.paused():
            _explain(f"{total} will be redacted: {describe(redactions)}.")
            _prompt("Publish the rest? [y/N] ")
            if not agrees():
                raise Declined

    def accept_registry(self, origin: str, named_in: str) -> bool:
        """Return whether data may be sent to a registry that is new to this user. False if the user cannot be asked.

        `--yes` does not count, because it was typed before the address was shown. Raises Declined if the user says
        no.
        """
        if self._yes or not self.present:
            return False
        with self._display.paused():
            _explain(
                f"{named_in} names a registry that you have not used before: {origin}\nIt will receive commands, "
                "metadata, paths, the address of the git repository, and your signature if an SSH key signs."
            )
            _prompt(f"Trust {origin} from now on? [y/N] ")
            if not agrees():
                raise Declined
            return True

    async def confirm(self, choice: Choice, stop: anyio.Event) -> bool:
        """Return whether a publish without a named owner may be sent. False if the user cannot be asked.

        Raises Declined if the user says no, Interrupted if `stop` is set before the answer.
        """
        if self._yes or not self.present:
            return await super().confirm(choice, stop)
        with self._display.paused():
            _explain(f"This will be public and anonymous ({choice.why}).")
            _prompt("Publish it? [y/N] ")
            if not _is_yes(await _read_line(stop)):
                raise Declined
            return True

    def passphrase(self, prompt: str) -> Secret | None:
        """Read a passphrase without echo. Blocks its thread. Returns None if it is empty.

        Raises Interrupted if the process is asked to stop. An empty answer would let the work end with an error about
        its credential before the stop cancels it.
        """
        with self._display.paused(), _without_echo():
            _prompt(prompt)
            try:
                while not self._aborted.is_set():
                    if select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
                        text = sys.stdin.readline().rstrip("\n")
                        return Secret(text) if text else None
            finally:
                click.echo(err=True)
        raise Interrupted


def agrees() -> bool:
    """Read an answer from the terminal, in the main thread. Return whether it is yes.

    A signal that arrives in the moment before a read would be noticed only once the read ends, so this waits in steps.
    """
    while not select.select([sys.stdin], [], [], POLL_SECONDS)[0]:
        pass
    return _is_yes(sys.stdin.readline())


async def _read_line(stop: anyio.Event) -> str:
    """Read a line from the terminal.

    The terminal delivers whole lines, so the read does not block once it is readable.
    """

    async def read() -> str:
        await anyio.wait_readable(sys.stdin)
        return sys.stdin.readline()

    return await until_stopped(stop, read)


@contextlib.contextmanager
def _without_echo() -> Iterator[None]:
    """Turn off the terminal's echo for the duration of the block."""
    before = termios.tcgetattr(sys.stdin)
    unseen = [*before]
    unseen[3] &= ~termios.ECHO
    termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, unseen)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSAFLUSH, before)


def _explain(text: str) -> None:
    click.echo("\n".join(wrapped(printable(text), columns(sys.stderr))), err=True)


def _prompt(text: str) -> None:
    click.echo(printable(text), err=True, nl=False)


def _is_yes(answer: str) -> bool:
    return answer.strip().lower() in YES
