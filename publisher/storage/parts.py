"""The layout of a file's parts, which depends on its size alone, and their tags.

S3 allows 10,000 parts of 5 MiB to 5 GiB, and 5 TiB per object. GCS requires chunks in multiples of 256 KiB. One layout
works for every store, so the hashes of the parts are computed once, whatever the destination.
"""

MIB = 1024 * 1024
SMALLEST_PART_BYTES = 8 * MIB
"""Above S3's minimum of 5 MiB, because each part costs one request."""
MOST_PARTS = 10_000


def bare_tag(etag: str) -> str:
    """Return an ETag without its quotes, which some stores omit, and without the mark of a weak one.

    A proxy that may compress (nginx, Cloudflare) marks it as weak. The store itself compares it as a strong one.
    """
    return etag.removeprefix("W/").strip('"')


def part_size(size: int) -> int:
    """Return the size in bytes of each part but the last of a file of `size` bytes: whole MiB, as GCS requires."""
    needed = -(-size // MOST_PARTS)
    return max(SMALLEST_PART_BYTES, -(-needed // MIB) * MIB)


def part_count(size: int, part_bytes: int) -> int:
    """Return how many parts `size` bytes have. An empty file has one empty part."""
    return max(1, -(-size // part_bytes))


def part_range(number: int, size: int, part_bytes: int) -> tuple[int, int]:
    """Return the offset and length of part `number`, counted from 1."""
    offset = (number - 1) * part_bytes
    return offset, min(part_bytes, size - offset)
