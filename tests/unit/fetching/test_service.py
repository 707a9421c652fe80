"""A whole fetch, continued from its journal: how its problems end."""

import sqlite3
from pathlib import Path

import anyio
import pytest
from blake3 import blake3

from roar_publisher.fetching.download import Outcome
from roar_publisher.fetching.folder import TargetFolder
from roar_publisher.fetching.journal import FetchJournal, FetchRequest
from roar_publisher.fetching.service import FetchOrder, fetch
from roar_publisher.fetching.stored import StoredFile
from roar_publisher.state.errors import Conclusion, LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.ranges import RANGE_BYTES

CONTENT = bytes(range(256)) * (RANGE_BYTES // 256 + 1)


@pytest.mark.parametrize(
    ("code", "reason", "conclusion"),
    [
        (sqlite3.SQLITE_FULL, Reason.DISK_FULL, Conclusion.INTERRUPTED),
        (sqlite3.SQLITE_IOERR, Reason.JOURNAL, Conclusion.FAILED),
    ],
)
def test_a_journal_that_cannot_be_written_is_no_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: Reason, conclusion: Conclusion
) -> None:
    stored, folder = tmp_path / "stored", tmp_path / "target"
    stored.write_bytes(CONTENT)
    file = StoredFile(blake3(CONTENT).hexdigest(), stored.as_uri(), "x")
    with TargetFolder.opened(folder) as target:
        journal = FetchJournal(target.journal)
        journal.begin(FetchRequest("ab" * 32, (), "https://registry", force=False), [file])
        journal.close()

    def fail(self: FetchJournal, digest: str, number: int) -> None:
        error = sqlite3.OperationalError("it fails")
        error.sqlite_errorcode = code
        raise error

    outcomes: list[Outcome] = []

    async def again() -> None:
        await fetch(FetchOrder(folder), anyio.Event(), told=outcomes.append, report=lambda report: None)

    with monkeypatch.context() as patch:
        patch.setattr(FetchJournal, "add_range", fail)
        with pytest.raises(LocalProblem, match="journal") as caught:
            anyio.run(again)
    assert (caught.value.reason, caught.value.conclusion) == (reason, conclusion)
    assert ("roar fetch --resume" in caught.value.next_step) is (conclusion is Conclusion.INTERRUPTED)
    anyio.run(again)
    assert (folder / "x").read_bytes() == CONTENT
