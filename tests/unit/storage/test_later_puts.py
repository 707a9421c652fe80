"""Two puts to one address: whichever ends first, the object there is that of the one that was planned later."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher.state import status_reader
from roar_publisher.state.errors import Rejected
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status import JournalStatus
from roar_publisher.state.status_reader import read_status
from tests.support.storage.memory import write_file
from tests.unit.storage.conftest import Place
from tests.unit.storage.mortal import Put

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("place", ["file", "s3-rclone"], indirect=True)]
KEY = "latest"


def bytes_of(path: str) -> bytes:
    return Path(path).read_bytes()


async def planned(folder: Path, place: Place, number: int, *, seed: int | None = None) -> tuple[Put, bytes]:
    """A put to the one address, planned as the given one; gives its content, too."""
    put = Put(folder / "state", place)
    put.plan = replace(put.plan, created_at=put.plan.created_at + number)
    path = write_file(folder / f"file {number}", 1000, seed=number if seed is None else seed)
    await put.add({KEY: path})
    return put, bytes_of(path)


async def refused(put: Put, newer: Put, *, recheck: bool = False) -> None:
    with pytest.raises(
        Rejected, match=f"a later put, publish {newer.plan.id}, has stored its own file at .*/{KEY}"
    ) as caught:
        await (put.recheck() if recheck else put.drain())
    assert caught.value.reason is Reason.STORED_OBJECT_DIFFERS


async def test_one_that_was_overwritten_by_a_later_one_fails(place: Place, tmp_path: Path) -> None:
    older, _ = await planned(tmp_path, place, 1)
    await older.drain()
    newer, content = await planned(tmp_path, place, 2)
    await newer.drain()
    await refused(older, newer, recheck=True)
    await refused(older, newer)
    assert place.read(KEY) == content
    await newer.recheck()


async def test_one_that_has_stored_nothing_before_a_later_one_fails(place: Place, tmp_path: Path) -> None:
    older, _ = await planned(tmp_path, place, 1)
    newer, content = await planned(tmp_path, place, 2)
    await newer.drain()
    await refused(older, newer)
    assert place.read(KEY) == content


async def test_the_later_one_overwrites_the_earlier_one(place: Place, tmp_path: Path) -> None:
    older, _ = await planned(tmp_path, place, 1)
    newer, content = await planned(tmp_path, place, 2)
    await older.drain()
    await newer.drain()
    assert place.read(KEY) == content


async def test_what_a_later_one_has_not_stored_does_not_count(place: Place, tmp_path: Path) -> None:
    zeroth, _ = await planned(tmp_path, place, 0)
    await zeroth.drain()
    older, content = await planned(tmp_path, place, 1)
    await planned(tmp_path, place, 2)
    await planned(tmp_path, place, 3)
    await older.drain()
    assert place.read(KEY) == content


async def test_the_same_content_of_a_later_one_is_no_other(place: Place, tmp_path: Path) -> None:
    older, content = await planned(tmp_path, place, 1)
    newer, _ = await planned(tmp_path, place, 2, seed=1)
    await newer.drain()
    await older.drain()
    await older.recheck()
    assert place.read(KEY) == content


async def test_a_later_one_that_was_cancelled_does_not_count(place: Place, tmp_path: Path) -> None:
    older, content = await planned(tmp_path, place, 1)
    newer, _ = await planned(tmp_path, place, 2)
    await newer.drain()
    newer.owned.journal.checkpoint(Event.CANCELLED)
    await older.drain()
    assert place.read(KEY) == content


async def test_the_journals_of_what_ended_before_are_not_opened(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state folder may hold thousands of publishes, and each put looks for later ones."""
    before, _ = await planned(tmp_path, place, 1)
    await before.drain()
    os.utime(before.owned.paths.journal, (0, 0))
    read: list[str] = []

    def watched(paths: PublishPaths) -> JournalStatus:
        read.append(paths.id)
        return read_status(paths)

    monkeypatch.setattr(status_reader, "read_status", watched)
    put, _ = await planned(tmp_path, place, 2)
    other, _ = await planned(tmp_path, place, 3)
    await put.drain()
    assert read == [other.owned.paths.id]
