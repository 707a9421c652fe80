"""Files are fetched into a folder: verified, resumed, refused, and nothing outside of the folder is written."""

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from blake3 import blake3

from roar_publisher.fetching import download, folder
from roar_publisher.fetching.download import Download, NotFetched, Outcome
from roar_publisher.fetching.folder import TargetFolder
from roar_publisher.fetching.journal import FetchJournal, FetchRequest
from roar_publisher.fetching.stored import StoredFile
from roar_publisher.report import ObjectsPlanned, Report
from roar_publisher.state.errors import Conclusion, LocalProblem, Owned, PublisherError, Rejected, Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.ranges import ObjectChanged
from roar_publisher.storage.readable import ReadableStore, StoredObject

RANGE = 1000
LARGE = bytes(range(256)) * 20 + b"end"


def digest_of(content: bytes) -> str:
    return blake3(content).hexdigest()


class Store(ReadableStore):
    """Objects in memory. before: called before each read with the number of reads so far."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.reads: list[tuple[str, int]] = []
        self.before: Callable[[int], None] = lambda number: None
        self.size: int | None = None
        self.listed: dict[str, StoredObject] | None = None
        self.looks: list[str] = []

    async def list_objects(self, prefix: str, lookups: int) -> Mapping[str, StoredObject] | None:
        return self.listed

    async def look(self, key: str) -> StoredObject | None:
        self.looks.append(key)
        content = self.objects.get(key)
        if content is None:
            return None
        return StoredObject(len(content) if self.size is None else self.size, "", tag=self.tags.get(key, "1"))

    async def read(self, key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        self.before(len(self.reads))
        self.reads.append((key, offset))
        if stored.tag != self.tags.get(key, "1"):
            raise ObjectChanged(key)
        return self.objects[key][offset : offset + length]


class Fetching:
    """A store, a target folder, and a bystander that must stay as it is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.target = root / "target"
        self.work = self.target / ".roar-fetch"
        self.bystander = root / "bystander"
        self.bystander.mkdir()
        self.store = Store()
        self.reports: list[Report] = []

    def files(self, **contents: bytes) -> list[StoredFile]:
        """Store contents, by name, and return what a lineage would say of them."""
        for name, content in contents.items():
            self.store.objects[name] = content
        return [StoredFile(digest_of(content), f"s3://bucket/{name}", name) for name, content in contents.items()]

    def named(self, name: str, content: bytes = LARGE) -> list[StoredFile]:
        """Store a content, to be fetched under that name."""
        self.store.objects["x"] = content
        return [StoredFile(digest_of(content), "s3://bucket/x", name)]

    def run(self, files: list[StoredFile], *, force: bool = False) -> dict[str, Outcome]:
        """Fetch, and return what became of each file."""
        outcomes: dict[str, Outcome] = {}

        async def open_store(place: str) -> ReadableStore:
            return self.store

        def told(outcome: Outcome) -> None:
            assert isinstance(outcome.file, StoredFile)
            outcomes[outcome.file.name] = outcome

        async def fetch() -> None:
            with TargetFolder.opened(self.target) as target:
                journal = FetchJournal(target.journal)
                try:
                    journal.begin(FetchRequest("ab" * 32, (), "https://registry", force=force), files)
                    await Download(target, journal, open_store, force, told, self.reports.append).run(files)
                    journal.end()
                finally:
                    journal.close()

        try:
            anyio.run(fetch)
        finally:
            assert list(self.bystander.iterdir()) == []
            assert not {path.name for path in self.root.iterdir()} - {"target", "bystander", "precious"}
        return outcomes

    def problem(self, files: list[StoredFile], *, force: bool = False) -> PublisherError | None:
        """Fetch one file, and return why it is not there."""
        (outcome,) = self.run(files, force=force).values()
        return outcome.problem if isinstance(outcome, NotFetched) else None

    def there(self) -> dict[str, bytes]:
        """Return what is in the folder, by path."""
        found = (path for path in self.target.rglob("*") if path.is_file())
        return {path.relative_to(self.target).as_posix(): path.read_bytes() for path in found}


class Stop(BaseException):
    """A process that ends."""


@pytest.fixture
def fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetching:
    monkeypatch.setattr(download, "RANGE_BYTES", RANGE)
    return Fetching(tmp_path)


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
        with closing(sqlite3.connect(fetching.work / "journal.db")) as connection:
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
    with closing(sqlite3.connect(fetching.work / "journal.db", isolation_level=None)) as connection:
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
    (fetching.work / "journal.db").write_bytes(damage)
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


