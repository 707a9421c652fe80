"""Computes the hashes that name a file and show its changes, in one read: blake3 of the whole file and of each part.

blake3 uses all cores (here 4 cores hash 10 GB/s, and one core reads 15 GB/s), so the disk is the bottleneck. The file
is not mapped into memory: that is no faster (docs/put.md), and a truncation meanwhile would kill the process (SIGBUS).
The checksums that stores verify are far slower (SHA-256 1.7 GB/s, MD5 0.7). They are computed for each part when it is
sent (`checksums`), while other parts are in flight. At most two segments of a file are in memory.
"""

import hashlib
import os
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import cycle
from mmap import mmap

from anyio import from_thread

from roar_publisher.blake3_hashers import blake3_hasher
from roar_publisher.blocking import in_thread
from roar_publisher.storage.parts import part_size
from roar_publisher.storage.source import Content, FileChanged, file_stamp, opened

SEGMENT_BYTES = 2 * 1024 * 1024
OnRead = Callable[[int], None]
"""Called in a worker thread with the number of bytes just read."""


async def digest_file(path: str, progress: OnRead | None = None, *, md5: bool = False) -> Content:
    """Read `path` once, in a worker thread, and return its content.

    md5: also compute the MD5 of the whole file (`ObjectStore.needs_md5`).
    Raises LocalProblem if the file cannot be read, FileChanged if it changes meanwhile. Cancellation takes effect after
    the current segment. Repeating reads the whole file again.
    """
    return await in_thread(_digest, path, progress or _ignore, md5)


async def confirm(content: Content) -> None:
    """Raise FileChanged unless the file still has this content.

    Costs one `stat`. If only the change time differs, the file is read again.
    """
    now = await in_thread(file_stamp, content.path)
    if not content.fence.admits(now):
        raise FileChanged(content.path)
    if now != content.fence and (await digest_file(content.path)).blake3 != content.blake3:
        raise FileChanged(content.path)


def _digest(path: str, progress: OnRead, md5: bool) -> Content:
    whole = blake3_hasher()
    whole_md5 = hashlib.md5(usedforsecurity=False) if md5 else None
    with ExitStack() as open_ones:
        descriptor, stamp = open_ones.enter_context(opened(path))
        part_bytes = part_size(stamp.size)
        segments = open_ones.enter_context(closing(_segments(descriptor, stamp.size, part_bytes)))
        parts = [whole if stamp.size <= part_bytes else blake3_hasher()]
        read = 0
        for segment in segments:
            if read + len(segment) > stamp.size:
                raise FileChanged(path)  # it grows while it is read
            if read == len(parts) * part_bytes:
                parts.append(blake3_hasher())
            whole.update(segment)
            if parts[-1] is not whole:
                parts[-1].update(segment)
            if whole_md5:
                whole_md5.update(segment)
            read += len(segment)
            progress(len(segment))
            from_thread.check_cancelled()
        if read != stamp.size or file_stamp(path) != stamp:
            raise FileChanged(path)
    return Content(
        path,
        stamp,
        whole.hexdigest(),
        part_bytes,
        part_blake3s=tuple(part.hexdigest() for part in parts),
        md5=whole_md5.hexdigest() if whole_md5 else "",
    )


def _segments(descriptor: int, size: int, part_bytes: int) -> Generator[bytes | memoryview, None, None]:
    """Yield the file in order, without segments that cross parts. Read the next segment while one is hashed.

    A segment is overwritten after the next one was requested. Close it before the descriptor, because it reads ahead.
    """

    def length_at(offset: int) -> int:
        return min(SEGMENT_BYTES, part_bytes - offset % part_bytes)

    if size <= SEGMENT_BYTES:
        offset = 0
        while data := os.pread(descriptor, length_at(offset), offset):
            offset += len(data)
            yield data
        return

    def read(buffer: memoryview, offset: int) -> memoryview:
        return buffer[: os.preadv(descriptor, [buffer[: length_at(offset)]], offset)]

    # Maps, unlike what Python allocates, leave no holes in the heap behind.
    buffers = cycle([memoryview(mmap(-1, SEGMENT_BYTES)), memoryview(mmap(-1, SEGMENT_BYTES))])
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        offset = 0
        ahead = reader.submit(read, next(buffers), offset)
        while segment := ahead.result():
            offset += len(segment)
            ahead = reader.submit(read, next(buffers), offset)
            yield segment


def _ignore(read: int) -> None:
    """Ignore progress."""
