"""Computes the checksums that a store verifies for a part, in one read right before the part is sent.

The bytes that were read are sent, as long as memory for them is left (`net.budget`); otherwise the read fills the page
cache, from which the part is sent. Hashing releases the GIL, so parts are hashed on all cores while others are sent.
"""

import base64
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

from anyio import from_thread
from blake3 import blake3
from msgspec import Struct

from roar_publisher.blocking import in_thread
from roar_publisher.net.budget import UploadBudget
from roar_publisher.storage.slices import SEND_BYTES, HeldSlice
from roar_publisher.storage.source import FileChanged, Slice, check, opened

LARGEST_PIECE_BYTES = 1024 * 1024
"""The largest piece of a part in memory, which is handed to the network at once: fewer and larger cost less."""
HASHED_BYTES = 256 * 1024
"""Bytes read and hashed at once, so that they stay in the core's cache for the second hash."""


class Checksums(Struct, frozen=True):
    """The checksums of one slice. md5: empty if it was not requested."""

    sha256: bytes
    md5: bytes = b""


async def checksums_of(slice_: Slice, *, md5: bool) -> Checksums:
    """Read a slice in a worker thread and return its checksums.

    Does not detect whether the slice has changed; sending does (`slices`). Raises LocalProblem if it cannot be read.
    Cancellation takes effect after the current block.
    """
    return await in_thread(_read, slice_, md5)


@asynccontextmanager
async def read_to_send(
    slice_: Slice, budget: UploadBudget, *, md5: bool
) -> AsyncIterator[tuple[Checksums, HeldSlice | None]]:
    """Read a slice as `checksums_of`, and provide its bytes too if there is memory for them.

    These bytes are those that were digested: raises FileChanged for others. They are given back at the end of the
    block, unless they were sent before.
    """
    if not await budget.held.take(slice_.length):
        async with budget.hashing:
            sums = await checksums_of(slice_, md5=md5)
        yield sums, None
        return
    held = HeldSlice([], partial(budget.held.give_back, slice_.length))
    try:
        async with budget.hashing:
            sums, held.pieces = await in_thread(_read_and_keep, slice_, md5)
        yield sums, held
    finally:
        held.give_back()


def in_base64(digest: bytes) -> str:
    """Return a digest in the encoding that stores use in headers and documents."""
    return base64.b64encode(digest).decode("ascii")


def _read_and_keep(slice_: Slice, md5: bool) -> tuple[Checksums, list[bytes]]:
    whole = blake3()
    hashes = _hashes(md5)
    pieces = []
    offset = slice_.offset
    with opened(slice_.path) as (descriptor, _):
        for length in _piece_lengths(slice_.length):
            piece = os.pread(descriptor, length, offset)
            whole.update(piece)
            for digest in hashes:
                digest.update(piece)
            pieces.append(piece)
            offset += len(piece)
            from_thread.check_cancelled()
    check(slice_)
    if whole.hexdigest() != slice_.blake3:
        raise FileChanged(slice_.path)
    return Checksums(*(digest.digest() for digest in hashes)), pieces


def _piece_lengths(total: int) -> Iterator[int]:
    """Yield lengths, `total` in all. The first is small, since it shows whether the network is slow (`slices`)."""
    length = SEND_BYTES
    while total:
        yield min(length, total)
        total -= min(length, total)
        length = LARGEST_PIECE_BYTES


def _read(slice_: Slice, md5: bool) -> Checksums:
    hashes = _hashes(md5)
    end = slice_.offset + slice_.length
    with opened(slice_.path) as (descriptor, _):
        for offset in range(slice_.offset, end, HASHED_BYTES):
            piece = os.pread(descriptor, min(HASHED_BYTES, end - offset), offset)
            for digest in hashes:
                digest.update(piece)
            from_thread.check_cancelled()
    return Checksums(*(digest.digest() for digest in hashes))


def _hashes(md5: bool) -> "list[hashlib._Hash]":
    return [hashlib.sha256(), *([hashlib.md5(usedforsecurity=False)] if md5 else [])]
