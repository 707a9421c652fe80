"""Several files as one: an uncompressed tar that begins with a manifest of its contents.

    manifest.json   {format, version, publish_id, files: {name: {size, sha256}}}

A bundle may come from an untrusted source. The headers are therefore read here one by one, and not by `tarfile.open`,
which follows the extensions of tar: sparse members, long names, links. Only plain files under the expected names are
accepted, each of them once. A member is a range of the file's own bytes, so it is never larger than the file. Nothing
is unpacked under its own name, and sizes and hashes are compared with the manifest.
"""

import hashlib
import json
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, Self

from msgspec import Struct
from msgspec.structs import asdict

from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.paths import ID
from roar_publisher.state.reasons import Reason
from roar_publisher.state.system_errors import explain_os_error

FORMAT = "roar-publish"
VERSION = 1
MANIFEST = "manifest.json"
LONGEST_MANIFEST_BYTES = 64 * 1024
PIECE_BYTES = 1024 * 1024
PLAIN_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
END = bytes(tarfile.BLOCKSIZE)
"""The block that ends the archive. Nothing after it is read."""
SHA256 = re.compile(r"[0-9a-f]{64}")


class FileEntry(Struct, frozen=True):
    """The manifest's entry for a file. size: bytes. sha256: hex."""

    size: int
    sha256: str


def write_bundle(file: Path, publish_id: str, members: Mapping[str, IO[bytes]]) -> int:
    """Write the members to `file` (mode 0600), completely or not at all. Returns its size in bytes.

    members: by name, seekable, from their beginnings. Raises UsageProblem if the file exists, LocalProblem if it cannot
    be written.
    """
    try:
        if file.exists():
            raise UsageProblem(f"{file} exists already", next_step="name another file")
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)  # 0600
        try:
            with open(handle, "wb") as out:
                _write(out, publish_id, members)
                size = out.tell()
                out.flush()
                os.fsync(handle)
            os.replace(name, file)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        found = explain_os_error(error, Reason.DISK)
        raise LocalProblem(
            f"{file} cannot be written: {found.what}",
            kept="The publish is unchanged.",
            next_step="name a file in a folder with room that you may write to",
            reason=found.reason,
        ) from error
    return size


def _write(out: IO[bytes], publish_id: str, members: Mapping[str, IO[bytes]]) -> None:
    files = {name: _describe(content) for name, content in members.items()}
    manifest = {"format": FORMAT, "version": VERSION, "publish_id": publish_id}
    text = json.dumps(manifest | {"files": {name: asdict(file) for name, file in files.items()}}, indent=1).encode()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(_member(MANIFEST, len(text)), BytesIO(text))
        for name, content in members.items():
            archive.addfile(_member(name, files[name].size), content)


def _describe(content: IO[bytes]) -> FileEntry:
    digest, size = hashlib.sha256(), 0
    while piece := content.read(PIECE_BYTES):
        digest.update(piece)
        size += len(piece)
    content.seek(0)
    return FileEntry(size, digest.hexdigest())


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


class Member(Struct, frozen=True):
    """The bytes of a bundle's file that are the content of one member."""

    offset: int
    size: int


class Bundle:
    """A bundle open for reading. publish_id: of the publish in it. files: its contents besides the manifest."""

    def __init__(self, file: Path, content: IO[bytes], members: Mapping[str, Member]) -> None:
        self.file = file
        self._content = content
        self._members = members
        self.publish_id, self.files = self._manifest()

    @classmethod
    @contextmanager
    def opened(cls, file: Path, names: Set[str]) -> Iterator[Self]:
        """Open the bundle in `file`. Only members with one of these names are accepted.

        Raises UsageProblem if the file does not exist, LocalProblem if it is not a bundle, is damaged, or comes from a
        newer release. A pipe or a device is refused without waiting for it.
        """
        with _reading(file):
            content = open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK))
        with content:
            with _reading(file):
                members = _members(content, {MANIFEST, *names})
            yield cls(file, content, members)

    @property
    def size(self) -> int:
        """The total size of the contents in bytes."""
        return sum(file.size for file in self.files.values())

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield the content of a file in pieces. Raises LocalProblem at its end if it does not match the manifest."""
        digest, wanted = hashlib.sha256(), self.files[name]
        for piece in self._pieces(self._members[name]):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != wanted.sha256:
            raise damaged(self.file)

    def _pieces(self, member: Member) -> Iterator[bytes]:
        for start in range(0, member.size, PIECE_BYTES):
            with _reading(self.file):
                self._content.seek(member.offset + start)
                piece = self._content.read(min(PIECE_BYTES, member.size - start))
            yield piece

    def _manifest(self) -> tuple[str, dict[str, FileEntry]]:
        member = self._members.get(MANIFEST)
        if member is None or member.size > LONGEST_MANIFEST_BYTES:
            raise damaged(self.file)
        with _reading(self.file):
            manifest = json.loads(b"".join(self._pieces(member)))
        match manifest:
            case {"format": str(form), "version": int(version)} if form == FORMAT and version > VERSION:
                raise LocalProblem(
                    f"{self.file} was exported by a newer release",
                    kept="Nothing was imported.",
                    next_step="pip install --upgrade roar-publisher",
                    reason=Reason.NEWER_JOURNAL,
                )
            case {
                "format": str(form),
                "version": int(version),
                "publish_id": str(publish_id),
                "files": dict(files),
            } if (form, version) == (FORMAT, VERSION):
                found = {name: self._entry(name, entry) for name, entry in files.items()}
                if ID.fullmatch(publish_id) and {MANIFEST, *found} == set(self._members):
                    return publish_id, found
        raise damaged(self.file)

    def _entry(self, name: str, entry: object) -> FileEntry:
        match entry:
            case {"size": int(size), "sha256": str(sha256)} if SHA256.fullmatch(sha256):
                member = self._members.get(name)
                if member is not None and member.size == size:
                    return FileEntry(size, sha256)
        raise damaged(self.file)


def _members(content: IO[bytes], names: Set[str]) -> dict[str, Member]:
    """Return the members of the archive.

    Raises ValueError for anything that a bundle cannot hold, TarError for garbage.
    """
    status = os.fstat(content.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    found: dict[str, Member] = {}
    offset = 0
    while (header := _header(content, offset)) != END:
        member = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        offset += tarfile.BLOCKSIZE
        if member.type not in PLAIN_FILES or member.linkname or member.name not in names or member.name in found:
            raise ValueError("not a plain file that a bundle holds once")
        if not 0 <= member.size <= status.st_size - offset:
            raise ValueError("the member is larger than the archive")
        found[member.name] = Member(offset, member.size)
        offset += -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return found


def _header(content: IO[bytes], offset: int) -> bytes:
    content.seek(offset)
    return content.read(tarfile.BLOCKSIZE)


def damaged(file: Path) -> LocalProblem:
    """Return the error of a file that is not a bundle, or differs from what was exported."""
    return LocalProblem(
        f"{file} is damaged, or is not an exported publish",
        kept="Nothing was imported.",
        next_step="copy it again from where it was exported: roar journal export ID FILE",
        reason=Reason.DAMAGED_JOURNAL,
    )


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UsageProblem(
            f"there is no {file}", next_step="roar journal export ID FILE, on the other machine"
        ) from error
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise damaged(file) from error
    except OSError as error:
        found = explain_os_error(error, Reason.UNREADABLE)
        raise LocalProblem(
            f"{file} cannot be read: {found.what}", kept="Nothing was imported.", reason=found.reason
        ) from error
