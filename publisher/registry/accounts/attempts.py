"""Limits on guessing codes: `MAX_FAILURES` wrong ones in `PERIOD_SECONDS` for an address or a user.

An attempt counts before its code is looked at, so concurrent attempts cannot exceed the limit. A right code gives back
its own attempt alone. Otherwise a user could reset the count with a code of their own.
"""

import math
from http import HTTPStatus

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.attempts import (
    FailedAttempts,
    attempts_of,
    count_attempts,
    delete_attempts,
    record_attempts,
)
from roar_publisher.registry.store.database import Connection

MAX_FAILURES = 10
PERIOD_SECONDS = 900.0
MAX_GUESSERS = 10_000
"""Addresses and users whose attempts are recorded at a time. Others have to wait, which bounds the table."""


def begin_attempt(connection: Connection, guesser: str, now: float) -> None:
    """Count an attempt. Raises `Refusal` (429) if there were too many; the code must then not be looked at."""
    delete_attempts(connection, now - PERIOD_SECONDS, now + PERIOD_SECONDS)
    known = attempts_of(connection, guesser)
    if known is None and count_attempts(connection) >= MAX_GUESSERS:
        raise _too_many(PERIOD_SECONDS)
    failures, since = known or FailedAttempts(0, now)
    if failures >= MAX_FAILURES:
        raise _too_many(since + PERIOD_SECONDS - now)
    record_attempts(connection, guesser, FailedAttempts(failures + 1, since))


def give_back(connection: Connection, guesser: str) -> None:
    """Do not count an attempt that was right."""
    known = attempts_of(connection, guesser)
    if known is not None:
        record_attempts(connection, guesser, FailedAttempts(max(0, known.failures - 1), known.since))


def _too_many(seconds: float) -> Refusal:
    wait = str(math.ceil(seconds))
    detail = f"too many wrong codes: try again in {wait} s"
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": wait})
