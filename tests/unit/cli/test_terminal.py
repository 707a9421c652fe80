"""A terminal that is closed while a program draws on it."""

import os
import pty
import select
import sys
import time

import pytest

from roar_publisher.cli.display.live import LiveDisplay
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.terminal import terminal
from roar_publisher.report import Entered
from roar_publisher.state.machine import State
from tests.support.cli.program import PATIENCE


def wait_for(screen: int, words: bytes) -> None:
    """Read until the words have arrived: the system passes on what is written when it has time."""
    shown = b""
    while words not in shown:
        assert select.select([screen], [], [], PATIENCE)[0], shown
        shown += os.read(screen, 4096)


def test_a_terminal_that_is_closed_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, end = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    with open(end, "w", buffering=1) as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        display = LiveDisplay(Output(sys.stdout), terminal(), time.monotonic, verbose=False)
        display.planning()
        display.report(Entered(State.STAGE, None))
        wait_for(screen, b"Reading the lineage")
        os.close(screen)
        display.tick()
        display.report(Entered(State.FINALIZE, None))
        display.close()
