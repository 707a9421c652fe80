"""Several files as one: an uncompressed tar that begins with a manifest of what it holds.

    manifest.json   {format, version, publish_id, files: {name: {size, sha256}}}

What is read is foreign until proven: nothing is unpacked by its name, no member but the named ones is accepted, every
type, size and hash is compared, and without compression nothing can be larger than the file that it came in.
"""

import hashlib
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Self

from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.paths import ID
from roar_publisher.state.reasons import Reason
from roar_publisher.state.trouble import trouble

FORMAT = "roar-publish"
VERSION = 1
MANIFEST = "manifest.json"
LONGEST_MANIFEST_BYTES = 64 * 1024
PIECE_BYTES = 1024 * 1024
PLAIN_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Described:
    """What the manifest says of a file.  size: bytes.  sha256: hex."""

    size: int
    sha256: str


def write_bundle(file: Path, publish_id: str, members: Mapping[str, IO[bytes]]) -> int:
    """Write the members, seekable from their beginnings, to `file` (0600), whole or not at all; returns its bytes.

    Raises UsageProblem if the file exists, LocalProblem where it can't be written.
    """
    if file.exists():
        raise UsageProblem(f"{file} exists already", next_step="name another file")
    try:
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
        found = trouble(error, Reason.DISK)
        raise LocalProblem(
            f"{file} can't be written: {found.what}",
            kept="The publish stays as it is.",
            next_step="name a file in a folder with room that you may write to",
            reason=found.reason,
        ) from error
    return size


def _write(out: IO[bytes], publish_id: str, members: Mapping[str, IO[bytes]]) -> None:
    files = {name: _described(content) for name, content in members.items()}
    manifest = {"format": FORMAT, "version": VERSION, "publish_id": publish_id}
    text = json.dumps(manifest | {"files": {name: asdict(file) for name, file in files.items()}}, indent=1).encode()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        archive.addfile(_member(MANIFEST, len(text)), BytesIO(text))
        for name, content in members.items():
            archive.addfile(_member(name, files[name].size), content)


def _described(content: IO[bytes]) -> Described:
    digest, size = hashlib.sha256(), 0
    while piece := content.read(PIECE_BYTES):
        digest.update(piece)
        size += len(piece)
    content.seek(0)
    return Described(size, digest.hexdigest())


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


class Bundle:
    """A bundle that is being read.  publish_id: of the publish in it.  files: what it holds besides the manifest."""

    def __init__(self, file: Path, archive: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo]) -> None:
        self.file = file
        self._archive = archive
        self._members = members
        self.publish_id, self.files = self._manifest()

    @classmethod
    @contextmanager
    def opened(cls, file: Path, names: Set[str]) -> Iterator[Self]:
        """The bundle in `file`, whose members all have one of these names.

        Raises UsageProblem where there is no such file, LocalProblem where it is no bundle, damaged, or of a newer
        release.
        """
        with _reading(file):
            archive = tarfile.open(file, mode="r:")
        with archive:
            with _reading(file):
                members: dict[str, tarfile.TarInfo] = {}
                for member in archive:
                    fitting = member.type in PLAIN_FILES and member.name in {MANIFEST, *names}
                    if not fitting or member.name in members:
                        raise damaged(file)
                    members[member.name] = member
            yield cls(file, archive, members)

    def pieces(self, name: str) -> Iterator[bytes]:
        """The content of a file, in pieces.  Raises LocalProblem at its end where it is not what the manifest says."""
        digest, wanted = hashlib.sha256(), self.files[name]
        with _reading(self.file):
            content = self._archive.extractfile(self._members[name])
            assert content is not None, "only plain files are members"
            while piece := content.read(PIECE_BYTES):
                digest.update(piece)
                yield piece
        if digest.hexdigest() != wanted.sha256:
            raise damaged(self.file)

    def _manifest(self) -> tuple[str, dict[str, Described]]:
        member = self._members.get(MANIFEST)
        if member is None or member.size > LONGEST_MANIFEST_BYTES:
            raise damaged(self.file)
        with _reading(self.file):
            content = self._archive.extractfile(member)
            manifest = json.loads(content.read() if content else b"")
        match manifest:
            case {"format": str(form), "version": int(version)} if form == FORMAT and version > VERSION:
                raise LocalProblem(
                    f"{self.file} was exported by a newer release",
                    kept="Nothing was imported.",
                    next_step="pip install --upgrade roar-publisher",
                    reason="newer journal",
                )
            case {"format": str(form), "version": int(), "publish_id": str(publish_id), "files": dict(files)} if (
                form == FORMAT
            ):
                found = {name: self._file(name, said) for name, said in files.items()}
                if ID.fullmatch(publish_id) and {MANIFEST, *found} == set(self._members):
                    return publish_id, found
        raise damaged(self.file)

    def _file(self, name: str, said: object) -> Described:
        match said:
            case {"size": int(size), "sha256": str(sha256)} if SHA256.fullmatch(sha256):
                member = self._members.get(name)
                if member is not None and member.size == size:
                    return Described(size, sha256)
        raise damaged(self.file)


def damaged(file: Path) -> LocalProblem:
    """The error of a file that is no bundle, or not what was exported."""
    return LocalProblem(
        f"{file} is damaged, or no exported publish",
        kept="Nothing was imported.",
        next_step="copy it anew from where it was exported: roar journal export ID FILE",
        reason="damaged journal",
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
        found = trouble(error, Reason.UNREADABLE)
        raise LocalProblem(
            f"{file} can't be read: {found.what}", kept="Nothing was imported.", reason=found.reason
        ) from error
