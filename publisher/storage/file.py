"""A folder as an object store: on a disk, on a mount, or in a test.

Parts are written to their offsets in a temporary file beside the object. The file is then read back, hashed, synced and
renamed, so readers see either the old object or the complete new one. The temporary file needs no record of its parts:
a part is present if its bytes have the expected blake3, which is this store's tag of the part. The file's name follows
from the owner and the key, so it is found again after a crash without any record. Others may write into the folder,
too: a link that takes the file's place is not followed.
"""

import errno
import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import anyio
import blake3 as blake3_package
from anyio import from_thread

from roar_publisher.blocking import in_thread
from roar_publisher.state.errors import LocalProblem, PublisherError, UsageProblem
from roar_publisher.state.private import sync_folder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import open_own
from roar_publisher.state.system_errors import explain_os_error
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.file_reading import look_at, read_range, tag_of
from roar_publisher.storage.parts import part_count, part_range
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.slices import OnSent, chunks
from roar_publisher.storage.source import READ_BYTES, Content, FileStamp, Slice, shown, stamp_in
from roar_publisher.storage.store import ObjectStore, Part, Upload, UploadVanished, check_key

NAME_LENGTH = 16
"""Hex digits of a temporary file's name. Two owners never share one."""
IN_THE_WAY = "remove what is in the way, or correct the permissions there"
T = TypeVar("T")


class FileStore(ObjectStore):
    """Objects below `folder`, which is created for the first object."""

    def __init__(self, folder: Path, owner: str) -> None:
        super().__init__(folder.absolute().as_uri())
        self._folder = folder.absolute()
        self._owner = owner

    def url(self, key: str) -> str:
        """Return the URL with its path percent-encoded, like the destination's: `%20` in a name is escaped as well."""
        return f"{self.destination.rstrip('/')}/{quote(self.name(key))}"

    def checksum_of(self, content: Content) -> str:
        return f"blake3:{content.blake3}"

    async def check(self) -> None:
        try:
            blocking = await in_thread(_in_the_way, self._folder)
        except OSError:  # unknown; storing will report it
            return
        if blocking is not None:
            raise UsageProblem(
                f"the destination cannot be a folder: {shown(str(blocking))} is a file",
                next_step="name a folder; a file keeps its own name in it",
            )

    async def stat(self, key: str) -> StoredObject | None:
        """Return what is stored, by reading and hashing the object, because a folder keeps no checksum."""
        path = self._path(key)
        if not await self._disk(path.is_file):
            return None
        found = await digest_file(str(path))
        return StoredObject(found.size, f"blake3:{found.blake3}", found.blake3, tag_of(found.fence))

    async def look(self, key: str) -> StoredObject | None:
        return await in_thread(look_at, self._path(key))

    async def read(self, key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        return await in_thread(read_range, self._path(key), offset, length, stored)

    async def is_lost(self, key: str, content: Content, tag: str) -> bool:
        """Return whether the object is lost. Reads it only if it was written since."""
        if tag and tag == await self._disk(_tag_at, self._path(key)):
            return False
        stored = await self.stat(key)
        return stored is None or not self.is_unchanged(stored, content, tag)

    async def put(self, key: str, content: Content, sent: OnSent) -> StoredObject:
        upload = await self.begin(key, content)
        try:
            part = await self.put_part(upload, 1, content.whole(), sent)
            return await self.complete(upload, content, {1: part})
        except BaseException:
            with anyio.CancelScope(shield=True), suppress(PublisherError):
                await self.abort(upload)
            raise

    async def begin(self, key: str, content: Content) -> Upload:
        upload = self._upload(key, content.size, content.part_bytes)
        try:
            await self._disk(self._reserve, upload)
        except UploadVanished as error:  # the folder cannot be created
            raise self._unusable("the folder cannot be created", full=False) from error
        return upload

    async def abort_orphans(self, key: str, requested_at: float | None) -> None:
        await self.abort(self._upload(key, size=0, part_bytes=0))

    async def parts(self, upload: Upload) -> dict[int, Part] | None:
        """Return the parts, by hashing the temporary file. Parts that were never written have the hash of zeros."""
        temporary = self._temporary(upload)
        if not await self._disk(temporary.is_file):
            return None
        return await self._disk(_parts_in, temporary, upload)

    async def put_part(self, upload: Upload, number: int, slice_: Slice, sent: OnSent) -> Part:
        descriptor = await self._disk(open_own, self._temporary(upload), os.O_WRONLY)
        try:
            offset = slice_.offset
            async with aclosing(chunks(slice_, sent)) as pieces:
                async for piece in pieces:
                    await self._disk(_write, descriptor, piece, offset)
                    offset += len(piece)
        finally:
            os.close(descriptor)
        return Part(number, slice_.length, slice_.blake3, "")

    async def complete(self, upload: Upload, content: Content, parts: Mapping[int, Part]) -> StoredObject:
        final = self._path(upload.key)
        found = await self.parts(upload)
        if found is None:  # gone, or renamed by a completion whose result was lost
            stored = await self.stat(upload.key)
            if stored is None or not self.matches(stored, content):
                raise _vanished(upload)
            return stored
        if [part.tag for part in found.values()] != list(content.part_blake3s):
            await self.abort(upload)
            raise _vanished(upload)
        tag = await self._disk(_publish, self._temporary(upload), final)
        # All parts read back above had their hashes, so the content has this blake3.
        return StoredObject(content.size, self.checksum_of(content), content.blake3, tag)

    async def abort(self, upload: Upload) -> None:
        await self._disk(self._temporary(upload).unlink, True)

    def _upload(self, key: str, size: int, part_bytes: int) -> Upload:
        name = hashlib.sha256(f"{self._owner}\0{check_key(key)}".encode()).hexdigest()[:NAME_LENGTH]
        return Upload(key, name, size, part_bytes)

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)

    def _temporary(self, upload: Upload) -> Path:
        return self._path(upload.key).with_name(f".roar-{upload.id}.upload")

    def _reserve(self, upload: Upload) -> None:
        temporary = self._temporary(upload)
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        try:
            os.truncate(descriptor, upload.size)
        finally:
            os.close(descriptor)

    async def _disk(self, work: Callable[..., T], *arguments: object) -> T:
        """Run blocking work in a thread and translate the file system's errors."""
        try:
            return await in_thread(work, *arguments)
        except FileNotFoundError as error:  # every file opened here was reserved before
            raise UploadVanished("the upload's temporary file is gone") from error
        except (FileExistsError, NotADirectoryError) as error:
            raise self._unusable("a file is in the place of a folder", full=False) from error
        except IsADirectoryError as error:
            raise self._unusable("a folder is in the place of an object", full=False) from error
        except OSError as error:
            if error.errno == errno.EFBIG:
                found = explain_os_error(error, Reason.DESTINATION)
                raise self._unusable(found.what, full=False, remedy=found.remedy) from error
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise self._unusable(error.strerror or "it fails", full=full) from error

    def _unusable(self, why: str, *, full: bool, remedy: str = IN_THE_WAY) -> LocalProblem:
        return LocalProblem(
            f"{shown(str(self._folder))} cannot be written: {why}",
            next_step="make room" if full else remedy,
            reason=Reason.DISK_FULL if full else Reason.DESTINATION,
            resumable=True,
        )


