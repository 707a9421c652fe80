"""A repair writes only what is wrong, from the very bytes, and continues where it was interrupted."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import from_thread
from blake3 import blake3
from msgspec.structs import replace

from roar_publisher.checking import repair as module
from roar_publisher.checking.local_files import LocalFiles
from roar_publisher.checking.permitted import PermittedPlaces, named_place
from roar_publisher.checking.repair import Repair
from roar_publisher.inspection.findings import Finding, Inspected
from roar_publisher.inspection.subjects import Subject
from roar_publisher.state.errors import Interrupted
from roar_publisher.state.limits import DEFAULT_LIMITS
from roar_publisher.state.paths import StateFolder
from roar_publisher.storage.file import FileStore
from roar_publisher.storage.file_reading import tag_in
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.store import Part

pytestmark = pytest.mark.anyio
CONTENT = b"content"
DIGEST = blake3(CONTENT).hexdigest()


@pytest.fixture
def repair(tmp_path: Path) -> Repair:
    (tmp_path / "stored").mkdir()
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "x").write_bytes(CONTENT)
    state = StateFolder(tmp_path / "state")
    state.make()
    places = PermittedPlaces((named_place(str(tmp_path / "stored")),))
    return Repair(state, LocalFiles(None, tmp_path / "backup"), places, DEFAULT_LIMITS, 1.0)


def missing(tmp_path: Path, **others: Any) -> Inspected:
    fields = {"finding": Finding.MISSING} | others
    return Inspected(Subject((tmp_path / "stored" / "x").as_uri(), DIGEST), **fields)


async def test_what_is_missing_is_put_again(repair: Repair, tmp_path: Path) -> None:
    (done,) = await repair.run([missing(tmp_path)])
    assert (done.why, (tmp_path / "stored" / "x").read_bytes()) == ("", CONTENT)
    assert not list((repair.folder.root / "repairs").iterdir())


async def test_nothing_is_written_where_the_user_has_not_put_or_allowed_it(repair: Repair, tmp_path: Path) -> None:
    (done,) = await replace(repair, places=PermittedPlaces()).run([missing(tmp_path)])
    assert "--allow" in done.why
    assert not (tmp_path / "stored" / "x").exists()


async def test_what_was_noted_beside_wrong_bytes_does_not_count(
    repair: Repair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = tmp_path / "stored" / "x"
    stored.write_bytes(b"changed")
    monkeypatch.setattr(FileStore, "matches", lambda *_: True)
    (done,) = await repair.run([missing(tmp_path, finding=Finding.CHANGED, tag=tag_in(stored.stat()))])
    assert (done.why, stored.read_bytes()) == ("", CONTENT)


async def test_what_was_written_meanwhile_is_not_written(repair: Repair, tmp_path: Path) -> None:
    (tmp_path / "stored" / "x").write_bytes(b"another")
    (done,) = await repair.run([missing(tmp_path)])
    assert ("written meanwhile" in done.why, (tmp_path / "stored" / "x").read_bytes()) == (True, b"another")


class WithoutVersions(FileStore):
    """A folder that names no versions of its objects, as some gateways of S3 do."""

    async def look(self, key: str) -> StoredObject | None:
        found = await super().look(key)
        return None if found is None else replace(found, tag="")

    async def read(self, key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        now = await super().look(key)
        assert now is not None
        return await super().read(key, offset, length, now)


def open_without_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let repairs open stores that name no versions."""

    async def opened(place: str, **others: object) -> FileStore:
        return WithoutVersions(Path(place), "owner")

    monkeypatch.setattr(module, "open_store", opened)


@pytest.mark.parametrize(("now", "why"), [(CONTENT, "written meanwhile"), (b"changed", ""), (b"", "")])
async def test_without_versions_what_is_there_is_read_before_it_is_written(
    now: bytes, why: str, repair: Repair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_without_versions(monkeypatch)
    stored = tmp_path / "stored" / "x"
    stored.write_bytes(now)
    before = stored.stat().st_ino
    (done,) = await repair.run([missing(tmp_path, finding=Finding.CHANGED)])
    assert (why in done.why, bool(done.why)) == (True, bool(why))
    assert stored.read_bytes() == CONTENT
    assert (stored.stat().st_ino == before) == (now == CONTENT), "what is right is not written"


async def test_without_versions_what_appeared_meanwhile_is_not_written(
    repair: Repair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_without_versions(monkeypatch)
    (tmp_path / "stored" / "x").write_bytes(b"another")
    (done,) = await repair.run([missing(tmp_path)])
    assert "written meanwhile" in done.why
    assert (tmp_path / "stored" / "x").read_bytes() == b"another"


async def test_what_has_lost_its_version_is_not_written(
    repair: Repair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its store names no version any more, so it cannot be compared with the one that was inspected."""
    open_without_versions(monkeypatch)
    (tmp_path / "stored" / "x").write_bytes(b"another")
    (done,) = await repair.run([missing(tmp_path, finding=Finding.CHANGED, tag="the version before")])
    assert "written meanwhile" in done.why
    assert (tmp_path / "stored" / "x").read_bytes() == b"another"


async def test_what_may_be_right_is_not_written(repair: Repair, tmp_path: Path) -> None:
    (done,) = await repair.run([missing(tmp_path, finding=Finding.UNREADABLE, why="away")])
    assert done.why.startswith("it is not known to be wrong")
    (done,) = await repair.run([Inspected(Subject("https://host/x", DIGEST), Finding.MISSING)])
    assert "only read" in done.why
    assert not list((tmp_path / "stored").iterdir())


async def test_a_file_with_other_bytes_is_not_taken(repair: Repair, tmp_path: Path) -> None:
    (tmp_path / "backup" / "x").write_bytes(b"contenT")
    (done,) = await repair.run([missing(tmp_path)])
    assert "no local file" in done.why
    assert not list((tmp_path / "stored").iterdir())


async def test_what_cannot_be_looked_at_does_not_end_the_search(
    repair: Repair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may be listed without being searched, and a file may go meanwhile."""
    really_look = Path.stat

    def look(path: Path, **how: Any) -> os.stat_result:
        if path.name == "hidden":
            raise PermissionError(errno.EACCES, "not allowed")
        return really_look(path, **how)

    (tmp_path / "backup" / "hidden").touch()
    (tmp_path / "backup" / "link").symlink_to("x")
    monkeypatch.setattr(Path, "stat", look)  # which `lstat` calls, too
    (done,) = await repair.run([missing(tmp_path)])
    assert (done.why, (tmp_path / "stored" / "x").read_bytes()) == ("", CONTENT)


async def test_a_stop_waits_for_no_search(repair: Repair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walked = []

    def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
        for number in range(3):
            walked.append(number)
            from_thread.run_sync(stopped.cancel)
            yield folder, [], ["x"]

    monkeypatch.setattr(os, "walk", walk)
    with anyio.CancelScope() as stopped:
        await repair.run([missing(tmp_path)])
    assert walked == [0]
    monkeypatch.undo()
    (done,) = await repair.run([missing(tmp_path)])
    assert done.why == "", "what was not searched to its end is searched again"


async def test_an_interrupted_repair_continues(repair: Repair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Part(1, 7, "tag", "")
    found = []

    async def dies(store: object, key: str, content: object, ledger: Any, **others: object) -> None:
        found.append(dict(await ledger.parts()))
        await ledger.record_part(part)
        raise Interrupted

    monkeypatch.setattr(module, "transfer", dies)
    for _ in range(2):
        with pytest.raises(Interrupted):
            await repair.run([missing(tmp_path)])
    assert found == [{}, {1: part}]
