"""Reads a slice for sending: in bounded chunks, hashed on the way, and not to its end if the file has changed.

The last chunk is yielded only after the hash of the whole slice and the file's stamp were compared. A request with a
truncated body is incomplete, so no store keeps a part of a changed file.

A slice whose verified bytes are in memory (`HeldSlice`) is sent from there, once; later attempts read the file again.
"""

import os
from collections.abc import AsyncGenerator, Callable

import anyio
import blake3 as blake3_package

from roar_publisher.blocking import in_thread
from roar_publisher.storage.source import READ_BYTES, FileChanged, Slice, check, opened

SEND_BYTES = 256 * 1024
"""Bytes handed to the network at once, about what a socket accepts. A remainder would have to be copied."""
QUICK_SECONDS = 0.1
"""If the network takes as long for a piece, it gets no more than SEND_BYTES at once: a write must end in time."""
OnSent = Callable[[int], None]
"""Called with the number of the slice's bytes handed to the network so far. A second attempt starts again at 0."""


class HeldSlice:
    """The verified bytes of a whole slice in memory, in pieces, until they are sent or given back.

    give_back: returns their memory. Called once.
    """

    def __init__(self, pieces: list[bytes], give_back: Callable[[], None]) -> None:
        self.pieces = pieces
        self._give_back: Callable[[], None] | None = give_back

    def give_back(self) -> None:
        """Forget the pieces and return their memory. Repeating does nothing."""
        self.pieces.clear()
        if self._give_back is not None:
            self._give_back()
            self._give_back = None


def chunks(slice_: Slice, sent: OnSent, *, skip: int = 0, held: HeldSlice | None = None) -> AsyncGenerator[bytes, None]:
    """Yield the slice's bytes from `skip` on, read in a worker thread.

    held: the slice in memory. It is given back when it has been sent.

    Raises FileChanged before the last chunk if any byte of the slice has changed, LocalProblem if it cannot be read.
    Repeating reads again. Close it (`aclosing`), because it holds the file open.
    """
    if held is not None and held.pieces and not skip:
        return _held_chunks(slice_, sent, held)
    return _read_chunks(slice_, sent, skip)


async def _read_chunks(slice_: Slice, sent: OnSent, skip: int) -> AsyncGenerator[bytes, None]:
    with opened(slice_.path) as (descriptor, stamp):
        if not slice_.fence.admits(stamp):
            raise FileChanged(slice_.path)
        digest = blake3_package.blake3()
        for offset in range(0, slice_.length, READ_BYTES):
            end = offset
            for chunk in await in_thread(_read, descriptor, slice_, offset, digest):
                begin, end = end, end + len(chunk)
                if end > skip:
                    yield chunk[max(0, skip - begin) :]
                    sent(end)


async def _held_chunks(slice_: Slice, sent: OnSent, held: HeldSlice) -> AsyncGenerator[bytes, None]:
    """Yield pieces, in smaller ones while the network is slow."""
    end, quick = 0, True
    try:
        for piece in held.pieces:
            if end + len(piece) == slice_.length:
                check(slice_)
            step = len(piece) if quick else SEND_BYTES
            for begin in range(0, len(piece), step):
                began = anyio.current_time()
                yield piece[begin : begin + step]
                quick = anyio.current_time() - began < QUICK_SECONDS
                end += min(step, len(piece) - begin)
                sent(end)
    finally:
        held.give_back()


def _read(descriptor: int, slice_: Slice, offset: int, digest: blake3_package.blake3) -> list[bytes]:
    """Return the next chunks, READ_BYTES in total, hashed while they are in the core's cache."""
    found = []
    stop = min(offset + READ_BYTES, slice_.length)
    while offset < stop:
        chunk = os.pread(descriptor, min(SEND_BYTES, stop - offset), slice_.offset + offset)
        if not chunk:
            raise FileChanged(slice_.path)
        digest.update(chunk)
        offset += len(chunk)
        found.append(chunk)
    if offset == slice_.length:
        check(slice_)
        if digest.hexdigest() != slice_.blake3:
            raise FileChanged(slice_.path)
    return found
