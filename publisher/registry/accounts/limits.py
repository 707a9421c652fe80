"""Limits that hold for every moment, beside the quotas of a day (`quotas`): open sessions, staged bytes, body rates.

They are counted in the store, so several processes that share one keep them together. A client is an address
(`addresses.client_of`), whether it has signed in or not.
"""

import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from msgspec import Struct

from roar_publisher.registry.accounts.quotas import TOTAL_FACTOR
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.body_rates import BodyRate, rate_of, record_rate
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.sessions import count_open_anonymous

RETRY_OPEN_SECONDS = 60
"""`Retry-After` if too many sessions are open, in seconds. A finalize makes room at any moment."""
MINUTE = 60.0
PIECES = 60
"""A process takes at least one part in `PIECES` of a minute's bytes from the store, so few requests write there."""
CLIENTS_KEPT = 10_000
"""Clients whose remaining bytes a process remembers."""


class ClientLimits(Struct, frozen=True):
    """The limits. The defaults are many times what a publish of 100,000 jobs needs.

    `open_sessions` is the number of open registration sessions of one client without a sign-in; `TOTAL_FACTOR` times as
    many may be open in all. `session_bytes` is what one session may stage, with or without a sign-in. `minute_bytes` is
    the size of all bodies that one client sends in a minute.
    """

    open_sessions: int = 200
    session_bytes: int = 4 * 2**30
    minute_bytes: int = 2**30


DEFAULT_LIMITS = ClientLimits()


def check_open_sessions(connection: Connection, client: str, most: int, now: float) -> None:
    """Raise `Refusal` (429) if a client, or all together, have as many open sessions as is allowed."""
    for whose, counted, limit in (("your address has", client, most), ("all clients have", None, most * TOTAL_FACTOR)):
        if count_open_anonymous(connection, now, counted) >= limit:
            detail = (
                f"{whose} {limit} open registration sessions, as many as this registry holds without a sign-in:"
                f" finalize one, sign in, or try again in {RETRY_OPEN_SECONDS} s"
            )
            raise _later(detail, RETRY_OPEN_SECONDS)


def check_staged_bytes(staged: int, limit: int) -> None:
    """Raise `Refusal` (422) if a session would stage more than `limit` bytes. Trying again cannot help."""
    if staged > limit:
        detail = (
            f"this registration session would stage more than {limit / 2**20:,.0f} MiB, which is the limit of this"
            " registry: publish fewer jobs at once, or ask its operator to raise --session-mib"
        )
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, detail)


Take = Callable[[str, float], Awaitable[None]]
"""Takes bytes of a client from the store (`take_bytes`)."""


class BodyRates:
    """What a process has taken from the store for the bodies of its clients. `limit` is in bytes a minute."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left: dict[str, float] = {}

    async def spend(self, client: str, size: int, take: Take) -> None:
        """Count a body of a client. Raises `Refusal` as `take_bytes`; then nothing is counted."""
        if self._left.get(client, 0.0) < size:
            taken = max(size, self._limit / PIECES)
            await take(client, taken)
            if client not in self._left and len(self._left) >= CLIENTS_KEPT:
                self._left.clear()
            self._left[client] = self._left.get(client, 0.0) + taken
        self._left[client] = self._left.get(client, 0.0) - size


def take_bytes(connection: Connection, client: str, size: float, limit: int, now: float) -> None:
    """Take bytes from a client's bucket, which fills again within a minute.

    Raises `Refusal` (429) with the seconds after which there are that many.
    """
    rate = rate_of(connection, client)
    if rate is None or rate.at > now + MINUTE:  # the clock was set back
        rate = BodyRate(0.0, now)
    level = max(0.0, rate.bytes - max(0.0, now - rate.at) / MINUTE * limit) + size
    if level > limit:
        seconds = math.ceil((level - limit) / limit * MINUTE)
        detail = (
            f"your address sends more than the {limit / 2**20:,.0f} MiB a minute that this registry takes: try again in"
            f" {seconds} s"
        )
        raise _later(detail, seconds)
    record_rate(connection, client, BodyRate(level, now))


def _later(detail: str, seconds: int) -> Refusal:
    return Refusal(HTTPStatus.TOO_MANY_REQUESTS, detail, headers={"Retry-After": str(seconds)})
