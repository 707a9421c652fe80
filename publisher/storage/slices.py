"""Reading a slice to send it: in bounded chunks, hashed as it goes, and never to its end if it is not what it was.

The last chunk is given out only after the hash of all of it, and the file's marks, were compared.  A request whose
body stops short is no request: no store keeps a part of a file that changed.
"""

import os
from collections.abc import AsyncGenerator, Callable

import anyio
import blake3 as blake3_package

from publisher.storage.source import READ_BYTES, FileChanged, Slice, check, opened

SEND_BYTES = 256 * 1024
"""Bytes handed to the network at once: about what a socket takes, because the rest is copied and moved about."""
Sent = Callable[[int], None]
"""Called with the bytes of a slice that were handed to the network so far; a second attempt starts again at 0."""


async def chunks(slice_: Slice, sent: Sent, *, skip: int = 0) -> AsyncGenerator[bytes, None]:
    """The slice's bytes, from `skip` on; each chunk is read in a worker thread.

    Raises FileChanged before the last chunk if any byte of the slice changed, LocalProblem for what can't be read.
    Repeating reads again.  Close it (`aclosing`): it holds the file open.
    """
    with opened(slice_.path) as (descriptor, fence):
        if not slice_.fence.admits(fence):
            raise FileChanged(slice_.path)
        digest = blake3_package.blake3()
        end = slice_.offset + slice_.length
        for offset in range(slice_.offset, end, READ_BYTES):
            chunk = await anyio.to_thread.run_sync(_read, descriptor, offset, min(READ_BYTES, end - offset), digest)
            if offset + len(chunk) == end:
                await anyio.to_thread.run_sync(_verify, slice_, digest.hexdigest())
            elif len(chunk) < READ_BYTES:
                raise FileChanged(slice_.path)
            begin = max(0, slice_.offset + skip - offset)
            for start in range(begin, len(chunk), SEND_BYTES):
                piece = chunk[start : start + SEND_BYTES]
                yield piece
                sent(offset + start + len(piece) - slice_.offset)


def _read(descriptor: int, offset: int, length: int, digest: blake3_package.blake3) -> bytes:
    chunk = os.pread(descriptor, length, offset)
    digest.update(chunk)
    return chunk


def _verify(slice_: Slice, blake3: str) -> None:
    check(slice_)
    if blake3 != slice_.blake3:
        raise FileChanged(slice_.path)
