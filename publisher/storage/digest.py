"""The hashes of a file, taken in one read: blake3 of everything, SHA-256 and blake3 of each part.

blake3 (9 GB/s on one core where this was written) of everything runs in the reading thread, the hashes of several parts
at once in others; all of them release the interpreter.  SHA-256 (1.7 GB/s) is what stores verify and is taken here
alone: as the parts are read again to be sent, their blake3 is compared.  A file holds as many `SEGMENT_BYTES` as there
are segments under way, whatever its size.
"""

import hashlib
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import anyio
import blake3 as blake3_package

from publisher.storage.parts import part_count, part_size
from publisher.storage.source import READ_BYTES, Content, FileChanged, Slice, fence_of, opened

SEGMENT_BYTES = 4 * 1024 * 1024
HASHERS = 3
MOST_PENDING = 4
"""Segments of one file that wait for their hashes: 16 MiB."""
Progress = Callable[[int], None]
"""Called from a worker thread with the bytes that were just read."""


async def digest_file(path: str, progress: Progress | None = None, *, md5: bool = False) -> Content:
    """Read `path` once, in a worker thread, and return its content.

    md5: take the MD5 of everything as well (`ObjectStore.wants_md5`).  Raises LocalProblem for what can't be read,
    FileChanged if it changes meanwhile.  Cancelling takes effect once the file is read; repeating reads it again.
    """
    return await anyio.to_thread.run_sync(_digest, path, progress or _ignore, md5)


async def confirm(content: Content) -> None:
    """Raise FileChanged unless the file still has this content.

    Costs one `stat`, unless something touched the file without changing its size and modification time: then it is
    read once more.
    """
    now = await anyio.to_thread.run_sync(fence_of, content.path)
    if not content.fence.admits(now):
        raise FileChanged(content.path)
    if now != content.fence and (await digest_file(content.path)).blake3 != content.blake3:
        raise FileChanged(content.path)


def md5_of(slice_: Slice) -> bytes:
    """The MD5 of a slice, for endpoints that verify nothing newer; blocks, so call it in a worker thread."""
    digest = hashlib.md5(usedforsecurity=False)
    end = slice_.offset + slice_.length
    with opened(slice_.path) as (descriptor, _):
        for offset in range(slice_.offset, end, READ_BYTES):
            digest.update(os.pread(descriptor, min(READ_BYTES, end - offset), offset))
    return digest.digest()


def _digest(path: str, progress: Progress, md5: bool) -> Content:
    whole = blake3_package.blake3()
    whole_md5 = hashlib.md5(usedforsecurity=False) if md5 else None
    with opened(path) as (descriptor, fence):
        part_bytes = part_size(fence.size)
        hashing = _PartHashes(part_count(fence.size, part_bytes), part_bytes, threads=fence.size > SEGMENT_BYTES)
        with hashing:
            read = 0
            while segment := os.read(descriptor, min(SEGMENT_BYTES, part_bytes - read % part_bytes)):
                if read + len(segment) > fence.size:
                    raise FileChanged(path)  # it grows while it is read
                hashing.add(read // part_bytes, segment)
                whole.update(segment)
                if whole_md5:
                    whole_md5.update(segment)
                read += len(segment)
                progress(len(segment))
            hashing.finish()
        if read != fence.size or fence_of(path) != fence:
            raise FileChanged(path)
    return Content(
        path,
        fence,
        whole.hexdigest(),
        part_bytes,
        parts=tuple(digest.hexdigest() for digest in hashing.sha256s),
        md5=whole_md5.hexdigest() if whole_md5 else "",
        part_blake3s=tuple(digest.hexdigest() for digest in hashing.blake3s),
    )


class _PartHashes:
    """The hashes of every part, fed in order; in threads where there is enough to do.  Read them after `finish`."""

    def __init__(self, count: int, part_bytes: int, *, threads: bool) -> None:
        self.sha256s = [hashlib.sha256() for _ in range(count)]
        self.blake3s = [blake3_package.blake3() for _ in range(count)]
        self._pool = ThreadPoolExecutor(HASHERS, "digest") if threads else None
        self._pending: deque[tuple[int, Future[None]]] = deque()

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def add(self, part: int, segment: bytes) -> None:
        if self._pool is None:
            self._hash(part, segment)
            return
        # Segments of one part must follow each other: a worker waits for the one before, which started earlier.
        before = next((future for number, future in reversed(self._pending) if number == part), None)
        self._pending.append((part, self._pool.submit(self._update, part, segment, before)))
        if len(self._pending) > MOST_PENDING:
            self._pending.popleft()[1].result()

    def finish(self) -> None:
        while self._pending:
            self._pending.popleft()[1].result()

    def _update(self, part: int, segment: bytes, before: Future[None] | None) -> None:
        if before is not None:
            before.result()
        self._hash(part, segment)

    def _hash(self, part: int, segment: bytes) -> None:
        self.sha256s[part].update(segment)
        self.blake3s[part].update(segment)


def _ignore(read: int) -> None:
    """The Progress of nobody."""
