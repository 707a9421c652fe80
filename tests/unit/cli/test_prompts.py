"""Prompts on a terminal."""

import os
import pty
import sys
from collections.abc import Iterator

import pytest

from roar_publisher.cli.display.base import QuietDisplay
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.publish import prompts
from roar_publisher.cli.publish.prompts import Prompter
from roar_publisher.state.errors import Interrupted


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Make stdin a terminal. What is written to the descriptor is typed."""
    user, program = pty.openpty()
    with open(program) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield user
    os.close(user)


def test_a_passphrase_prompt_that_is_stopped_does_not_count_as_an_empty_answer() -> None:
    prompter = Prompter(present=True, yes=False, display=QuietDisplay(Output(sys.stdout)))
    prompter.abort()
    with pytest.raises(Interrupted):
        prompter.passphrase("Passphrase: ")


def test_a_signal_in_the_moment_before_an_answer_is_read_is_not_lost(
    user: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python notices it when a call ends: a read would end with the next line alone."""
    waits: list[float] = []

    def ends(streams: list[object], _writable: object, _failed: object, seconds: float) -> tuple[list[object], ...]:
        waits.append(seconds)
        if len(waits) == 3:
            os.write(user, b"y\n")
        return (streams if len(waits) == 3 else [], [], [])

    monkeypatch.setattr("roar_publisher.cli.publish.prompts.select.select", ends)
    assert prompts.agrees()
    assert waits == [prompts.POLL_SECONDS] * 3
