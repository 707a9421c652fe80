"""Prompts on a terminal."""

import os
import pty
import sys
from collections.abc import Iterator

import pytest

from roar_publisher.cli.display.base import QuietDisplay
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.publish.prompts import Prompter
from roar_publisher.state.errors import Interrupted


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make stdin a terminal."""
    user, program = pty.openpty()
    with open(program) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield
    os.close(user)


def test_a_passphrase_prompt_that_is_stopped_does_not_count_as_an_empty_answer() -> None:
    prompter = Prompter(present=True, yes=False, display=QuietDisplay(Output(sys.stdout)))
    prompter.abort()
    with pytest.raises(Interrupted):
        prompter.passphrase("Passphrase: ")
