"""A whole fetch, continued from its journal: how its problems end."""

import shlex
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from blake3 import blake3

from roar_publisher.fetching import asking, service
from roar_publisher.fetching.folder import TargetFolder
from roar_publisher.fetching.journal import FetchJournal, FetchRequest
from roar_publisher.fetching.service import FetchCounts, FetchOrder, fetch
from roar_publisher.fetching.stored import StoredFile, Unsafe
from roar_publisher.net.budget import UploadBudget
from roar_publisher.report import Reporter
from roar_publisher.state.errors import Conclusion, LocalProblem, Transient, UsageProblem
from roar_publisher.state.limits import DEFAULT_LIMITS, TransferLimits
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.destinations import open_readable
from roar_publisher.storage.ranges import RANGE_BYTES
from roar_publisher.storage.readable import ReadableStore

CONTENT = bytes(range(256)) * (RANGE_BYTES // 256 + 1)


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """Return a folder in which the fetch of one file, which is in another folder, was interrupted."""
    stored, folder = tmp_path / "stored", tmp_path / "target"
    stored.write_bytes(CONTENT)
    file = StoredFile(blake3(CONTENT).hexdigest(), stored.as_uri(), "x")
    with TargetFolder.opened(folder) as target:
        journal = FetchJournal(target.journal)
        journal.begin(FetchRequest("ab" * 32, (), "https://registry", force=False), [file])
        journal.close()
    return folder


def resume(folder: Path, limits: TransferLimits = DEFAULT_LIMITS) -> FetchCounts:
    """Continue the fetch."""

    async def again() -> FetchCounts:
        order = FetchOrder(folder, limits=limits)
        return await fetch(order, anyio.Event(), on_outcome=lambda outcome: None, report=lambda report: None)

    counts = anyio.run(again)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"x": CONTENT}
    return counts


@pytest.mark.parametrize("named", [False, True])
def test_a_registry_that_nobody_named_may_be_the_wrong_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: bool
) -> None:
    @asynccontextmanager
    async def away(registry: str, **_: object) -> AsyncIterator[None]:
        if registry:
            raise Transient(f"the registry {registry} cannot be reached: no connection")
        yield

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GLAAS_URL", "https://named.example" if named else "")
    monkeypatch.setattr(asking, "open_client", away)
    order = FetchOrder(tmp_path / "target", "ab" * 32)
    fetching = partial(fetch, order, anyio.Event(), on_outcome=lambda outcome: None, report=lambda report: None)
    with pytest.raises(Transient) as caught:
        anyio.run(fetching)
    assert ("--registry URL" in caught.value.next_step) is not named
    assert caught.value.next_step.endswith("repeat the command")
    assert caught.value.kept == "Nothing was fetched."


def test_a_folder_that_was_made_for_nothing_does_not_stay(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for folder in (tmp_path / "mistyped" / "target", there, there / "target"):
        fetching = partial(
            fetch, FetchOrder(folder), anyio.Event(), on_outcome=lambda outcome: None, report=lambda report: None
        )
        with pytest.raises(UsageProblem, match="was interrupted"):
            anyio.run(fetching)
    assert list(tmp_path.iterdir()) == [there]
    assert list(there.iterdir()) == []


@pytest.mark.parametrize(
    ("code", "reason", "conclusion"),
    [
        (sqlite3.SQLITE_FULL, Reason.DISK_FULL, Conclusion.INTERRUPTED),
        (sqlite3.SQLITE_IOERR, Reason.JOURNAL, Conclusion.FAILED),
    ],
)
def test_a_journal_that_cannot_be_written_is_no_defect(
    interrupted: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: Reason, conclusion: Conclusion
) -> None:
    def fail(self: FetchJournal, digest: str, number: int) -> None:
        error = sqlite3.OperationalError("it fails")
        error.sqlite_errorcode = code
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(FetchJournal, "add_range", fail)
        with pytest.raises(LocalProblem, match="journal") as caught:
            resume(interrupted)
    assert (caught.value.reason, caught.value.conclusion) == (reason, conclusion)
    assert ("roar fetch --resume" in caught.value.next_step) is (conclusion is Conclusion.INTERRUPTED)
    resume(interrupted)


def test_the_command_to_continue_can_be_typed(interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = interrupted.rename(interrupted.parent / "it's here")
    monkeypatch.setattr(TargetFolder, "free_bytes", lambda self: 0)
    with pytest.raises(LocalProblem, match="has room for") as caught:
        resume(folder)
    command = caught.value.next_step.rpartition(", then ")[2]
    assert shlex.split(command) == ["roar", "fetch", "--resume", "--to", str(folder)]


def test_an_incomplete_file_that_the_journal_does_not_know_is_removed(interrupted: Path) -> None:
    (interrupted / ".roar-fetch" / ("cd" * 32)).write_bytes(b"left")
    resume(interrupted)


def test_what_the_lineage_does_not_allow_is_not_there_after_a_resume_either(interrupted: Path) -> None:
    unsafe = [Unsafe("cd" * 32, "s3://bucket/\udcff", "it is not valid UTF-8"), Unsafe("ef" * 32, "", "it is nowhere")]
    with TargetFolder.opened(interrupted) as target:
        journal = FetchJournal(target.journal)
        request = journal.request()
        assert request is not None
        journal.begin(request, journal.files(), unsafe)
        journal.close()
    counts = resume(interrupted)
    assert [each.file for each in counts.failures] == unsafe
    assert (counts.fetched, counts.present) == (1, 0)


def test_the_limits_reach_the_stores(interrupted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[int, UploadBudget]] = []

    async def open_store(place: str, *, connections: int, budget: UploadBudget, report: Reporter) -> ReadableStore:
        opened.append((connections, budget))
        return await open_readable(place, connections=connections, budget=budget, report=report)

    monkeypatch.setattr(service, "open_readable", open_store)
    resume(interrupted, TransferLimits(jobs=3, limit_rate=10**12))
    ((connections, budget),) = opened
    assert (connections, budget.slots.total_tokens) == (3, 3)
    assert budget.pace is not None
