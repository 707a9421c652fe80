"""A publish as one file: what is in it, and what is not let in."""

import hashlib
import io
import json
import os
import random
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import asdict

from roar_publisher.planning.put.record import PutFile
from roar_publisher.state.bundle import MANIFEST, Bundle, write_bundle
from roar_publisher.state.errors import LocalProblem, Owned, PublisherError, UsageProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.lock import Lock
from roar_publisher.state.machine import Event, State
from roar_publisher.state.objects import ObjectRow, PartRow
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.portable import JOURNAL, RECORD, pack, unpacked
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import LocalContext
from roar_publisher.state.units import Kind
from tests.support.lineages import chain, cut, frozen

LINEAGE = cut(chain(5))
SEED = 20_260_101
HERE = LocalContext(
    project="/here",
    roar_db="/here/.roar/roar.db",
    local_session=1,
    ssh_key="",
    tags=[],
    url=None,
    allowed_folders=["/here"],
)
Members = dict[str, bytes]


@pytest.fixture
def packed(folder: StateFolder, tmp_path: Path) -> Path:
    """A file with a publish that was interrupted half-way."""
    with frozen(folder, LINEAGE) as owned:
        for event in (Event.PROBED, Event.SELECTED, Event.OPENED):
            owned.journal.checkpoint(event)
        owned.journal.units.acknowledge([(1, 0), (2, 0)])
        pack(owned.paths, owned.journal, '{"a": "record"}', tmp_path / "file")
    return tmp_path / "file"


@pytest.fixture
def there(tmp_path: Path) -> StateFolder:
    """Another machine's state folder."""
    return StateFolder(tmp_path / "there")


def nothing_is_left(there: StateFolder) -> bool:
    return list(there.all_publishes()) == []


def test_what_arrives_is_what_was_packed(folder: StateFolder, packed: Path, there: StateFolder) -> None:
    [original] = folder.all_publishes()
    with unpacked(packed, there) as publish:
        assert publish.record == '{"a": "record"}'
        publish.journal.adapt(HERE, {})
    with Journal(original.journal) as before, OwnedPublish.open(there.find(original.id)) as after:
        assert list(after.journal.units.bodies(Kind.JOBS)) == list(before.units.bodies(Kind.JOBS))
        assert (after.journal.units.tally(), after.journal.history()) == (before.units.tally(), before.history())
        assert (after.journal.progress().state, after.journal.plan().project) == (State.STAGE, "/here")
    assert sorted(os.listdir(there.find(original.id).folder)) == ["journal.db", "lock"]
    assert there.find(original.id).folder.stat().st_mode & 0o777 == 0o700


def test_packing_leaves_the_publish_and_its_folder_as_they_were(folder: StateFolder, packed: Path) -> None:
    [paths] = folder.all_publishes()
    assert sorted(os.listdir(paths.folder)) == ["journal.db", "journal.db-journal", "lock"]
    assert packed.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(packed.parent)) == ["file", "state"]


def test_consent_given_on_the_other_machine_does_not_count_here(
    folder: StateFolder, there: StateFolder, tmp_path: Path
) -> None:
    with frozen(folder, LINEAGE) as owned:
        owned.journal.queue.configure(agreed=True, limits=TransferLimits(jobs=3, limit_rate=5))
        owned.journal.queue.postpone(attempts=4, until=1e12)
        owned.journal.park(reason=Reason.AUTH, detail="sign in")
        pack(owned.paths, owned.journal, None, tmp_path / "file")
    with unpacked(tmp_path / "file", there) as publish:
        publish.journal.adapt(HERE, {})
        queued, progress = publish.journal.queue.read(), publish.journal.progress()
    assert (queued.parked, queued.agreed, progress.reason) == (True, False, Reason.IMPORTED)
    assert (queued.attempts, queued.next_attempt) == (0, None)
    assert queued.limits == TransferLimits(jobs=3, limit_rate=5)


def test_parts_stay_behind_with_the_upload_that_they_belong_to(
    folder: StateFolder, there: StateFolder, tmp_path: Path
) -> None:
    with frozen(folder, LINEAGE) as owned:
        owned.journal.objects.add([ObjectRow(1, "large.bin", "s3://b/large.bin", 9, "{}")])
        owned.journal.objects.acknowledge_part(1, PartRow(1, 5, "tag", "0" * 64))
        pack(owned.paths, owned.journal, None, tmp_path / "file")
    with unpacked(tmp_path / "file", there) as publish:
        assert publish.journal.objects.parts(1) == []
        publish.journal.adapt(HERE, {1: '{"moved": true}'})
        assert [row.content for row in publish.journal.objects.all(only_missing=True)] == ['{"moved": true}']


