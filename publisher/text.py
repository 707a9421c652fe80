"""Text helpers: counts, durations, and safe output for a terminal."""

import textwrap

ELLIPSIS = "…"


def printable(text: str) -> str:
    """Return the text with every character that could control a terminal replaced by a space. Line ends stay."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def printable_line(text: str) -> str:
    """Return the text as `printable` does, on one line: what strangers wrote cannot add lines of its own."""
    return "".join(c if c.isprintable() else " " for c in text)


def fitted(text: str, width: int) -> str:
    """Return the text as one line of at most `width` characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= width else line[: width - 1] + ELLIPSIS


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with a noun: `1 job`, `1,204 jobs`. plural: for nouns that do not just take an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def lasted(seconds: float) -> str:
    """Return an elapsed time: with tenths below ten seconds, otherwise as `span`."""
    return f"{seconds:.1f} s" if seconds < 9.95 else span(seconds)


def span(seconds: float) -> str:
    """Return a duration in its one or two largest units: `8 s`, `3 min 20 s`, `5 h`, `12 d`."""
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
    """Return a number of bytes with three significant digits: `812 B`, `1.25 MB`, `3.4 GB`."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(number) < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.0f} PB" if abs(number) >= 999.5 else f"{number:.3g} PB"


def wrapped(text: str, width: int) -> list[str]:
    """Return the text in lines of at most `width` columns, wrapped only between words. Paths and hashes stay whole."""
    lines = []
    for line in text.split("\n"):
        lines += textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
    return lines
