"""Spans of time as users write them."""

import re

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"(\d{1,6})([smhdw])")


def parse_age(text: str) -> float:
    """Return a span in seconds: a number with s, m, h, d or w. Raises ValueError if it is not one."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an age such as 12h, 30d or 4w")
    return float(int(match[1]) * SECONDS[match[2]])