@pytest.mark.parametrize("stem", ["image", "\N{GRINNING FACE}" * 60])
def test_what_a_put_writes_into_roar_db_has_room_for_every_file_of_it(
    folder: StateFolder, there: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stem: str
) -> None:
    paths = [f"/home/user/project/data/{stem}{number:06}.jpg" for number in range(1_000)]
    record = json.dumps([asdict(PutFile("a" * 32, path, "d" * 64, 9, f"s3://bucket/{path}")) for path in paths])
    objects = [ObjectRow(seq, path, f"s3://bucket/{path}", 9, json.dumps(path)) for seq, path in enumerate(paths, 1)]
    with frozen(folder, LINEAGE) as owned:
        owned.journal.objects.add(objects)
        pack(owned.paths, owned.journal, record, tmp_path / "file")
    monkeypatch.setattr("roar_publisher.state.portable.RECORD_BYTES", 1_000)
    with unpacked(tmp_path / "file", there) as publish:
        assert publish.record == record


def test_a_record_that_no_journal_of_its_size_has_is_not_read(
    folder: StateFolder, there: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with frozen(folder, LINEAGE) as owned:
        pack(owned.paths, owned.journal, " " * 1_000_000, tmp_path / "file")
    monkeypatch.setattr("roar_publisher.state.portable.RECORD_BYTES", 1_000)
    is_refused(tmp_path / "file", there)


def test_a_file_that_exists_is_not_written_over(folder: StateFolder, packed: Path) -> None:
    before = packed.read_bytes()
    with frozen(folder, LINEAGE) as owned, pytest.raises(UsageProblem, match="exists already"):
        pack(owned.paths, owned.journal, None, packed)
    assert packed.read_bytes() == before


@pytest.mark.parametrize("name", ["no folder/file", "n" * 300])
def test_a_file_that_can_not_be_written_leaves_nothing(folder: StateFolder, tmp_path: Path, name: str) -> None:
    with frozen(folder, LINEAGE) as owned:
        with pytest.raises(LocalProblem, match="cannot be written"):
            pack(owned.paths, owned.journal, None, tmp_path / name)
        assert "export" not in os.listdir(owned.paths.folder)


def test_the_same_publish_arrives_once(packed: Path, there: StateFolder) -> None:
    with unpacked(packed, there):
        pass
    with pytest.raises(UsageProblem, match="on this machine already"), unpacked(packed, there):
        pass
    [paths] = there.all_publishes()
    assert paths.journal.exists()


def test_what_fails_on_the_way_in_leaves_nothing(packed: Path, there: StateFolder) -> None:
    with pytest.raises(ZeroDivisionError), unpacked(packed, there):
        raise ZeroDivisionError
    assert nothing_is_left(there)


def test_an_import_that_was_killed_is_taken_over(packed: Path, there: StateFolder, folder: StateFolder) -> None:
    [original] = folder.all_publishes()
    left = there.publishes / original.id
    left.mkdir(parents=True)
    (left / "journal.db.new").write_bytes(b"half")
    (left / "lock").touch()
    with Lock(left / "lock"), pytest.raises(Owned), unpacked(packed, there):
        pass
    with unpacked(packed, there):
        pass
    assert there.find(original.id).journal.exists()


# ------------------------------------------------------------------------------------------------- what is not let in


def members_of(file: Path) -> Members:
    with tarfile.open(file) as archive:
        found = {}
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
        return found


def tar_of(file: Path, members: Members, change: Callable[[tarfile.TarInfo], None] = lambda member: None) -> None:
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            change(member)
            archive.addfile(member, io.BytesIO(content))


def with_manifest(members: Members, **changes: object) -> Members:
    return members | {MANIFEST: json.dumps(json.loads(members[MANIFEST]) | changes).encode()}


def with_journal(members: Members, content: bytes) -> Members:
    """Another journal, and a manifest that fits it."""
    files = json.loads(members[MANIFEST])["files"]
    files[JOURNAL] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return with_manifest(members | {JOURNAL: content}, files=files)


def is_refused(file: Path, there: StateFolder, words: str = "is not an exported publish") -> None:
    with pytest.raises(PublisherError, match=words), unpacked(file, there):
        pass
    assert nothing_is_left(there)


def test_a_file_that_is_not_there(tmp_path: Path, there: StateFolder) -> None:
    is_refused(tmp_path / "nothing", there, "there is no")
    is_refused(tmp_path, there, "cannot be read")


@pytest.mark.parametrize("content", [b"", b"noise" * 1000, b"\0" * 20_000, b"PK\x03\x04" + b"\0" * 600])
def test_another_kind_of_file(tmp_path: Path, there: StateFolder, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    is_refused(tmp_path / "file", there)


def test_a_newer_release_wrote_it(packed: Path, there: StateFolder) -> None:
    tar_of(packed, with_manifest(members_of(packed), version=2))
    is_refused(packed, there, "newer release")


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"},
        {"version": "1"},
        {"publish_id": "../../x"},
        {"publish_id": "0123456789"},
        {"publish_id": "00000000"},
        {"files": []},
        {"files": {}},
        {"files": {JOURNAL: {"size": 1, "sha256": "0" * 64}}},
        {"files": {JOURNAL: None, RECORD: None}},
    ],
    ids=str,
)
def test_a_manifest_that_does_not_fit(packed: Path, there: StateFolder, changes: dict[str, object]) -> None:
    tar_of(packed, with_manifest(members_of(packed), **changes))
    is_refused(packed, there)


