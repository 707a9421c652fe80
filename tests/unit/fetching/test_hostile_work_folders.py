"""What a cloned project brings along as `.roar-fetch` decides nothing: git makes it the user's own."""

import os
import time
from pathlib import Path

import anyio
import pytest

from roar_publisher.fetching.folder import TargetFolder
from roar_publisher.fetching.journal import FetchJournal, FetchRequest
from roar_publisher.fetching.journal_place import KEPT_SECONDS
from roar_publisher.fetching.service import FetchOrder, fetch
from roar_publisher.fetching.stored import StoredFile
from roar_publisher.state.errors import LocalProblem, UsageProblem
from tests.unit.fetching.conftest import LARGE, Fetching, digest_of

SETTINGS = b"[core]\n\tfsmonitor = touch owned\n"
ID = "5a" * 16


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A clone whose work folder asks, under every name that a journal may have, for new settings of git."""
    stored, project = tmp_path / "stored", tmp_path / "project"
    stored.write_bytes(SETTINGS)
    (project / ".git").mkdir(parents=True)
    (project / ".git" / "config").write_bytes(b"")
    work = project / ".roar-fetch"
    work.mkdir(0o755)
    (work / "id").write_text(ID)
    for name in ("journal.db", f"{ID}.db"):
        journal = FetchJournal(work / name)
        asked = FetchRequest("ab" * 32, (), "https://registry", force=True)
        journal.begin(asked, [StoredFile(digest_of(SETTINGS), stored.as_uri(), ".git/config")])
        journal.close()
    return project


def resume(folder: Path) -> None:
    """Run `roar fetch --resume` there."""

    async def again() -> None:
        await fetch(FetchOrder(folder), anyio.Event(), on_outcome=lambda outcome: None, report=lambda report: None)

    anyio.run(again)


@pytest.mark.parametrize("usable", [True, False])
def test_a_project_brings_no_fetch_along(project: Path, monkeypatch: pytest.MonkeyPatch, usable: bool) -> None:
    if not usable:
        monkeypatch.setenv("ROAR_STATE_DIR", "/dev/null/state")
    with pytest.raises(UsageProblem, match="no fetch of yours"):
        resume(project)
    assert (project / ".git" / "config").read_bytes() == b""
    assert not (project / ".roar-fetch").exists()


def test_an_id_that_leads_elsewhere_is_not_followed(project: Path) -> None:
    (project / ".roar-fetch" / "id").write_text("../../project/.roar-fetch/journal")
    with pytest.raises(UsageProblem, match="no fetch of yours"):
        resume(project)
    assert (project / ".git" / "config").read_bytes() == b""


def test_what_cannot_be_removed_is_named(project: Path) -> None:
    (project / ".roar-fetch" / "folder").mkdir()
    with pytest.raises(LocalProblem, match="\\.roar-fetch/folder"):
        resume(project)


def test_planted_bytes_of_an_incomplete_file_do_not_appear(fetching: Fetching) -> None:
    files = fetching.files(x=LARGE)
    fetching.work.mkdir(parents=True)
    (fetching.work / files[0].digest).write_bytes(b"planted" * 1000)
    assert fetching.problem(files) is None
    assert fetching.there() == {"x": LARGE}


def test_what_nobody_has_continued_for_long_is_removed(
    fetching: Fetching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder may have been removed."""
    for name in ("old", "new"):
        with TargetFolder.opened(tmp_path / name) as target:
            journal = FetchJournal(target.journal)
            journal.begin(FetchRequest("", (), "", force=False), fetching.files(x=b"x"))
            journal.close()
        if name == "old":
            long_ago = time.time() - KEPT_SECONDS - 3600
            for path in target.journal.parent.iterdir():
                os.utime(path, (long_ago, long_ago))
            old = target.journal
            assert old.exists()
    assert [path.name for path in old.parent.glob("*.db")] == [target.journal.name]


def test_without_a_state_folder_a_fetch_begins_anew(fetching: Fetching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROAR_STATE_DIR", "/dev/null/state")
    with TargetFolder.opened(fetching.target) as target:
        FetchJournal(target.journal).begin(FetchRequest("", (), "", force=False), fetching.files(y=b"y"))
        assert not target.can_be_continued
    assert len(os.listdir(fetching.work)) > 1
    assert fetching.problem(fetching.files(x=LARGE)) is None
    assert fetching.there().keys() >= {"x"}
