"""Reports by how much this machine's clock is off, because the server then refuses signatures (protocol.md §3).

It imports nothing heavy, because `roar daemon status` and `roar journal list` use it.
"""

import re
from datetime import UTC

TOLERANCE_S = 30.0
"""Maximum difference that network delay and the whole seconds of a Date header can explain."""
_SKEW = re.compile(r"clock is (?P<span>[^.]+) (?P<way>ahead of|behind) the server's")


def clock_skew(server_date: str | None, now: float) -> str | None:
    """Return a sentence on the difference between this clock and the server's, or None if it is small or unknown.

    server_date: the `Date` header of the reply.
    now: Unix seconds, when the reply arrived.
    """
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(server_date or "")
    except (ValueError, OverflowError):
        return None
    ahead = now - date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    if abs(ahead) < TOLERANCE_S:
        return None
    direction = "ahead of" if ahead > 0 else "behind"
    return f"This machine's clock is {_span(abs(ahead))} {direction} the server's; signatures need it to be right."


def clock_advice_in(text: str) -> str | None:
    """Return how to correct the clock, if the text (such as a journal's error) contains `clock_skew`'s sentence."""
    found = _SKEW.search(text)
    if found is None:
        return None
    way = "back" if found["way"] == "ahead of" else "forward"
    return f"set this machine's clock {way} by {found['span']}"


def _span(seconds: float) -> str:
    """Return the two largest units of a time span."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    parts = [(days, "d"), (hour, "h"), (minute, "min"), (second, "s")]
    first = next(index for index, (value, _unit) in enumerate(parts) if value)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value)
