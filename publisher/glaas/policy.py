"""The retry policy: what a reply means and how long to wait. These are pure functions; `caller` applies them.

| reply | verdict |
| --- | --- |
| 2xx with JSON | ACCEPTED if it is the expected reply, else GARBLED |
| 2xx with anything else (HTML of a proxy, nothing, truncated JSON) | GARBLED: retry, but not for long |
| 429, 503 | BUSY: wait as told, else back off; not counted as an attempt |
| 408, 425, other 5xx | FAILED: back off, a bounded number of attempts |
| 3xx | REDIRECTED: never followed; a network that requires a sign-in redirects everything |
| 501, other 4xx | REFUSED: final |

`answers.judge_answer` judges a registry's answers more closely. FRONT means that something else answered.
"""

import json
import random
from collections.abc import Collection, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from roar_publisher.glaas.lenient import words

FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 20.0
LONGEST_RETRY_AFTER_SECONDS = 3600.0
"""A server that asks for a longer wait is asked again after an hour."""
MAX_ATTEMPTS = 8
"""Attempts of one request to which a reachable server answers with a failure."""
MAX_OUTAGES = 32
"""How often a server may go away during one request. A request that crashes the server makes it go away each time."""
MAX_GARBLED = 4
"""Attempts of one request whose answers do not come from GLaaS."""
NOT_IMPLEMENTED = 501
MAX_TEXT = 300
"""Characters of a server's own text that are shown to the user."""


class Verdict(Enum):
    ACCEPTED = "accepted"
    GARBLED = "garbled"
    BUSY = "busy"
    FAILED = "failed"
    REDIRECTED = "redirected"
    REFUSED = "refused"
    FRONT = "front"


def judge(status: int, document: object) -> Verdict:
    """Return what a reply means, from its status and its parsed body (`parse`)."""
    if 200 <= status < 300:
        return Verdict.GARBLED if document is None else Verdict.ACCEPTED
    if status in (429, 503):
        return Verdict.BUSY
    if status == NOT_IMPLEMENTED:
        return Verdict.REFUSED
    if status in (408, 425) or status >= 500 or status < 200:
        return Verdict.FAILED
    return Verdict.REDIRECTED if status < 400 else Verdict.REFUSED


def parse(body: bytes, hidden: Collection[str] = ()) -> Any:
    """Return the JSON document in `body`; None for null and for anything else.

    hidden: what to cut out of every text in it, after JSON's escapes are decoded.
    """
    try:
        document = json.loads(body)
        if hidden:
            document = _without(document, hidden)
    except (ValueError, RecursionError):
        return None
    return document


def _without(document: Any, hidden: Collection[str]) -> Any:
    match document:
        case str():
            for text in hidden:
                document = document.replace(text, "[credential]")
            return document
        case list():
            return [_without(item, hidden) for item in document]
        case dict():
            return {_without(key, hidden): _without(value, hidden) for key, value in document.items()}
        case _:
            return document


def dump(document: object) -> bytes:
    """Return JSON as it is sent: ASCII, without spaces."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def own_words(document: object) -> str:
    """Return the text of an error in one of GLaaS's shapes (protocol.md §2).

    It is on one line of bounded length; "" if there is none.
    """
    if isinstance(document, dict):
        for key in ("detail", "message", "error"):
            value = document.get(key)
            if isinstance(value, str | dict | list) and (line := one_line(words(value))):
                return line
    return ""


def error_text(document: object, status: int) -> str:
    """Return the server's own text, wherever it is (protocol.md §2), or else the status."""
    return own_words(document) or f"HTTP {status}"


def one_line(text: str) -> str:
    """Return a server's text in a form that is safe to show: printable, on one line, of bounded length."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_TEXT]


def backoff(attempt: int, rng: random.Random) -> float:
    """Return the seconds to wait before attempt `attempt` + 1.

    Exponential with full jitter, so that clients do not synchronise.
    """
    ceiling = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(attempt, 16))
    return rng.uniform(0, ceiling)


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


def redirect_target(headers: Mapping[str, str]) -> str:
    """Return a redirect's target as a host that the user recognises, without its path and query."""
    try:
        return urlsplit(headers.get("location", "")).hostname or "another path of the same host"
    except ValueError:
        return "an address that cannot be read"
