"""The retry policy: what the status of a reply means and how long to wait. Pure functions; `net.retry` applies them.

| reply | verdict |
| --- | --- |
| 2xx | ACCEPTED, if the caller can read it, else GARBLED (HTML of a proxy, nothing, truncated JSON) |
| 429, 503 | BUSY: wait as long as the server asks, else back off; not counted as an attempt |
| 408, 425, other 5xx | FAILED: back off, a bounded number of attempts (`glaas.answers` takes more of them for BUSY) |
| 3xx | REDIRECTED: never followed; a network that requires a sign-in redirects everything |
| 501, other 4xx | REFUSED: final |
| from something else than the server | INTERMEDIARY (`glaas.answers.judge_answer`) |
"""

import random
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum

FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 20.0
THROTTLED_ATTEMPT = 4
"""Where the backoff begins for a server that throttles without saying for how long."""
LONGEST_RETRY_AFTER_SECONDS = 3600.0
"""A server that asks for a longer wait is asked again after an hour."""
LONGEST_INTERMEDIARY_SECONDS = 4.0
"""The longest pause between attempts while an intermediary answers in the server's place.

A server that is back is noticed within five seconds.
"""
MAX_ATTEMPTS = 8
"""Attempts of one request to which a reachable server answers with a failure."""
MAX_OUTAGES = 32
"""How often a server may go away during one request. A request that crashes the server makes it go away each time."""
MAX_GARBLED = 4
"""Attempts of one request whose answers do not come from the server."""
NOT_IMPLEMENTED = 501


class Verdict(Enum):
    """What a reply means for its request."""

    ACCEPTED = "accepted"
    GARBLED = "garbled"
    BUSY = "busy"
    FAILED = "failed"
    REDIRECTED = "redirected"
    REFUSED = "refused"
    INTERMEDIARY = "intermediary"


def judge(status: int) -> Verdict:
    """Return what a reply means by its status alone."""
    if 200 <= status < 300:
        return Verdict.ACCEPTED
    if status in (429, 503):
        return Verdict.BUSY
    if status == NOT_IMPLEMENTED:
        return Verdict.REFUSED
    if status in (408, 425) or status >= 500 or status < 200:
        return Verdict.FAILED
    return Verdict.REDIRECTED if status < 400 else Verdict.REFUSED


def backoff(attempt: int, rng: random.Random) -> float:
    """Return the seconds to wait before attempt `attempt` + 1.

    Exponential with full jitter, so that clients do not synchronise.
    """
    return rng.uniform(0, _ceiling(attempt, LONGEST_BACKOFF_SECONDS))


def intermediary_pause(attempt: int, rng: random.Random) -> float:
    """Return the seconds to wait after an intermediary answered the attempt `attempt`."""
    return _ceiling(attempt, LONGEST_INTERMEDIARY_SECONDS) * rng.uniform(0.5, 1.0)


def _ceiling(attempt: int, longest: float) -> float:
    return min(longest, FIRST_BACKOFF_SECONDS * 2.0 ** min(attempt, 16))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that `Retry-After` asks for, as a number or a date; bounded; None if it is unusable.

    A date is compared with the reply's own `Date`: both come from the server's clock, which may differ from the local
    one. Without a usable `Date` it is compared with `now`, in Unix seconds.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        until = _http_date(value)
        if until is None:
            return None
        sent = _http_date(headers.get("date", ""))
        seconds = until - (now if sent is None else sent)
    if seconds != seconds:  # NaN
        return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)


def _http_date(value: str) -> float | None:
    """Return a header's date in Unix seconds, or None for anything else. A date without a zone is UTC."""
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
