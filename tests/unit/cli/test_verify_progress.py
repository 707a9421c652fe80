"""The line that `roar verify` shows on a terminal while it reads objects."""

import io
import sys
from collections.abc import Callable

import pytest

from roar_publisher.cli.verify.progress import ReadingLine, reading_line, sentence
from roar_publisher.inspection.findings import Finding, Inspected, Inspection
from roar_publisher.inspection.subjects import Subject


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def inspection() -> Inspection:
    found = Inspection(bytes_read=3 * 1024**2)
    found.add(Inspected(Subject("s3://bucket/x", "ab" * 32), Finding.MISSING, "gone"), by_reading=False)
    return found


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    now = [100.0]

    def by(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return by


def test_it_says_how_much_was_read_and_what_is_wrong() -> None:
    assert sentence(Inspection(), 1, 2.0) == "Verifying: 0 of 1 object in 2.0 s"
    assert sentence(inspection(), 1200, 65.0) == "Verifying: 1 of 1,200 objects, 3.15 MB read in 1 min 5 s, 1 wrong"


def test_it_is_drawn_on_a_terminal_and_removed(
    pass_time: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    shown = reading_line(as_json=False)
    shown.tick()
    shown.begin(inspection(), 7)
    pass_time(0.5)
    shown.tick()
    assert terminal.getvalue() == "", "an inspection that is over soon"
    pass_time(1.5)
    shown.tick()
    assert "Verifying: 1 of 7 objects, 3.15 MB read" in terminal.getvalue()
    shown.close()
    drawn = terminal.getvalue()
    assert drawn.endswith("\x1b[2K\x1b[?25h\r"), "the line is erased, and the cursor is visible"
    shown.tick()
    shown.close()
    assert terminal.getvalue() == drawn


@pytest.mark.parametrize(
    ("terminal", "kind", "as_json"),
    [(False, "xterm", False), (True, "dumb", False), (True, "", False), (True, "xterm", True)],
)
def test_nothing_is_drawn_elsewhere(
    terminal: bool, kind: str, as_json: bool, pass_time: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", kind)
    hidden: ReadingLine = reading_line(as_json=as_json)
    hidden.begin(inspection(), 7)
    pass_time(9.0)
    hidden.tick()
    hidden.close()
    assert stream.getvalue() == ""
