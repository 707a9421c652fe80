"""Files are downloaded into a folder: verified, resumed, refused, and the room for them is looked for first."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import anyio
import pytest
from anyio import from_thread

from roar_publisher.blocking import in_thread
from roar_publisher.fetching import download, folder
from roar_publisher.fetching.download import NotFetched
from roar_publisher.fetching.folder import READ_BYTES, TargetFolder
from roar_publisher.fetching.partial import PartialFile
from roar_publisher.fetching.stored import StoredFile
from roar_publisher.report import ObjectsPlanned, Sent
from roar_publisher.state.errors import Conclusion, LocalProblem, Rejected, Transient, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.ranges import ObjectChanged
from roar_publisher.storage.readable import StoredObject
from tests.unit.fetching.conftest import LARGE, RANGE, Fetching, digest_of


class Stop(BaseException):
    """A process that ends."""


SIZES = [0, 1, RANGE - 1, RANGE, RANGE + 1, 2 * RANGE, 10 * RANGE + 7]


def test_files_of_every_size_are_fetched_and_nothing_else_stays(fetching: Fetching) -> None:
    contents = {f"f{size}": os.urandom(size) for size in SIZES}
    outcomes = fetching.run(fetching.files(**contents))
    assert not any(isinstance(outcome, NotFetched) for outcome in outcomes.values())
    assert fetching.there() == contents
    assert not fetching.work.exists()
    (planned,) = (report for report in fetching.reports if isinstance(report, ObjectsPlanned))
    assert planned.size == sum(SIZES)
    umask = os.umask(0)
    os.umask(umask)
    assert {path.stat().st_mode & 0o7777 for path in fetching.target.iterdir()} == {0o666 & ~umask}


def test_the_bytes_of_small_files_count_in_the_progress(fetching: Fetching) -> None:
    fetching.run(fetching.files(small=b"small", empty=b"", large=LARGE))
    sent = sum(each.bytes for each in fetching.reports if isinstance(each, Sent))
    assert sent == len(b"small") + len(LARGE)


def test_a_file_of_zeros_takes_no_room(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "RANGE_BYTES", 64 * 1024)
    content = bytes(1024 * 1024) + b"end"
    assert fetching.problem(fetching.named("x", content)) is None
    assert (fetching.target / "x").read_bytes() == content
    assert (fetching.target / "x").stat().st_blocks * 512 <= 128 * 1024


def test_only_missing_ranges_are_asked_for_after_any_range(fetching: Fetching) -> None:
    files = fetching.files(x=LARGE)
    total = -(-len(LARGE) // RANGE)
    for ends_before in range(total):

        def end(number: int, ends_before: int = ends_before) -> None:
            if number == ends_before:
                raise Stop

        fetching.store.reads.clear()
        fetching.store.before = end
        with pytest.raises(Stop):
            fetching.run(files)
        assert not (fetching.target / "x").exists()
        with closing(sqlite3.connect(fetching.journal)) as connection:
            recorded = {row[0] for row in connection.execute("SELECT number FROM ranges")}
        fetching.store.reads.clear()
        fetching.store.before = lambda number: None
        assert fetching.problem(files) is None
        assert sorted(offset // RANGE for _key, offset in fetching.store.reads) == sorted(set(range(total)) - recorded)
        assert fetching.there() == {"x": LARGE}
        (fetching.target / "x").unlink()


def interrupt(fetching: Fetching, files: list[StoredFile], monkeypatch: pytest.MonkeyPatch, after: int = 3) -> None:
    """Leave a fetch of a large file behind, as a killed process would, with `after` ranges."""

    def end(number: int) -> None:
        if number == after:
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(download, "RANGES_AT_ONCE", 1)
        fetching.store.before = end
        with pytest.raises(Stop):
            fetching.run(files)
    fetching.store.before = lambda number: None
    fetching.store.reads.clear()
    assert (fetching.work / files[0].digest).exists()


def test_ranges_of_a_replaced_object_are_not_kept(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fetching.files(x=LARGE)
    interrupt(fetching, files, monkeypatch)
    fetching.store.tags["x"] = "2"
    assert fetching.problem(files) is None
    assert len(fetching.store.reads) == -(-len(LARGE) // RANGE)


def test_a_file_that_an_earlier_release_began_with_shorter_ranges_is_continued(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fetching.files(x=LARGE)
    interrupt(fetching, files, monkeypatch)
    monkeypatch.setattr(download, "RANGE_BYTES", 2 * RANGE)
    assert fetching.problem(files) is None
    assert sorted(offset for _key, offset in fetching.store.reads) == list(range(3 * RANGE, len(LARGE), RANGE))
    assert fetching.there() == {"x": LARGE}


def test_ranges_that_are_too_long_for_this_release_are_not_kept(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fetching.files(x=LARGE)
    interrupt(fetching, files, monkeypatch)
    monkeypatch.setattr(download, "RANGE_BYTES", RANGE - 1)
    assert fetching.problem(files) is None
    assert len(fetching.store.reads) == -(-len(LARGE) // (RANGE - 1))


def test_what_a_power_loss_took_from_a_recorded_range_is_fetched_again(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fetching.files(x=LARGE)
    interrupt(fetching, files, monkeypatch)
    os.truncate(fetching.work / files[0].digest, 100)
    assert fetching.problem(files) is None
    assert fetching.there() == {"x": LARGE}


def test_zeros_replace_what_was_written_and_not_recorded(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fetching.files(x=bytes(RANGE) + LARGE)
    interrupt(fetching, files, monkeypatch)
    with closing(sqlite3.connect(fetching.journal, isolation_level=None)) as connection:
        connection.execute("DELETE FROM ranges WHERE number = 0")
    with (fetching.work / files[0].digest).open("r+b") as partial:
        partial.write(b"wrong")
    assert fetching.problem(files) is None
    assert fetching.there() == {"x": bytes(RANGE) + LARGE}


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 100])
def test_a_damaged_journal_costs_only_the_ranges(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    files = fetching.files(x=LARGE)
    interrupt(fetching, files, monkeypatch)
    (fetching.journal).write_bytes(damage)
    assert fetching.problem(files) is None
    assert fetching.there() == {"x": LARGE}


def test_ranges_of_other_files_survive_another_fetch(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fetching.files(x=LARGE)
    interrupt(fetching, files, monkeypatch)
    assert fetching.problem(fetching.files(y=b"small")) is None
    fetching.store.reads.clear()
    assert fetching.problem(files) is None
    assert len(fetching.store.reads) == -(-len(LARGE) // RANGE) - 3
    assert fetching.there() == {"x": LARGE, "y": b"small"}


def test_complete_files_are_not_read_again_after_an_interruption(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fetching.files(y=LARGE, small=b"1", there=b"2")
    fetching.target.mkdir()
    (fetching.target / "there").write_bytes(b"2")
    interrupt(fetching, files, monkeypatch)
    read: list[int] = []
    really = folder.digest_of

    def digest_of_open(descriptor: int) -> str:
        read.append(os.fstat(descriptor).st_size)
        return really(descriptor)

    monkeypatch.setattr(folder, "digest_of", digest_of_open)
    interrupt(fetching, files, monkeypatch)
    assert read == []
    (fetching.target / "there").write_bytes(b"3")
    outcomes = fetching.run(files)
    assert read == [1], "a file that was written since is compared"
    assert [name for name, outcome in outcomes.items() if isinstance(outcome, NotFetched)] == ["there"]
    other = fetching.files(z=LARGE + b"z")
    interrupt(fetching, other, monkeypatch)  # keeps the journal of the folder
    fetching.run(files)
    fetching.run(files)
    assert sorted(read[1:]) == [1, 1, 1, 1, len(LARGE), len(LARGE)], "the end of a fetch forgets what it verified"


def test_an_object_that_changes_while_it_is_read_is_refused(fetching: Fetching) -> None:
    def change(number: int) -> None:
        if number == 2:
            fetching.store.tags["x"] = "2"

    fetching.store.before = change
    problem = fetching.problem(fetching.files(x=LARGE))
    assert isinstance(problem, ObjectChanged)
    assert not fetching.target.exists()


def test_a_listing_saves_looking_and_an_outdated_one_does_no_harm(fetching: Fetching) -> None:
    files = fetching.files(a=LARGE, b=b"b", c=b"c", d=b"d", e=LARGE[1:])
    store = fetching.store
    store.listed = {
        "a": StoredObject(len(LARGE), "", tag="1"),
        "b": StoredObject(1, "", tag="old"),
        "d": StoredObject(1, ""),
        "e": StoredObject(7, "", tag="old"),
        "other": StoredObject(1, "", tag="1"),
    }
    outcomes = fetching.run(files)
    assert not any(isinstance(outcome, NotFetched) for outcome in outcomes.values())
    assert sorted(store.looks) == ["b", "c", "d", "e"], "those that changed, are not listed, or without a tag"
    assert fetching.there() == {"a": LARGE, "b": b"b", "c": b"c", "d": b"d", "e": LARGE[1:]}


@pytest.mark.parametrize("content", [b"small", LARGE])
def test_wrong_bytes_do_not_appear(fetching: Fetching, content: bytes) -> None:
    files = fetching.files(x=content)
    fetching.store.objects["x"] = bytes(byte ^ 1 for byte in content)
    problem = fetching.problem(files)
    assert isinstance(problem, Rejected)
    assert "not those of the lineage" in problem.what
    del fetching.store.objects["x"]
    missing = fetching.problem(files)
    assert isinstance(missing, Rejected)
    assert "no longer in its store" in missing.what
    assert not fetching.target.exists()


def test_one_file_that_fails_does_not_stop_the_others(fetching: Fetching) -> None:
    files = fetching.files(a=b"a", b=LARGE, c=b"c")
    del fetching.store.objects["a"]
    outcomes = fetching.run(files)
    assert isinstance(outcomes["a"], NotFetched)
    assert fetching.there() == {"b": LARGE, "c": b"c"}


def test_a_stop_waits_for_no_digest_of_a_whole_file(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one that is there, and of one whose ranges an earlier process has fetched."""
    content = bytes(3 * READ_BYTES)
    (file,) = fetching.files(x=content)

    async def reads_of(name: str, work: Callable[[], object]) -> int:
        read, really_read = 0, getattr(os, name)
        with anyio.CancelScope() as stopped, monkeypatch.context() as patch:

            def stop(*arguments: Any) -> Any:
                nonlocal read
                read += 1
                from_thread.run_sync(stopped.cancel)
                return really_read(*arguments)

            patch.setattr(os, name, stop)
            await in_thread(work)
        return read

    async def main() -> None:
        with TargetFolder.opened(fetching.target) as target:
            (fetching.target / "x").write_bytes(content)
            assert await reads_of("pread", lambda: target.present("x", file.digest)) == 1
            with PartialFile.opened(target, file, len(content), anew=True) as partial:
                assert await reads_of("preadv", lambda: partial.finish(resumed=True, force=True)) == 1

    anyio.run(main)


