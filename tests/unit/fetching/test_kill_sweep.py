"""SIGKILL at every journal write and every range: the bytes are right, and no range that was recorded is read again."""

import os
import random
import signal
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any

import anyio
import pytest
from blake3 import blake3

from roar_publisher.fetching import download
from roar_publisher.fetching.download import Download, NotFetched, Outcome
from roar_publisher.fetching.folder import TargetFolder
from roar_publisher.fetching.journal import FetchJournal, FetchRequest
from roar_publisher.fetching.partial import PartialFile
from roar_publisher.fetching.stored import StoredFile
from roar_publisher.storage.destinations import open_readable
from roar_publisher.storage.file import FileStore
from tests.support.sampling import EXHAUSTIVE, SEED, sample

RANGE = 2 * 1024 * 1024 if EXHAUSTIVE else 4096
SIZES = (200 * 1000 * 1000, RANGE // 2, 3 * RANGE, 0) if EXHAUSTIVE else (20 * RANGE + 1, RANGE // 2, 3 * RANGE, 0)
"""One large file, and others beside it."""
AT_ONCE = 4
CASES = 25
WRITES: tuple[tuple[type, str], ...] = (
    (FetchJournal, "begin"),
    (FetchJournal, "begin_file"),
    (FetchJournal, "add_range"),
    (FetchJournal, "forget_file"),
    (FetchJournal, "end"),
    (PartialFile, "write"),
    (PartialFile, "finish"),
    (TargetFolder, "give_name"),
)
"""What changes the disk. The process is killed before and after each call."""


class World:
    """A store, what it holds, and a log of its reads that survives a kill."""

    def __init__(self, root: Path) -> None:
        self.store = root / "store"
        self.store.mkdir()
        self.log = root / "log"
        generator = random.Random(SEED)
        contents = {f"f{number}": generator.randbytes(size) for number, size in enumerate(SIZES)}
        for name, content in contents.items():
            (self.store / name).write_bytes(content)
        self.digests = {name: blake3(content).hexdigest() for name, content in contents.items()}
        self.files = [
            StoredFile(digest, (self.store / name).as_uri(), f"sub/{name}") for name, digest in self.digests.items()
        ]

    def fetch(self, target: Path) -> None:
        """Fetch everything, in this process."""
        outcomes: list[Outcome] = []

        async def main() -> None:
            with TargetFolder.opened(target) as folder:
                journal = FetchJournal(folder.journal)
                journal.begin(FetchRequest("", (), "", force=False), self.files)
                work = Download(folder, journal, open_readable, False, outcomes.append, lambda report: None)
                await work.run(self.files)
                journal.end()

        anyio.run(main)
        assert not any(isinstance(outcome, NotFetched) for outcome in outcomes)

    def reads(self) -> list[str]:
        """Return the reads since the last call, as file and offset."""
        lines = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines

    def check(self, target: Path) -> None:
        """Check that every file is there, and nothing else."""
        found = {path.name: _digest(path) for path in target.rglob("*") if path.is_file()}
        assert found == self.digests


def _digest(path: Path) -> str:
    return blake3(path.read_bytes()).hexdigest()


@contextmanager
def observed(world: World, moment: Callable[[], None]) -> Any:
    """Log the reads of the store, and call `moment` before and after each write."""

    def noted(original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def call(*arguments: Any, **named: Any) -> Any:
            moment()
            result = original(*arguments, **named)
            moment()
            return result

        return call

    read = FileStore.read

    async def logged(self: FileStore, key: str, offset: int, length: int, stored: Any) -> bytes:
        with world.log.open("a") as log:
            log.write(f"{key}:{offset}\n")
        return await read(self, key, offset, length, stored)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "RANGE_BYTES", RANGE)
        patch.setattr(download, "RANGES_AT_ONCE", AT_ONCE)
        patch.setattr(FileStore, "read", logged)
        for kind, name in WRITES:
            patch.setattr(kind, name, noted(getattr(kind, name)))
        yield


def killed_at(world: World, target: Path, number: int) -> None:
    """Fetch in a process that kills itself at its moment `number`."""
    child = os.fork()
    if child == 0:
        passed = iter(range(number))

        def moment() -> None:
            if next(passed, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            with observed(world, moment):
                world.fetch(target)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def test_a_fetch_that_is_killed_anywhere_continues(tmp_path: Path) -> None:
    world = World(tmp_path)
    moments: list[int] = []
    with observed(world, partial(moments.append, 0)):
        world.fetch(tmp_path / "whole")
    whole = len(world.reads())
    world.check(tmp_path / "whole")
    for number in sample("moments of a fetch", range(len(moments)), CASES):
        target = tmp_path / f"killed{number}"
        killed_at(world, target, number)
        before = world.reads()
        with observed(world, lambda: None):
            world.fetch(target)
        after = world.reads()
        world.check(target)
        assert len(before) + len(after) <= whole + AT_ONCE, f"killed at {number}"
        for path in (*(target / "sub").iterdir(), target / "sub"):
            path.rmdir() if path.is_dir() else path.unlink()
