"""Part sizes at the limits of the stores."""

import pytest

from roar_publisher.storage.parts import (
    MIB,
    MOST_PARTS,
    SMALLEST_PART_BYTES,
    part_count,
    part_range,
    part_size,
)

EIGHT_MIB_LIMIT = MOST_PARTS * SMALLEST_PART_BYTES
LARGEST_PART_BYTES = 5 * 1024 * MIB
LARGEST_OBJECT_BYTES = 1024 * LARGEST_PART_BYTES
GRANULE = 256 * 1024


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, 8), (1, 8), (8 * MIB, 8), (EIGHT_MIB_LIMIT, 8), (EIGHT_MIB_LIMIT + 1, 9), (LARGEST_OBJECT_BYTES, 525)],
)
def test_parts_grow_with_the_file(size: int, expected: int) -> None:
    assert part_size(size) == expected * MIB


@pytest.mark.parametrize(
    "size", [0, 1, 8 * MIB, 8 * MIB + 1, EIGHT_MIB_LIMIT, EIGHT_MIB_LIMIT + 1, LARGEST_OBJECT_BYTES]
)
def test_every_layout_is_within_the_limits_of_stores(size: int) -> None:
    part = part_size(size)
    count = part_count(size, part)
    assert 1 <= count <= MOST_PARTS
    assert part <= LARGEST_PART_BYTES
    assert part % GRANULE == 0
    offset, length = part_range(count, size, part)
    assert offset + length == size
    assert length > 0 or size == 0
    assert part_range(1, size, part) == (0, min(part, size))