def test_a_store_that_cannot_be_used_here_does_not_stop_the_others(fetching: Fetching) -> None:
    (x,) = fetching.files(x=b"x")
    y = StoredFile(digest_of(b"y"), "s3://other--x-s3/y", "y")
    fetching.unusable = frozenset({"s3://other--x-s3"})
    outcomes = fetching.run([y, x])
    assert isinstance(outcomes["y"], NotFetched)
    assert outcomes["y"].problem.what == "it is a directory bucket"
    assert fetching.there() == {"x": b"x"}
    with pytest.raises(UsageProblem, match="directory bucket"):
        fetching.run([y])


def test_what_is_there_is_not_fetched_again_and_what_differs_stays(fetching: Fetching) -> None:
    files = fetching.files(same=b"same", other=b"other")
    fetching.target.mkdir()
    (fetching.target / "same").write_bytes(b"same")
    (fetching.target / "other").write_bytes(b"mine")
    outcomes = fetching.run(files)
    assert fetching.store.reads == []
    assert not isinstance(outcomes["same"], NotFetched)
    assert isinstance(outcomes["other"], NotFetched)
    assert fetching.there() == {"same": b"same", "other": b"mine"}
    fetching.run(files, force=True)
    assert fetching.there() == {"same": b"same", "other": b"other"}


