"""Quotas for writes without a credential: one per client, and one for all clients together.

Each limit is a leaky bucket. A client may write its quota at once, and as much again in every `DRAIN_SECONDS`. Only new
data counts, whether it is published later or expires. A client that writes too fast is refused, with the seconds after
which there is room again. A client is an address (`addresses.client_of`).
"""

import math
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from msgspec import Struct
from msgspec.structs import astuple

from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.anonymous_use import AnonymousUse, record_use, use_of
from roar_publisher.registry.store.database import Connection, Operation
from roar_publisher.registry.store.graphs import newest_ids, rows_since

P = ParamSpec("P")
T = TypeVar("T")

DRAIN_SECONDS = 24 * 3600.0
"""Seconds in which a full bucket drains."""
AHEAD_SECONDS = 900.0
"""A record from so far ahead is of a clock that was set back. It does not count, or it would not drain until then."""
TOTAL_FACTOR = 10
"""The quota of all clients together, in multiples of one client's quota."""
ALL_CLIENTS = "*"
"""Key of the bucket of all clients. It is not a valid address."""


class Amount(Struct, frozen=True):
    """An amount of written data.

    `sessions` counts registration and fragment sessions, and legacy lineages; `bytes` counts request bodies.
    """

    sessions: float = 0
    jobs: float = 0
    bytes: float = 0


DEFAULT_QUOTA = Amount(sessions=1000, jobs=1_000_000, bytes=4 * 2**30)


class AnonymousWrite(Struct, frozen=True):
    """A write without a credential.

    `quota` is the limit of one client; 0 forbids that kind of write. `sent` is the size of the body in bytes. `now` is
    in Unix seconds.
    """

    quota: Amount
    client: str
    sent: int
    now: float


def metered(
    connection: Connection, write: AnonymousWrite, operation: Operation[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run `operation` in the current transaction, and charge the client for what it wrote.

    Raises `Refusal`, after which the transaction must be rolled back: 429 with `Retry-After` if there is no room now,
    403 if the write can never fit.
    """
    before = newest_ids(connection)
    result = operation(connection, *args, **kwargs)
    amount = Amount(*rows_since(connection, before), write.sent)
    all_clients = Amount(*(TOTAL_FACTOR * limit for limit in astuple(write.quota)))
    _charge(connection, write.client, write.quota, amount, write.now)
    _charge(connection, ALL_CLIENTS, all_clients, amount, write.now)
    return result


def _charge(connection: Connection, client: str, quota: Amount, amount: Amount, now: float) -> None:
    use = use_of(connection, client)
    if use is None or use.at > now + AHEAD_SECONDS:
        use = AnonymousUse(0, 0, 0, now)
    drained = max(0.0, now - use.at) / DRAIN_SECONDS
    levels = []
    for name, limit, new, before in zip(
        Amount.__struct_fields__, astuple(quota), astuple(amount), use[:3], strict=True
    ):
        level = max(0.0, before - drained * limit) + new
        if new and level > limit:
            raise _refused(client, name, new, limit, level)
        levels.append(level)
    sessions, jobs, size = levels
    record_use(connection, client, AnonymousUse(sessions, jobs, size, now))


def _refused(client: str, kind: str, new: float, limit: float, level: float) -> Refusal:
    if not limit:
        return Refusal(HTTPStatus.FORBIDDEN, f"this registry accepts no {kind} without a sign-in: sign in")
    if new > limit:
        detail = (
            f"this registry accepts at most {limit:,.0f} {kind} in a day without a sign-in, and this request has"
            f" {new:,.0f}: sign in"
        )
        return Refusal(HTTPStatus.FORBIDDEN, detail)
    seconds = math.ceil((level - limit) / limit * DRAIN_SECONDS)
    whose = "all clients together have" if client == ALL_CLIENTS else "your address has"
    detail = (
        f"{whose} written as many {kind} without a sign-in as this registry accepts in a day; nothing of this"
        f" request was stored, sign in or try again in {_minutes_or_hours(seconds)}"
    )
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(seconds)})


def _minutes_or_hours(seconds: int) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{math.ceil(minutes / 60)} h"