def test_an_object_that_changes_while_it_is_read_is_refused(fetching: Fetching) -> None:
    def change(number: int) -> None:
        if number == 2:
            fetching.store.tags["x"] = "2"

    fetching.store.before = change
    problem = fetching.problem(fetching.files(x=LARGE))
    assert isinstance(problem, ObjectChanged)
    assert list(fetching.target.iterdir()) == []


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
    assert "not in its store" in missing.what
    assert list(fetching.target.iterdir()) == []


def test_one_file_that_fails_does_not_stop_the_others(fetching: Fetching) -> None:
    files = fetching.files(a=b"a", b=LARGE, c=b"c")
    del fetching.store.objects["a"]
    outcomes = fetching.run(files)
    assert isinstance(outcomes["a"], NotFetched)
    assert fetching.there() == {"b": LARGE, "c": b"c"}


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


def test_a_file_that_appears_meanwhile_stays(fetching: Fetching) -> None:
    def appear(number: int) -> None:
        (fetching.target / "x").write_bytes(b"mine")

    fetching.store.before = appear
    assert isinstance(fetching.problem(fetching.files(x=b"theirs")), LocalProblem)
    assert (fetching.target / "x").read_bytes() == b"mine"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("content", [b"small", LARGE])
def test_links_do_not_lead_out(fetching: Fetching, content: bytes, force: bool) -> None:
    fetching.target.mkdir()
    (fetching.target / "out").symlink_to(fetching.bystander)
    assert isinstance(fetching.problem(fetching.named("out/x", content), force=force), LocalProblem)
    precious = fetching.root / "precious"
    precious.write_bytes(b"precious")
    (fetching.target / "link").symlink_to(precious)
    (fetching.target / "hard").hardlink_to(precious)
    fetching.problem(fetching.named("link", content), force=force)
    fetching.problem(fetching.named("hard", content), force=force)
    assert precious.read_bytes() == b"precious"
    assert (fetching.target / "link").is_symlink() is not force


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a//x", "./x", "x\0y", ""])
def test_names_that_lead_out_are_refused_again_where_files_are_opened(fetching: Fetching, name: str) -> None:
    with pytest.raises(PublisherError):
        fetching.run(fetching.named(name))


def test_a_folder_in_the_place_of_a_file_and_a_file_in_the_place_of_a_folder_stay(fetching: Fetching) -> None:
    (fetching.target / "x").mkdir(parents=True)
    (fetching.target / "y").write_bytes(b"mine")
    for name in ("x", "y/z"):
        for force in (False, True):
            assert isinstance(fetching.problem(fetching.named(name), force=force), LocalProblem)
    assert fetching.there() == {"y": b"mine"}


def test_a_planted_work_folder_is_not_used(fetching: Fetching) -> None:
    fetching.target.mkdir()
    fetching.work.symlink_to(fetching.bystander)
    with pytest.raises(LocalProblem):
        fetching.run(fetching.files(x=b"x"))
    fetching.work.unlink()
    fetching.work.mkdir()
    fetching.work.chmod(0o777)
    with pytest.raises(LocalProblem, match="not yours alone"):
        fetching.run(fetching.files(x=b"x"))
    fetching.work.chmod(0o700)
    precious = fetching.root / "precious"
    precious.write_bytes(b"precious")
    files = fetching.files(x=LARGE)
    for plant in ((fetching.work / files[0].digest).symlink_to, (fetching.work / files[0].digest).hardlink_to):
        plant(precious)
        assert isinstance(fetching.problem(files), LocalProblem)
        assert precious.read_bytes() == b"precious"
        (fetching.work / files[0].digest).unlink()
    (fetching.work / "journal.db").unlink()
    (fetching.work / "journal.db").symlink_to(precious)
    with pytest.raises(LocalProblem):
        fetching.run(files)
    assert precious.read_bytes() == b"precious"


def test_a_journal_with_nothing_to_continue_does_not_stay(fetching: Fetching) -> None:
    with TargetFolder.opened(fetching.target) as target:
        journal = FetchJournal(target.journal)
        assert target.journal.exists()
        for _ in range(2):
            journal.close()
    assert list(fetching.target.iterdir()) == []


def test_two_processes_do_not_fetch_into_one_folder(fetching: Fetching) -> None:
    with TargetFolder.opened(fetching.target), pytest.raises(Owned):
        fetching.run(fetching.files(x=b"x"))
    fetching.run(fetching.files(x=b"x"))


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
    assert fetching.there().keys() == {".roar-fetch/journal.db"}


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
    assert fetching.there().keys() >= {".roar-fetch/journal.db"}
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


def test_a_file_system_that_ignores_case_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TargetFolder.opened(tmp_path / "target") as target:
        assert not target.ignores_case()
        monkeypatch.setattr(folder, "WORK_FOLDER", ".ROAR-FETCH")
        (tmp_path / "target" / ".roar-fetch").rename(tmp_path / "target" / ".ROAR-FETCH")
        assert target.ignores_case()