@pytest.mark.parametrize("size", [len(LARGE), 2**60, 10**19])
def test_room_is_looked_for_before_anything_is_fetched(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    fetching.store.size = size
    monkeypatch.setattr(TargetFolder, "free_bytes", lambda self: min(size, 2**50) - 1)
    with pytest.raises(LocalProblem, match="has room for") as caught:
        fetching.run(fetching.files(x=LARGE, y=b""))
    assert caught.value.reason is Reason.DISK_FULL
    assert fetching.store.reads == []
    assert fetching.there().keys() == {".roar-fetch/id"}


def test_room_that_ranges_take_already_is_not_asked_for_twice(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "RANGE_BYTES", 64 * 1024)
    content = os.urandom(10 * 64 * 1024)
    files = fetching.files(x=content)
    interrupt(fetching, files, monkeypatch, after=8)
    monkeypatch.setattr(TargetFolder, "free_bytes", lambda self: 2 * 64 * 1024)
    assert fetching.problem(files) is None


def test_a_disk_that_fills_ends_the_fetch_and_keeps_the_ranges(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fetching.files(x=LARGE, y=LARGE[1:])
    with monkeypatch.context() as patch:
        patch.setattr(download, "RANGES_AT_ONCE", 1)
        calls = iter(range(3))

        def write(descriptor: int, content: bytes, offset: int, pwrite: Callable[..., int] = os.pwrite) -> int:
            if next(calls, None) is None:
                raise OSError(28, "No space left on device")
            return pwrite(descriptor, content, offset)

        patch.setattr(os, "pwrite", write)
        with pytest.raises(LocalProblem) as caught:
            fetching.run(files)
    assert caught.value.reason is Reason.DISK_FULL
    assert caught.value.conclusion is Conclusion.INTERRUPTED
    assert fetching.there().keys() >= {".roar-fetch/id"}
    assert not any(isinstance(outcome, NotFetched) for outcome in fetching.run(files).values())


def test_a_store_that_stays_away_ends_the_fetch_and_keeps_the_ranges(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = fetching.files(x=LARGE)

    def end(number: int) -> None:
        if number == 3:
            raise Transient("away")

    with monkeypatch.context() as patch:
        patch.setattr(download, "RANGES_AT_ONCE", 1)
        fetching.store.before = end
        with pytest.raises(Transient):
            fetching.run(files)
    fetching.store.before = lambda number: None
    fetching.store.reads.clear()
    assert fetching.problem(files) is None
    assert len(fetching.store.reads) == -(-len(LARGE) // RANGE) - 3
