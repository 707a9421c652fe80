"""What a store verifies of a part: taken in one read, right before the part is sent.

The read comes from the page cache, which the sending fills anyway; hashing releases the interpreter, so the parts under
way are hashed on all cores while others are on the wire.
"""

import base64
import hashlib
import os
from dataclasses import dataclass

from anyio import from_thread, to_thread

from roar_publisher.storage.source import Slice, opened

HASHED_BYTES = 256 * 1024
"""Bytes read and hashed at once: they stay in a core's own cache for the second hash."""


@dataclass(frozen=True, slots=True)
class Checksums:
    """Of one slice.  md5: empty where it was not asked for."""

    sha256: bytes
    md5: bytes = b""


async def checksums_of(slice_: Slice, *, md5: bool) -> Checksums:
    """Read a slice in a worker thread.

    Whether it still is what it was, is told when it is sent (`slices`).  Raises LocalProblem for what can't be read.
    Cancelling ends it with the piece under way.
    """
    return await to_thread.run_sync(_read, slice_, md5)


def in_base64(digest: bytes) -> str:
    """A digest as stores write it in headers and documents."""
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
