"""Archives that are not bundles: what tar allows and export does not write."""

import gzip
import io
import os
import resource
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from roar_publisher.state.bundle import MANIFEST
from roar_publisher.state.portable import JOURNAL, RECORD
from tests.support.bundles.forge import Members, fitting, members_of, tar
from tests.support.bundles.good import World
from tests.unit.planning.bundles.conftest import Attack, Import, everything

Forge = Callable[[Members], bytes]
HUGE = 3_000_000_000


def pax_sparse(members: Members) -> bytes:
    """Return a journal of 3 GB in 10 kB: GNU's sparse format 0.1 in a PAX header."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if name == JOURNAL:
                member.pax_headers = {"GNU.sparse.map": f"0,{len(content)}", "GNU.sparse.size": str(HUGE)}
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def of_type(kind: bytes, link: str = "/etc/passwd") -> Forge:
    def forge(members: Members) -> bytes:
        def change(member: tarfile.TarInfo) -> None:
            if member.name == JOURNAL:
                member.type, member.linkname = kind, link

        return tar(members, change)

    return forge


def with_another(name: str) -> Forge:
    return lambda members: _appended(members, name)


def _appended(members: Members, name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for known, content in [*members.items(), (name, b"x")]:
            member = tarfile.TarInfo(known)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def of_size(size: int) -> Forge:
    """Return an archive whose header states a wrong size of the journal."""

    def forge(members: Members) -> bytes:
        whole = tar(members)
        member = tarfile.TarInfo(JOURNAL)
        place = whole.index(JOURNAL.encode(), 512)
        member.size = size
        header = member.tobuf(format=tarfile.GNU_FORMAT)
        return whole[:place] + header + whole[place + 512 :]

    return forge


def renamed_by_pax(members: Members) -> bytes:
    def change(member: tarfile.TarInfo) -> None:
        if member.name == RECORD:
            member.pax_headers = {"path": "../outside", "size": "1"}

    return tar(members, change, format=tarfile.PAX_FORMAT)


def manifest(**changes: object) -> Forge:
    return lambda members: tar(fitting(members, **changes))


def raw_manifest(content: bytes) -> Forge:
    return lambda members: tar(members | {MANIFEST: content})


def without(name: str) -> Forge:
    return lambda members: tar({known: content for known, content in members.items() if known != name})


def record(content: bytes) -> Forge:
    return lambda members: tar(fitting(members | {RECORD: content}))


ARCHIVES: dict[str, Forge] = {
    "PAX sparse": pax_sparse,
    "GNU sparse": of_type(tarfile.GNUTYPE_SPARSE),
    "symbolic link": of_type(tarfile.SYMTYPE),
    "hard link": of_type(tarfile.LNKTYPE),
    "hard link to the manifest": of_type(tarfile.LNKTYPE, MANIFEST),
    "character device": of_type(tarfile.CHRTYPE),
    "block device": of_type(tarfile.BLKTYPE),
    "fifo": of_type(tarfile.FIFOTYPE),
    "folder": of_type(tarfile.DIRTYPE),
    "contiguous file": of_type(tarfile.CONTTYPE),
    "plain file with a link name": of_type(tarfile.REGTYPE),
    "another name": with_another("session-token"),
    "a lock": with_another("lock"),
    "absolute name": with_another("/tmp/absolute"),
    "name that leads out": with_another("../outside"),
    "name with a detour": with_another("./journal.db"),
    "very long name": with_another("x" * 300),
    "manifest twice": with_another(MANIFEST),
    "journal twice": with_another(JOURNAL),
    "name in a PAX header": renamed_by_pax,
    "larger than the archive": of_size(10_000_000),
    "larger than any disk": of_size(2**62),
    "negative size": of_size(-512),
    "no manifest": without(MANIFEST),
    "no journal": without(JOURNAL),
    "compressed": lambda members: gzip.compress(tar(members)),
    "empty archive": lambda members: tar({}),
    "manifest of megabytes": raw_manifest(b'{"format": "' + b"x" * 1_000_000 + b'"}'),
    "manifest that nests": raw_manifest(b"[" * 60_000),
    "manifest with a number of digits": raw_manifest(b'{"version": ' + b"9" * 60_000 + b"}"),
    "manifest that is a list": raw_manifest(b"[]"),
    "manifest in another encoding": raw_manifest("{}".encode("utf-16")),
    "older version": manifest(version=0),
    "version that is not a number": manifest(version="1"),
    "version that is true": manifest(version=None),
    "id that leads out": manifest(publish_id="../../x"),
    "id with a line break": manifest(publish_id="0123456\n"),
    "id of another publish": manifest(publish_id="00000000"),
    "id that is a list": manifest(publish_id=["12345678"]),
    "files that are a list": manifest(files=[]),
    "files without hashes": manifest(files={JOURNAL: {"size": 1}, RECORD: {"size": 1}}),
    "files with other sizes": manifest(files={JOURNAL: {"size": "1", "sha256": "0" * 64}}),
    "another hash": manifest(files={JOURNAL: {"size": 1, "sha256": "0" * 64}, RECORD: {"size": 1, "sha256": "0" * 64}}),
    "record that is no text": record(b"\xff\xfe\x00"),
    "record that is no JSON": record(b"{"),
    "record that nests": record(b"[" * 1_000_000),
    "record that is a list": record(b"[]"),
    "empty record": record(b""),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_export_does_not_write_is_refused(name: str, members: Members, attacks: Attack) -> None:
    attacks(ARCHIVES[name](members))


def test_a_newer_version_is_reported(members: Members, attacks: Attack) -> None:
    attacks(tar(fitting(members, version=2)), 1, "newer release", "pip install --upgrade")


def test_no_archive_writes_more_than_its_own_size(
    members: Members, world: World, imports: Import, tmp_path: Path
) -> None:
    """The kernel limits writes to 100 MB; the 3 GB of a sparse member are refused before the first write."""
    file = tmp_path / "sparse.tar"
    file.write_bytes(pax_sparse(members))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000_000, before[1]))
    try:
        imports(file).blames(1, "is damaged, or is not an exported publish")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_noticed_before_anything_is_written(
    world: World, imports: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(world)

    class Usage:
        free = 1_000_000

    monkeypatch.setattr("roar_publisher.state.portable.shutil.disk_usage", lambda path: Usage)
    imports(world.bundle).blames(1, "the disk has no room", "nothing was imported", "free some disk space")
    assert everything(world) == before


def test_a_path_that_is_not_a_regular_file_never_blocks(world: World, imports: Import, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), Path("/dev/null")):
        imports(path).blames(1, "is damaged, or is not an exported publish")
    imports(tmp_path).blames(1, "cannot be read")
    assert members_of(world.bundle)
