"""Numbers as people read them."""

import pytest

from roar_publisher.text import size


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (812, "812 B"),
        (1_250_000, "1.25 MB"),
        (999.6e9, "1 TB"),
        (1e15, "1 PB"),
        (1.5e15, "1.5 PB"),
        (2.5e18, "2,500 PB"),
    ],
)
def test_sizes_have_three_significant_digits(number: float, shown: str) -> None:
    assert size(number) == shown
