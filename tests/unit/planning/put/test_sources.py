"""Sources as typed, and the files that they resolve to."""

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest

from roar_publisher.planning.put.prepare import digest_sources, put_planner
from roar_publisher.planning.put.request import Digested, Source
from roar_publisher.planning.put.sources import resolve_sources
from roar_publisher.report import Noted, ObjectsPlanned, Report, Sent
from roar_publisher.state.errors import Conclusion, LocalProblem, PublisherError, UsageProblem
from tests.support.put.projects import put_project, request


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return put_project(tmp_path)


def keys(root: Path, *typed: str) -> list[str]:
    return [source.key for source in resolve_sources(request(root, *typed))]


def refusal(root: Path, *typed: str) -> str:
    """Return the error for sources that cannot be put, on one line."""
    with pytest.raises((UsageProblem, LocalProblem)) as caught:
        resolve_sources(request(root, *typed))
    error = caught.value.diagnostics()
    assert "\n" not in error.what
    return f"{error.what} {error.next_step}"


def notes(root: Path, *typed: str) -> list[str]:
    """Return the notes that are shown while the put of the sources is planned."""
    reports: list[Report] = []

    async def plan() -> None:
        await put_planner(request(root, *typed), report=reports.append, clock=lambda: 0.0)

    anyio.run(plan)
    return [report.text for report in reports if isinstance(report, Noted)]


def digested(*sources: Source) -> tuple[Digested, ...]:
    return anyio.run(digest_sources, sources)


def test_the_key_of_a_file_is_its_name(root: Path) -> None:
    (root / "deep" / "down").mkdir(parents=True)
    (root / "deep" / "down" / "x.bin").touch()
    assert resolve_sources(request(root, "deep/down/x.bin")) == (Source(root / "deep" / "down" / "x.bin", "x.bin"),)
    assert keys(root, str(root / "model.bin")) == ["model.bin"]


def test_paths_are_relative_to_the_project_in_any_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert keys(root, "model.bin") == ["model.bin"]


def test_a_folder_keeps_its_inner_paths_and_hidden_files(root: Path) -> None:
    folder = root / "out"
    for name in ("b/2", "a", ".hidden", "b/1", "größe 测试"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert keys(root, "out") == [".hidden", "a", "b/1", "b/2", "größe 测试"]
    assert {source.root for source in resolve_sources(request(root, "out/"))} == {folder}


def test_the_whole_project_excludes_git_and_roar_folders(root: Path) -> None:
    found = keys(root, ".")
    assert "model.bin" in found
    assert not [key for key in found if key.startswith((".git/", ".roar/"))]


@pytest.mark.parametrize("name", [".git", ".GIT", ".roar-fetch", ".Roar", ".git."])
def test_what_is_never_fetched_is_not_stored(root: Path, name: str) -> None:
    """A file `.git` is what a submodule and a work tree have; it holds a path of this machine."""
    for path in (root / "out" / "library" / name, root / "out" / "part" / name / "file"):
        path.parent.mkdir(parents=True)
        path.write_text("gitdir: /home/someone/work/.git/modules/library")
    (root / "out" / "library" / ".gitignore").touch()
    assert keys(root, "out") == ["library/.gitignore"]


def test_what_a_step_wrote_to_a_store_is_none_of_its_files(root: Path) -> None:
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as database, database:
        (path,) = database.execute("SELECT path FROM job_outputs WHERE path LIKE '%out3.txt'").fetchone()
        database.execute("UPDATE job_outputs SET path = 's3://bucket/out3.txt' WHERE path = ?", (path,))
    assert sorted(keys(root, "@1")) == [f"out{number}.txt" for number in range(5) if number != 3]
    assert "out3.txt" not in keys(root)
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as database, database:
        database.execute("UPDATE job_outputs SET path = 's3://bucket/' || rowid")
    assert "step @1 wrote no files on this machine" in refusal(root, "@1")


def test_a_typed_symlink_is_followed(root: Path) -> None:
    (root / "latest").symlink_to("model.bin")
    (root / "folder").symlink_to(root.parent / "elsewhere")
    (root.parent / "elsewhere").mkdir()
    (root.parent / "elsewhere" / "f").touch()
    assert keys(root, "latest") == ["model.bin"]
    assert [source.key for source in resolve_sources(request(root, "folder", follow_links=True))] == ["f"]


def test_below_a_folder_only_files_and_links_to_files_are_stored(root: Path) -> None:
    folder = root / "out"
    (folder / "real").mkdir(parents=True)
    (folder / "real" / "f").touch()
    (folder / "to-file").symlink_to("real/f")
    (folder / "to-folder").symlink_to("real")
    (folder / "to-itself").symlink_to(".")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "round-and-round").symlink_to("round-and-round")
    os.mkfifo(folder / "pipe")
    assert keys(root, "out") == ["real/f", "to-file"]
    left_out = ["dangling", "pipe", "round-and-round", "to-folder", "to-itself"]
    assert notes(root, "out") == [
        f"not stored, because neither a file nor a link to one: {', '.join(f'out/{name}' for name in left_out)}"
    ]
    (folder / "zz").symlink_to("nowhere")
    assert notes(root, "out")[0].endswith("out/to-itself and 1 more")
    assert notes(root, "out/real") == []


