"""A file that is being fetched, under its digest in the work folder. Blocking, in worker threads."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from anyio import from_thread
from blake3 import blake3
from msgspec import Struct, field

from roar_publisher.fetching.folder import READ_BYTES, TargetFolder
from roar_publisher.fetching.stored import StoredFile
from roar_publisher.state.errors import Rejected
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.file_reading import tag_in

FEW_ZEROS = bytes(4096)
"""What does not begin like this is not compared with as many zeros as it is long, which costs memory."""


class WrongBytes(Rejected):
    """What was fetched has another digest. resumed: some of it was written by an earlier process."""

    def __init__(self, *, resumed: bool) -> None:
        super().__init__("its bytes are not those of the lineage", reason=Reason.STORED_OBJECT_DIFFERS)
        self.resumed = resumed


class _DigestFromBegin:
    """The digest of a file that is written in any order, computed meanwhile, as far as it is there from its begin."""

    def __init__(self) -> None:
        self._digest = blake3()
        self._end = 0
        self._buffer: memoryview | None = None  # for what is read back; each worker thread would keep what it allocates
        self._written: dict[int, int] = {}  # lengths by offset, of what is not in the digest yet
        self._turn = threading.Lock()

    def add(self, descriptor: int, content: bytes, offset: int) -> None:
        """Take bytes that were written, and those after them that were written before."""
        self._written[offset] = len(content)
        if self._turn.acquire(blocking=False):  # otherwise another thread, or the end, takes them
            try:
                while length := self._written.pop(self._end, 0):
                    if offset == self._end:
                        self._digest.update(content)
                        self._end += length
                    else:
                        self._read_back(descriptor, self._end + length)
            finally:
                self._turn.release()

    def of_whole(self, descriptor: int) -> str:
        """Return the digest of the whole file. The rest of it is read; cancellation takes effect after a block."""
        with self._turn:
            self._read_back(descriptor, os.fstat(descriptor).st_size)
            return self._digest.hexdigest()

    def _read_back(self, descriptor: int, end: int) -> None:
        if self._buffer is None and self._end < end:
            self._buffer = memoryview(bytearray(READ_BYTES))
        while self._buffer is not None and self._end < end:
            read = os.preadv(descriptor, [self._buffer[: end - self._end]], self._end)
            if not read:
                return  # it was truncated, so the digest will differ
            self._digest.update(self._buffer[:read])
            self._end += read
            from_thread.check_cancelled()


class PartialFile(Struct, frozen=True):
    """An incomplete file. descriptor: open for reading and writing."""

    target: TargetFolder
    file: StoredFile
    descriptor: int
    _digest: _DigestFromBegin = field(default_factory=_DigestFromBegin)

    @classmethod
    @contextmanager
    def opened(cls, target: TargetFolder, file: StoredFile, size: int, *, anew: bool) -> Iterator["PartialFile"]:
        """Open it, with its whole size but without taking room for it. anew: without the bytes that it has."""
        descriptor = target.open_partial(file.digest)
        try:
            if anew:
                os.truncate(descriptor, 0)
            os.truncate(descriptor, size)
            yield cls(target, file, descriptor)
        finally:
            os.close(descriptor)

    def write(self, content: bytes, offset: int) -> None:
        """Write bytes at an offset. A hole stays one where all of them are zeros."""
        # An earlier process may have written others there without recording them.
        if not _only_zeros(content) or not _only_zeros(os.pread(self.descriptor, len(content), offset)):
            write_at(self.descriptor, content, offset)
        self._digest.add(self.descriptor, content, offset)

    def finish(self, *, resumed: bool, force: bool) -> str:
        """Give the file its name, if its content is right, and return its tag (`file_reading.tag_in`).

        Raises WrongBytes, and LocalProblem without `force`.
        """
        if self._digest.of_whole(self.descriptor) != self.file.digest:
            raise WrongBytes(resumed=resumed)
        return self.appear(force=force)

    def appear(self, *, force: bool) -> str:
        """Give the file its name once its bytes are on the disk, and return its tag. Raises as `finish`."""
        os.fsync(self.descriptor)
        self.target.give_name(self.file.digest, self.file.name, force=force)
        return tag_in(os.fstat(self.descriptor))  # now: a rename changes the change time


def keep_small(target: TargetFolder, file: StoredFile, content: bytes, *, force: bool) -> str:
    """Write the whole content of a file, give it its name, and return its tag (`file_reading.tag_in`).

    Raises WrongBytes, and LocalProblem without `force`.
    """
    if blake3(content).hexdigest() != file.digest:
        raise WrongBytes(resumed=False)
    with PartialFile.opened(target, file, 0, anew=True) as partial:
        write_at(partial.descriptor, content, 0)
        return partial.appear(force=force)


def _only_zeros(content: bytes) -> bool:
    return content.startswith(FEW_ZEROS[: len(content)]) and content == bytes(len(content))


def write_at(descriptor: int, content: bytes, offset: int) -> None:
    """Write all bytes at an offset."""
    left = memoryview(content)
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written
