"""How far a clock is off, as a person reads it."""

from email.utils import formatdate

import pytest

from roar_publisher.auth.clock import clock_skew

NOW = 1_700_000_000.0
HUGE = f"Tue, 14 Nov {'9' * 30} 22:13:20 GMT"


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        pytest.param(-45, "45 s behind", id="seconds"),
        pytest.param(425, "7 min 5 s ahead of", id="minutes"),
        pytest.param(-3600, "1 h behind", id="a whole hour"),
        pytest.param(2 * 86400 + 3 * 3600 + 61, "2 d 3 h ahead of", id="days"),
    ],
)
def test_a_clock_that_is_off_is_reported_with_the_difference(offset: int, words: str) -> None:
    assert clock_skew(formatdate(NOW, usegmt=True), NOW + offset) == (
        f"This machine's clock is {words} the server's; signatures need it to be right."
    )


@pytest.mark.parametrize("offset", [0, 29, -29])
def test_a_clock_that_is_close_is_accepted(offset: int) -> None:
    assert clock_skew(formatdate(NOW, usegmt=True), NOW + offset) is None


@pytest.mark.parametrize("date", [None, "", "yesterday", "Tue, 99 Nov 2023 99:99:99 GMT", HUGE])
def test_a_server_without_a_date_is_accepted(date: str | None) -> None:
    assert clock_skew(date, NOW) is None
