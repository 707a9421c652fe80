"""Small pieces of text: counts, spans, and what may be shown on a terminal."""

import textwrap
from enum import StrEnum

ELLIPSIS = "…"


class Status(StrEnum):
    """How a publish stands, in a word that a person understands."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNREADABLE = "unreadable"


def printable(text: str) -> str:
    """The text with every character that could steer a terminal replaced by a space; line ends stay."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def one_line(text: str, width: int) -> str:
    """The text on one line of at most `width` characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= width else line[: width - 1] + ELLIPSIS


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 job`, `1,204 jobs`.  plural: of a noun that does not just get an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def lasted(seconds: float) -> str:
    """How long something took: tenths below ten seconds, else as `span`."""
    return f"{seconds:.1f} s" if seconds < 9.95 else span(seconds)


def span(seconds: float) -> str:
    """A duration in its largest unit or two: `8 s`, `3 min 20 s`, `5 h`, `12 d`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes and hours < 10 else f"{hours} h"
    return f"{hours // 24} d"


def size(number: float) -> str:
    """An amount of bytes, to three digits: `812 B`, `1.25 MB`, `3.4 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(number) < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def wrapped(text: str, width: int) -> list[str]:
    """The text in lines of at most `width` columns, broken between words alone: a path or a hash stays whole."""
    lines = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
    return lines