def test_a_folder_that_cannot_be_read_is_named_with_its_path(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "out" / "locked").mkdir(parents=True)
    scandir = os.scandir

    def refusing(folder: str) -> object:
        if folder.endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr("os.scandir", refusing)
    error = refusal(root, "out")
    assert error.startswith(f"{root}/out/locked cannot be read: Permission denied")
    assert "permissions" in error


def test_newlines_in_names_are_accepted(root: Path) -> None:
    (root / "two\nlines").touch()
    assert keys(root, "two\nlines") == ["two\nlines"]


def test_a_step_is_what_its_latest_run_wrote(root: Path) -> None:
    assert sorted(keys(root, "@1")) == [f"out{number}.txt" for number in range(5)]
    assert keys(root, "@2") == ["model.bin"]


def test_without_a_source_the_session_outputs_are_stored(root: Path) -> None:
    assert sorted(keys(root)) == ["model.bin", *(f"out{number}.txt" for number in range(5))]


def test_a_digest_or_its_prefix_selects_the_file_with_that_content(root: Path) -> None:
    (model,) = digested(*resolve_sources(request(root, "model.bin")))
    for typed in (model.content.blake3, model.content.blake3[:8], model.content.blake3[:20].upper()):
        assert resolve_sources(request(root, typed)) == (
            Source(root / "model.bin", "model.bin", digest=model.content.blake3),
        )


def test_a_digest_whose_file_has_changed_is_refused(root: Path) -> None:
    (model,) = digested(*resolve_sources(request(root, "model.bin")))
    (root / "model.bin").write_text("retrained")
    with pytest.raises(UsageProblem, match=r"model\.bin has changed since roar recorded"):
        digested(*resolve_sources(request(root, model.content.blake3)))


def test_a_file_that_is_named_twice_is_one_source(root: Path) -> None:
    assert keys(root, "model.bin", "./model.bin", "@2") == ["model.bin"]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("nothing-here.bin", ["no nothing-here.bin", "paths count from"]),
        ("@9", ["no step @9"]),
        ("0123456789abcdef", ["neither a file", "blake3"]),
        ("empty", ["empty has no files"]),
        ("pipe", ["neither a file nor a folder"]),
        ("loop", ["loop cannot be read"]),
        ("no\0thing", ["cannot be read"]),
        ("x" * 5000, ["cannot be read", "long"]),
        ("two\nlines", [r"two\nlines"]),
    ],
)
def test_an_unknown_source_is_refused(root: Path, typed: str, words: list[str]) -> None:
    (root / "empty" / "er").mkdir(parents=True)
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    error = refusal(root, typed)
    for word in words:
        assert word in error


def test_missing_outputs_are_all_listed(root: Path) -> None:
    for number in range(3):
        (root / f"out{number}.txt").unlink()
    error = refusal(root)
    assert all(f"out{number}.txt" in error for number in range(3))


def test_a_path_that_was_recorded_as_bytes_is_one(root: Path) -> None:
    (model,) = digested(*resolve_sources(request(root, "model.bin")))
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as database, database:
        database.execute("UPDATE job_outputs SET path = CAST(path AS BLOB)")
    assert keys(root, "@2") == keys(root, model.content.blake3) == ["model.bin"]


def test_outputs_that_cannot_be_looked_at_are_missing(root: Path) -> None:
    """As in the folder of another user. The system refuses to look at a name of that length for everyone."""
    (model,) = digested(*resolve_sources(request(root, "model.bin")))
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as database, database:
        database.execute("UPDATE job_outputs SET path = ?", (str(root / ("x" * 300)),))
        database.execute("DELETE FROM job_inputs")
    assert "no longer exist: " in refusal(root)
    assert "no longer exists as a file" in refusal(root, model.content.blake3)


def test_an_artifact_without_a_file_is_refused(root: Path) -> None:
    (model,) = digested(*resolve_sources(request(root, "model.bin")))
    (root / "model.bin").unlink()
    assert "no longer exists as a file" in refusal(root, model.content.blake3)


