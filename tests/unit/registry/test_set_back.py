"""A clock that was ahead, and is set back: limits are counted anew, not kept until it is there again."""

import pytest

from roar_publisher.registry.accounts.attempts import MAX_FAILURES, PERIOD_SECONDS, begin_attempt
from roar_publisher.registry.accounts.limits import take_bytes
from roar_publisher.registry.accounts.quotas import AHEAD_SECONDS, Amount, AnonymousWrite, metered
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.database import Connection

AHEAD, NOW, HERE = 1_800_086_400.0, 1_800_000_000.0, "192.0.2.1"


def nothing(connection: Connection) -> None:
    """Write no rows."""


def test_wrong_codes(store: Store) -> None:
    for at in (AHEAD, NOW):
        for _ in range(MAX_FAILURES):
            store.accounts.write(begin_attempt, HERE, at)
        for wait in (0.0, -PERIOD_SECONDS + 1):  # a clock that differs by less allows no more
            with pytest.raises(Refusal):
                store.accounts.write(begin_attempt, HERE, at + wait)
    store.accounts.write(begin_attempt, HERE, NOW + PERIOD_SECONDS)


def test_bytes_of_a_minute(store: Store) -> None:
    for at in (AHEAD, NOW):
        store.write(take_bytes, HERE, 1000, 1000, at)
        with pytest.raises(Refusal):
            store.write(take_bytes, HERE, 1000, 1000, at - 1.0)


def test_the_quota_of_a_day(store: Store) -> None:
    def write(at: float) -> None:
        store.write(metered, AnonymousWrite(Amount(10, 10, 1000), HERE, 1000, at), nothing)

    for at in (AHEAD, NOW):
        write(at)
        with pytest.raises(Refusal):
            write(at - AHEAD_SECONDS)
