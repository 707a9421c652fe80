"""How a file is cut into parts: purely, from its size.

S3 allows 10,000 parts of 5 MiB to 5 GiB, and 5 TiB an object; GCS wants chunks in multiples of 256 KiB.  One layout
serves every store, so that the hashes of the parts are taken once, whatever the destination.
"""

MIB = 1024 * 1024
SMALLEST_PART_BYTES = 8 * MIB
"""Above S3's minimum of 5 MiB: each part costs one request."""
MOST_PARTS = 10_000
LARGEST_OBJECT_BYTES = 5 * 1024 * 1024 * MIB


def part_size(size: int) -> int:
    """Bytes of each part but the last of a file of `size` bytes: whole MiB, so that GCS takes it as it is."""
    needed = -(-size // MOST_PARTS)
    return max(SMALLEST_PART_BYTES, -(-needed // MIB) * MIB)


def part_count(size: int, part_bytes: int) -> int:
    """How many parts `size` bytes have; an empty file has one, of no bytes."""
    return max(1, -(-size // part_bytes))


def part_range(number: int, size: int, part_bytes: int) -> tuple[int, int]:
    """Offset and length of part `number`, counted from 1."""
    offset = (number - 1) * part_bytes
    return offset, min(part_bytes, size - offset)
