"""The line that `roar fetch` shows on a terminal."""

import io
import sys
from pathlib import Path

import pytest

from roar_publisher.cli.fetch.display import LiveFetchDisplay, choose_display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def make_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Return a terminal that stderr is from here on."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    return terminal


def test_it_is_drawn_below_the_messages_and_removed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    terminal = make_terminal(monkeypatch)
    display = choose_display(tmp_path, as_json=False, quiet=False, verbose=False)
    display.tick()
    assert terminal.getvalue().rstrip().endswith("Fetching")
    display.stopping()
    assert "\x1b[2KStopping.\nFetching" in terminal.getvalue(), "the line is drawn again below"
    display.close()
    drawn = terminal.getvalue()
    assert drawn.endswith("\x1b[2K\x1b[?25h\r"), "the line is erased, and the cursor is visible"
    display.tick()
    display.close()
    assert terminal.getvalue() == drawn


@pytest.mark.parametrize(("as_json", "quiet"), [(True, False), (False, True)])
def test_nothing_is_drawn_where_nobody_would_read_it(
    as_json: bool, quiet: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    terminal = make_terminal(monkeypatch)
    display = choose_display(tmp_path, as_json=as_json, quiet=quiet, verbose=False)
    display.tick()
    display.close()
    assert not isinstance(display, LiveFetchDisplay)
    assert terminal.getvalue() == ""