def _parts_in(temporary: Path, upload: Upload) -> dict[int, Part]:
    found = {}
    with os.fdopen(open_own(temporary, os.O_RDONLY), "rb", buffering=0) as file:
        for number in range(1, part_count(upload.size, upload.part_bytes) + 1):
            _, length = part_range(number, upload.size, upload.part_bytes)
            digest = blake3_package.blake3()
            left = length
            while left and (chunk := file.read(min(READ_BYTES, left))):
                digest.update(chunk)
                left -= len(chunk)
                from_thread.check_cancelled()
            found[number] = Part(number, length - left, digest.hexdigest(), "")
    return found


def _tag_at(path: Path, expected: FileStamp | None = None) -> str:
    """Return the tag of the file at a path; empty if there is none, or another one than `expected`."""
    try:
        found = stamp_in(path.stat())
    except FileNotFoundError:
        return ""
    return tag_of(found) if expected is None or expected.admits(found) else ""


def _write(descriptor: int, chunk: bytes, offset: int) -> None:
    left = memoryview(chunk)
    while left:
        written = os.pwrite(descriptor, left, offset)
        left = left[written:]
        offset += written


def _in_the_way(folder: Path) -> Path | None:
    """Return the path that prevents `folder` from being a folder: itself or a parent that exists as something else."""
    for path in (folder, *folder.parents):
        if path.is_dir():
            return None
        if os.path.lexists(path):
            return path
    return None


def _publish(temporary: Path, final: Path) -> str:
    """Sync the content, then rename, then sync the folder. After a power loss the object is complete or absent.

    Does not use hard links, which exFAT, sshfs and 9p lack. Returns the tag of the object; empty if another process has
    replaced it already.
    """
    descriptor = open_own(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        stamp = stamp_in(os.fstat(descriptor))
    finally:
        os.close(descriptor)
    temporary.replace(final)
    sync_folder(final.parent)
    return _tag_at(final, stamp)


def _vanished(upload: Upload) -> UploadVanished:
    return UploadVanished(f"the upload of {shown(upload.key)} is gone")
