"""Quotas for writes without a credential: one per client, and one for all clients together.

Each limit is a leaky bucket. A client may write its quota at once, and as much again in every `DRAIN_SECONDS`. Only new
data counts, whether it is published later or expires. A client that writes too fast is refused, with the seconds after
which there is room again. A client is an address (`addresses.client_of`).
"""

import math
import sqlite3
from dataclasses import astuple, dataclass, fields
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.database import Operation

P = ParamSpec("P")
T = TypeVar("T")

DRAIN_SECONDS = 24 * 3600.0
"""Seconds in which a full bucket drains."""
TIMES_IN_ALL = 10
"""The quota of all clients together, in multiples of one client's quota."""
ALL_CLIENTS = "*"
"""Key of the bucket of all clients. It is not a valid address."""


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of written data.

    `sessions` counts registration sessions and legacy lineages; `bytes` counts request bodies.
    """

    sessions: float = 0
    jobs: float = 0
    bytes: float = 0


DEFAULT_QUOTA = Amount(sessions=1000, jobs=1_000_000, bytes=4 * 2**30)


@dataclass(frozen=True, slots=True)
class Meter:
    """A write without a credential.

    `quota` is the limit of one client; 0 forbids that kind of write. `sent` is the size of the body in bytes. `now` is
    in Unix seconds.
    """

    quota: Amount
    client: str
    sent: int
    now: float


def metered(
    connection: sqlite3.Connection, meter: Meter, operation: Operation[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run `operation` in the current transaction, and charge the client for what it wrote.

    Raises `Refusal`, after which the transaction must be rolled back: 429 with `Retry-After` if there is no room now,
    403 if the write can never fit.
    """
    before = _newest(connection)
    result = operation(connection, *args, **kwargs)
    graphs, jobs = (max(0, after - earlier) for after, earlier in zip(_newest(connection), before, strict=True))
    amount = Amount(graphs, jobs, meter.sent)
    everybody = Amount(*(TIMES_IN_ALL * limit for limit in astuple(meter.quota)))
    _charge(connection, meter.client, meter.quota, amount, meter.now)
    _charge(connection, ALL_CLIENTS, everybody, amount, meter.now)
    return result


def forget_unused(connection: sqlite3.Connection, now: float, limit: int) -> bool:
    """Remove up to `limit` clients whose buckets have drained. Return whether there were any."""
    forgotten = connection.execute(
        "DELETE FROM anonymous_use WHERE client IN (SELECT client FROM anonymous_use WHERE at <= ? LIMIT ?)",
        (now - DRAIN_SECONDS, limit),
    )
    return forgotten.rowcount > 0


def _newest(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the newest graph id and job id. Ids of new rows are consecutive."""
    row = connection.execute(
        "SELECT coalesce((SELECT max(id) FROM graphs), 0), coalesce((SELECT max(id) FROM jobs), 0)"
    ).fetchone()
    return row[0], row[1]


def _charge(connection: sqlite3.Connection, client: str, quota: Amount, amount: Amount, now: float) -> None:
    row = connection.execute(
        "SELECT sessions, jobs, bytes, at FROM anonymous_use WHERE client = ?", (client,)
    ).fetchone()
    used, at = (astuple(Amount()), now) if row is None else (tuple(row)[:3], row["at"])
    drained = max(0.0, now - at) / DRAIN_SECONDS
    level = []
    for field, limit, new, before in zip(fields(Amount), astuple(quota), astuple(amount), used, strict=True):
        level.append(max(0.0, before - drained * limit) + new)
        if new and level[-1] > limit:
            raise _refused(client, field.name, new, limit, level[-1])
    connection.execute(
        "REPLACE INTO anonymous_use (client, sessions, jobs, bytes, at) VALUES (?, ?, ?, ?, ?)", (client, *level, now)
    )


def _refused(client: str, kind: str, new: float, limit: float, level: float) -> Refusal:
    if new > limit:
        return Refusal(HTTPStatus.FORBIDDEN, f"this registry takes no {kind} without a sign-in, or not so many at once")
    seconds = math.ceil((level - limit) / limit * DRAIN_SECONDS)
    whose = "all clients together" if client == ALL_CLIENTS else "your address"
    detail = (
        f"{whose} has written as many {kind} without a sign-in as this registry takes in a day; nothing of this"
        f" request is kept, sign in or try again in {seconds} s"
    )
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(seconds)})
