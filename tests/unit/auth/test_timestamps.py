"""Equal requests are never signed with the same second."""

import random

from roar_publisher.auth.timestamps import REMEMBERED_SECONDS, Timestamps

NOW = 1_800_000_000


def test_a_first_request_is_dated_now() -> None:
    assert Timestamps().for_request("GET", "/me", None, NOW) == NOW


def test_an_equal_request_is_dated_back() -> None:
    stamps = Timestamps()
    assert [stamps.for_request("GET", "/me", None, NOW) for _ in range(3)] == [NOW, NOW - 1, NOW - 2]


def test_what_differs_is_not_equal() -> None:
    stamps = Timestamps()
    requests = [("GET", "/me", None), ("POST", "/me", None), ("GET", "/you", None), ("GET", "/me", b"{}")]
    assert [stamps.for_request(*request, NOW) for request in requests] == [NOW] * 4


def test_no_equal_requests_ever_share_a_second() -> None:
    seed = 20261121
    chance = random.Random(seed)
    stamps, given, now = Timestamps(), set(), NOW
    for _ in range(500):
        now += chance.choice((0, 1, 1, 2, 30))
        path = chance.choice(("/a", "/b"))
        second = stamps.for_request("GET", path, None, now)
        assert (path, second) not in given, f"seed {seed}"
        assert now - REMEMBERED_SECONDS <= second <= now, f"seed {seed}"
        given.add((path, second))


def test_memory_holds_the_last_seconds_alone() -> None:
    stamps = Timestamps()
    for second in range(10_000):
        stamps.for_request("POST", "/jobs", str(second).encode(), NOW + second)
    assert len(stamps._given) == len(stamps._order) <= REMEMBERED_SECONDS + 1
