"""A download from a store in memory into a folder with a bystander, in ranges of a thousand bytes."""

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import anyio
import pytest
from blake3 import blake3

from roar_publisher.fetching import download
from roar_publisher.fetching.download import Download, NotFetched, Outcome
from roar_publisher.fetching.folder import TargetFolder
from roar_publisher.fetching.journal import FetchJournal, FetchRequest
from roar_publisher.fetching.stored import StoredFile
from roar_publisher.report import Report
from roar_publisher.state.errors import PublisherError, UsageProblem
from roar_publisher.state.paths import StateFolder
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

    async def list_objects(self, prefix: str, wanted: Collection[str]) -> Mapping[str, StoredObject] | None:
        return self.listed and {key: stored for key, stored in self.listed.items() if key in wanted}

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
    """A store, a target folder, and a bystander that must stay as it is. unusable: the places that are not opened."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.target = root / "target"
        self.work = self.target / ".roar-fetch"
        self.bystander = root / "bystander"
        self.bystander.mkdir()
        self.store = Store()
        self.reports: list[Report] = []
        self.unusable = frozenset[str]()

    @property
    def journal(self) -> Path:
        """The journal of the fetch that was interrupted."""
        (path,) = StateFolder.from_environment(os.environ).fetches.glob("*.db")
        return path

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
            if place in self.unusable:
                raise UsageProblem("it is a directory bucket")
            return self.store

        def on_outcome(outcome: Outcome) -> None:
            assert isinstance(outcome.file, StoredFile)
            outcomes[outcome.file.name] = outcome

        async def fetch() -> None:
            with TargetFolder.opened(self.target) as target:
                journal = FetchJournal(target.journal)
                try:
                    journal.begin(FetchRequest("ab" * 32, (), "https://registry", force=force), files)
                    await Download(target, journal, open_store, force, on_outcome, self.reports.append).run(files)
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


@pytest.fixture(autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROAR_STATE_DIR", str(tmp_path_factory.mktemp("state") / "roar"))


@pytest.fixture
def fetching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetching:
    monkeypatch.setattr(download, "RANGE_BYTES", RANGE)
    return Fetching(tmp_path)