@pytest.mark.parametrize("name", ["../outside", "/absolute", "session-token", "./journal.db", "key", MANIFEST, JOURNAL])
def test_a_member_of_another_name_or_a_second_one(packed: Path, there: StateFolder, name: str) -> None:
    members = members_of(packed)
    with tarfile.open(packed, "w") as archive:
        for known, content in [*members.items(), (name, b"x")]:
            member = tarfile.TarInfo(known)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    is_refused(packed, there)
    assert not (there.root.parent / "outside").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_member_that_is_no_file(packed: Path, there: StateFolder, kind: bytes) -> None:
    def change(member: tarfile.TarInfo) -> None:
        if member.name == JOURNAL:
            member.type, member.linkname = kind, "/etc/passwd"

    tar_of(packed, members_of(packed), change)
    is_refused(packed, there)


@pytest.mark.parametrize("name", [MANIFEST, JOURNAL])
def test_a_member_that_is_missing(packed: Path, there: StateFolder, name: str) -> None:
    members = members_of(packed)
    del members[name]
    tar_of(packed, members)
    is_refused(packed, there)


def test_any_damage_is_noticed(packed: Path, there: StateFolder) -> None:
    """A byte of the contents is another, or the file ends early; padding and the tar's own times say nothing."""
    whole = packed.read_bytes()
    rng = random.Random(SEED)
    journal = whole.index(b"SQLite format 3")
    for _ in range(40):
        place = rng.randrange(journal, journal + 4096 * 8)
        packed.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
        is_refused(packed, there)
        packed.write_bytes(whole[: rng.randrange(1, journal + 4096 * 8)])
        is_refused(packed, there)


def test_noise_in_the_headers_is_never_a_defect(packed: Path, there: StateFolder, tmp_path: Path) -> None:
    whole = packed.read_bytes()
    rng = random.Random(SEED)
    for _ in range(300):
        place = rng.randrange(1024 + 512)
        packed.write_bytes(whole[:place] + rng.randbytes(rng.choice([1, 8, 100])) + whole[place + 100 :])
        try:
            with unpacked(packed, StateFolder(tmp_path / "any")):
                raise UsageProblem("imported, then refused")
        except PublisherError:
            assert nothing_is_left(StateFolder(tmp_path / "any"))


def journal_bytes(path: Path, sql: str, original: bytes = b"") -> bytes:
    path.write_bytes(original)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)
    return path.read_bytes()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE plan SET id = 'ffffffff'",
        "UPDATE progress SET state = 'done'",
        "UPDATE progress SET state = 'elsewhere'",
        "UPDATE plan SET intent = 'no JSON'",
        "UPDATE events SET id = id; ALTER TABLE plan ADD COLUMN more TEXT",
        "DELETE FROM plan",
        "DROP TABLE units",
        "CREATE TRIGGER act AFTER UPDATE ON plan BEGIN DELETE FROM units; END",
    ],
)
def test_a_journal_that_no_export_holds(packed: Path, there: StateFolder, tmp_path: Path, sql: str) -> None:
    members = members_of(packed)
    tar_of(packed, with_journal(members, journal_bytes(tmp_path / "changed", sql, members[JOURNAL])))
    is_refused(packed, there)


def test_a_journal_that_is_none(packed: Path, there: StateFolder, tmp_path: Path) -> None:
    members = members_of(packed)
    for content in (b"", b"noise" * 2000, journal_bytes(tmp_path / "other", "CREATE TABLE plan (id)")):
        tar_of(packed, with_journal(members, content))
        is_refused(packed, there)


def test_a_journal_of_a_newer_release(packed: Path, there: StateFolder, tmp_path: Path) -> None:
    members = members_of(packed)
    sql = "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('journal', 'm999_later', 'now')"
    tar_of(packed, with_journal(members, journal_bytes(tmp_path / "changed", sql, members[JOURNAL])))
    is_refused(packed, there, "newer release")


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    contents = {"one": b"1" * 3_000_000, "two": b""}
    size = write_bundle(tmp_path / "file", "12ab34cd", {name: io.BytesIO(text) for name, text in contents.items()})
    assert size == (tmp_path / "file").stat().st_size
    with Bundle.opened(tmp_path / "file", set(contents)) as bundle:
        assert bundle.publish_id == "12ab34cd"
        assert {name: b"".join(bundle.pieces(name)) for name in bundle.files} == contents