def test_a_name_that_is_not_utf8_is_refused_with_its_bytes(root: Path) -> None:
    name = os.fsencode(root) + b"/out/caf\xe9"
    os.mkdir(root / "out")
    os.close(os.open(name, os.O_CREAT))
    error = refusal(root, "out")
    assert "UTF-8" in error
    assert r"caf\udce9" in error
    assert "valid UTF-8" in error


def test_a_folder_whose_name_is_not_utf8_is_refused(root: Path) -> None:
    folder = os.fsencode(root) + b"/caf\xe9"
    os.mkdir(folder)
    os.close(os.open(folder + b"/fine", os.O_CREAT))
    assert "UTF-8" in refusal(root, os.fsdecode(b"caf\xe9"))


def test_a_path_that_is_too_long_for_a_key_is_refused(root: Path) -> None:
    folder = root / "out" / "/".join(["d" * 200] * 6)
    folder.mkdir(parents=True)
    (folder / "f").touch()
    assert "longer than 1024 bytes" in refusal(root, "out")
    assert keys(root, str(folder)) == ["f"]


def test_two_contents_under_one_key_are_refused(root: Path) -> None:
    for folder in ("a", "b"):
        (root / folder).mkdir()
        (root / folder / "same.txt").write_text(folder)
    with pytest.raises(UsageProblem, match=r"differ, and both would be stored as same\.txt") as caught:
        digested(*resolve_sources(request(root, "a", "b")))
    assert str(root / "a" / "same.txt") in caught.value.what
    assert str(root / "b" / "same.txt") in caught.value.what
    (root / "b" / "same.txt").write_text("a")
    assert [one.source.path.parent.name for one in digested(*resolve_sources(request(root, "a", "b")))] == ["a", "b"]


def test_many_files_are_read_once_each_and_keep_their_order(root: Path) -> None:
    folder = root / "many"
    folder.mkdir()
    for number in range(50):
        (folder / f"{number:02}").write_text("x" * number)
    read: list[int] = []

    async def digest() -> tuple[Digested, ...]:
        return await digest_sources(resolve_sources(request(root, "many")), read.append, md5=True)

    found = anyio.run(digest)
    assert [one.content.size for one in found] == list(range(50))
    assert sum(read) == sum(range(50))
    assert all(one.content.md5 for one in found)


def test_a_file_that_takes_longer_keeps_its_place(root: Path) -> None:
    folder = root / "many"
    folder.mkdir()
    for number in range(20):
        with (folder / f"{number:02}").open("wb") as file:
            file.truncate(number + (16 * 1024 * 1024 if number % 5 == 0 else 0))
    found = digested(*resolve_sources(request(root, "many")))
    assert [one.source.path.name for one in found] == [f"{number:02}" for number in range(20)]
    assert [one.content.size for one in found] == [path.stat().st_size for path in sorted(folder.iterdir())]


def test_the_first_file_that_cannot_be_read_ends_the_digest(root: Path) -> None:
    folder = root / "many"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number:02}").write_text("x" * number)
    sources = resolve_sources(request(root, "many"))
    (folder / "07").unlink()
    with pytest.raises(LocalProblem, match="07 cannot be read"):
        digested(*sources)


def test_read_bytes_are_reported_in_few_reports(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report per segment would take longer than reading the segment."""
    monkeypatch.setattr("roar_publisher.planning.put.prepare.monotonic", lambda: 1000.0)
    size = 64 * 1024 * 1024
    with (root / "large.bin").open("wb") as file:
        file.truncate(size)
    reports: list[Report] = []

    async def plan() -> None:
        await put_planner(request(root, "large.bin"), report=reports.append, clock=lambda: 0.0)

    anyio.run(plan)
    first, *read = reports
    assert first == ObjectsPlanned(1, 0, size, 0)
    assert len(read) == 2, "one when the clock began, one in the end"
    assert sum(report.bytes for report in read if isinstance(report, Sent)) == size


def test_a_file_that_disappears_before_it_is_read_is_named(root: Path) -> None:
    sources = resolve_sources(request(root, "model.bin", "@1"))
    (root / "model.bin").unlink()
    with pytest.raises(PublisherError, match=r"model\.bin cannot be read") as caught:
        digested(*sources)
    assert caught.value.conclusion is Conclusion.INTERRUPTED


def test_without_a_database_there_is_nothing_to_put(root: Path) -> None:
    wanted = request(root)
    shutil.rmtree(root / ".roar")
    with pytest.raises(LocalProblem, match="captured nothing"):
        resolve_sources(wanted)
