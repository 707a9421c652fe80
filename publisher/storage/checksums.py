"""Computes the checksums that a store verifies for a part, in one read right before the part is sent.

The read fills the page cache, from which the part is then sent. Hashing releases the GIL, so concurrent parts are
hashed on all cores while others are being sent.
"""

import base64
import hashlib
import os
from dataclasses import dataclass

from anyio import from_thread, to_thread

from roar_publisher.storage.source import Slice, opened

HASHED_BYTES = 256 * 1024
"""Bytes read and hashed at once, so that they stay in the core's cache for the second hash."""


@dataclass(frozen=True, slots=True)
class Checksums:
    """The checksums of one slice. md5: empty if it was not requested."""

    sha256: bytes
    md5: bytes = b""


async def checksums_of(slice_: Slice, *, md5: bool) -> Checksums:
    """Read a slice in a worker thread and return its checksums.

    Does not detect whether the slice has changed; sending does (`slices`). Raises LocalProblem if it cannot be read.
    Cancellation takes effect after the current block.
    """
    return await to_thread.run_sync(_read, slice_, md5)


def in_base64(digest: bytes) -> str:
    """Return a digest in the encoding that stores use in headers and documents."""
    return base64.b64encode(digest).decode("ascii")


def _read(slice_: Slice, md5: bool) -> Checksums:
    hashes = [hashlib.sha256(), *([hashlib.md5(usedforsecurity=False)] if md5 else [])]
    end = slice_.offset + slice_.length
    with opened(slice_.path) as (descriptor, _):
        for offset in range(slice_.offset, end, HASHED_BYTES):
            piece = os.pread(descriptor, min(HASHED_BYTES, end - offset), offset)
            for digest in hashes:
                digest.update(piece)
            from_thread.check_cancelled()
    return Checksums(*(digest.digest() for digest in hashes))
