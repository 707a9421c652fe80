"""What a reply means and how long to wait: decided purely, carried out by `caller`.

| reply | verdict |
| --- | --- |
| 2xx with JSON | ACCEPTED, if it is the expected reply, else GARBLED |
| 2xx with anything else (HTML of a proxy, nothing, half a document) | GARBLED: try again, but not for long |
| 429, 503 | BUSY: wait as told, else back off; costs no attempt |
| 408, 425, other 5xx | FAILED: back off, a bounded number of attempts |
| 3xx | REDIRECTED: never followed, and no word of the registry's: a network that wants a sign-in first redirects all |
| 501, other 4xx | REFUSED: final |

A registry's answers are judged more closely (`answers.judge_answer`): FRONT is what something else answered.
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
"""A server that asks for more patience than this gets asked again after an hour."""
MAX_ATTEMPTS = 8
"""Attempts of one request that a reachable server answers with a failure."""
MAX_OUTAGES = 32
"""How often a server may go away under one request: one that it dies of takes it away each time."""
MAX_GARBLED = 4
"""Attempts of one request that get answers which are not GLaaS's."""
NOT_IMPLEMENTED = 501
MAX_TEXT = 300
"""Characters of a server's own words that are shown to a person."""


class Verdict(Enum):
    ACCEPTED = "accepted"
    GARBLED = "garbled"
    BUSY = "busy"
    FAILED = "failed"
    REDIRECTED = "redirected"
    REFUSED = "refused"
    FRONT = "front"


def judge(status: int, document: object) -> Verdict:
    """What a reply means, by its status and its parsed body (`parse`)."""
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
    """The JSON document in `body`; None for null, and for anything else.

    hidden: what is cut out of every text in it, once JSON's own escapes are undone.
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
    """JSON as it travels: ASCII, no spaces."""
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def own_words(document: object) -> str:
    """The words of an error in one of GLaaS's shapes (protocol.md §2), on one line, bounded; "" where it is none."""
    if isinstance(document, dict):
        for key in ("detail", "message", "error"):
            value = document.get(key)
            if isinstance(value, str | dict | list) and (line := one_line(words(value))):
                return line
    return ""


def error_text(document: object, status: int) -> str:
    """The server's own words, wherever they stand (protocol.md §2); without any, the status."""
    return own_words(document) or f"HTTP {status}"


def one_line(text: str) -> str:
    """A server's text as a person may see it: printable, on one line, of bounded length."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_TEXT]


def backoff(attempt: int, rng: random.Random) -> float:
    """Seconds before attempt `attempt` + 1: exponential, with full jitter, so that clients do not march in step."""
    ceiling = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(attempt, 16))
    return rng.uniform(0, ceiling)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `Retry-After` asks for, as a number or a date; bounded; None if it says nothing usable.

    A date is compared with the reply's own `Date`: the server wrote both by the same clock, which need not agree with
    ours.  Without a usable `Date` it is compared with now, in Unix seconds.
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
    """Unix seconds of a date in a header; None for anything else.  A date without a zone is UTC."""
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def redirect_target(headers: Mapping[str, str]) -> str:
    """Where a redirect leads, as a host a person recognises; its path and query are not repeated."""
    try:
        return urlsplit(headers.get("location", "")).hostname or "another path of the same host"
    except ValueError:
        return "an address that can't be read"
