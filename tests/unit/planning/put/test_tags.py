"""Tags are made and pushed; a failure is returned with the command to type."""

import errno
import os
import select
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.lineage.config import Config
from roar_publisher.lineage.project import Project
from roar_publisher.planning.put import tags
from roar_publisher.planning.put.request import PutRequest, Tag
from roar_publisher.planning.put.tags import UNKNOWN_REMOTE, make_tag, push_tag, wanted_tag
from roar_publisher.planning.put.worktree import clean_commit
from tests.support.lineage.captured import git

KILLED_SECONDS = 10.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    git("init", "--quiet", "--initial-branch=main", cwd=root)
    git("commit", "--quiet", "--allow-empty", "-m", "first", cwd=root)
    return root


def project(root: Path, **section: Any) -> Project:
    table = {"git": section}
    return Project(root, root / ".roar", root / ".roar" / "roar.db", Config(table, git_remote=section.get("remote")))


def tags_in(root: Path) -> list[str]:
    done = subprocess.run(
        ["git", "for-each-ref", "--format=%(objectname) %(refname:strip=2)", "refs/tags"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()


def tag(root: Path, *, asked: bool = True, configured: bool = False, **section: Any) -> Tag:
    """Return the tag in the plan of a put. asked: whether `--tag` was typed."""
    wanted = PutRequest(
        project(root, **section), (), "s3://bucket", "a message", push_asked=asked, push_configured=configured
    )
    found = wanted_tag(wanted, clean_commit(root))
    assert found is not None
    return found


def bare(path: Path) -> Path:
    path.mkdir()
    git("init", "--quiet", "--bare", cwd=path)
    return path


def ends(pid: int) -> bool:
    """Return whether a process ends; waits as long as a killed one may take on a busy machine."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], KILLED_SECONDS)[0])
    finally:
        os.close(handle)


def test_a_tag_is_made_on_its_commit_and_made_once(root: Path) -> None:
    wanted = tag(root)
    git("commit", "--quiet", "--allow-empty", "-m", "second", cwd=root)
    for _ in range(2):
        assert make_tag(root, wanted) is None
        assert tags_in(root) == [f"{wanted.commit} roar/{wanted.commit}"]


def test_a_tag_on_a_missing_commit_fails_with_the_command(root: Path) -> None:
    failure = make_tag(root, Tag(f"roar/{'ab' * 20}", "ab" * 20))
    assert failure is not None
    assert failure.why
    assert failure.command == f"git tag roar/{'ab' * 20} {'ab' * 20}"


@pytest.mark.parametrize(("name", "commit"), [("main", "ab" * 20), ("roar/../heads/main", "x"), ("roar/x", "--x")])
def test_an_imported_plan_cannot_write_another_ref(root: Path, name: str, commit: str) -> None:
    failure = make_tag(root, Tag(name, commit))
    assert failure is not None
    assert "does not match its commit" in failure.why
    assert tags_in(root) == []


def test_the_tag_is_pushed_to_the_only_remote_and_again(root: Path, tmp_path: Path) -> None:
    remote = bare(tmp_path / "remote")
    git("remote", "add", "upstream", str(remote), cwd=root)
    make_tag(root, tag(root))
    for _ in range(2):
        assert push_tag(root, tag(root)) is None
        assert tags_in(remote) == tags_in(root) != []


def test_a_relative_address_is_counted_from_the_top_of_the_work_tree(root: Path, tmp_path: Path) -> None:
    """As git does it, wherever in the work tree the project is."""
    below = root / "training"
    below.mkdir()
    remote = bare(tmp_path / "remote")
    git("remote", "add", "origin", "../remote", cwd=root)
    make_tag(below, tag(below))
    assert push_tag(below, tag(below)) is None
    assert tags_in(remote) == tags_in(root) != []
    bare(root / "beside")
    (root / ".gitignore").write_text("*\n")
    for url in ("beside", str(root / "beside")):
        git("remote", "set-url", "origin", url, cwd=root)
        failure = push_tag(below, tag(below))
        assert failure is not None
        assert "folder of the project" in failure.why


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.ENOENT])
def test_a_push_without_a_temporary_folder_fails_with_the_command(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def full(*_: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    remote = bare(tmp_path / "remote")
    git("remote", "add", "upstream", str(remote), cwd=root)
    wanted = tag(root)
    make_tag(root, wanted)
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkdtemp", full)
        failure = push_tag(root, wanted)
    assert failure is not None
    assert (os.strerror(code) in failure.why, failure.command) == (True, f"git push upstream refs/tags/{wanted.name}")
    assert push_tag(root, wanted) is None


def test_a_clone_without_its_history_can_push(root: Path, tmp_path: Path) -> None:
    git("commit", "--quiet", "--allow-empty", "-m", "second", cwd=root)
    bare(tmp_path / "remote")
    git("push", "--quiet", str(tmp_path / "remote"), "main", cwd=root)
    git("clone", "--quiet", "--depth=1", "--branch=main", f"file://{tmp_path / 'remote'}", "shallow", cwd=tmp_path)
    shallow = tmp_path / "shallow"
    make_tag(shallow, tag(shallow))
    assert push_tag(shallow, tag(shallow)) is None
    assert tags_in(tmp_path / "remote") == tags_in(shallow) != []


@pytest.mark.parametrize(
    ("asked", "configured", "section", "pushed"),
    [
        (False, False, {}, False),
        (True, False, {}, True),
        (False, True, {}, True),
        (False, True, {"push_tags_on_register": "never"}, False),
        (True, False, {"push_tags_on_register": "never"}, True),
    ],
)
def test_only_the_user_can_ask_for_a_push(
    root: Path, tmp_path: Path, asked: bool, configured: bool, section: dict[str, Any], pushed: bool
) -> None:
    git("remote", "add", "origin", str(bare(tmp_path / "remote")), cwd=root)
    wanted = tag(root, asked=asked, configured=configured, **section)
    make_tag(root, wanted)
    assert push_tag(root, wanted) is None
    assert tags_in(root) != []
    assert bool(tags_in(tmp_path / "remote")) is pushed


def test_the_configured_remote_is_preferred(root: Path, tmp_path: Path) -> None:
    for name in ("origin", "mirror"):
        git("remote", "add", name, str(bare(tmp_path / name)), cwd=root)
    wanted = tag(root, remote="mirror")
    make_tag(root, wanted)
    assert push_tag(root, wanted) is None
    assert (tags_in(tmp_path / "origin"), tags_in(tmp_path / "mirror")) == ([], tags_in(root))


@pytest.mark.parametrize(
    ("remotes", "section"), [(["origin", "mirror"], {}), (["origin"], {"remote": "elsewhere"}), ([], {"remote": "x"})]
)
def test_an_ambiguous_remote_is_not_pushed_to(root: Path, remotes: list[str], section: dict[str, Any]) -> None:
    for name in remotes:
        git("remote", "add", name, "https://example.org/repo.git", cwd=root)
    wanted = tag(root, **section)
    failure = push_tag(root, wanted)
    assert wanted.url == UNKNOWN_REMOTE
    assert failure is not None
    assert "git.remote" in failure.why
    assert failure.command.startswith("git push '<remote>' refs/tags/roar/")


def test_nothing_is_pushed_without_a_remote(root: Path) -> None:
    make_tag(root, tag(root))
    assert push_tag(root, tag(root)) is None


def test_an_unreachable_remote_fails_with_the_command(root: Path) -> None:
    git("remote", "add", "origin", "http://person:secret@127.0.0.1:1/repo.git", cwd=root)
    make_tag(root, tag(root))
    assert tag(root).url == "http://127.0.0.1:1/repo.git"
    failure = push_tag(root, tag(root))
    assert failure is not None
    assert "127.0.0.1" in failure.why
    assert "\n" not in failure.why
    assert "secret" not in failure.why
    assert failure.command == f"git push origin refs/tags/{tag(root).name}"


def test_a_remote_with_another_address_than_planned_is_not_pushed_to(root: Path, tmp_path: Path) -> None:
    git("remote", "add", "origin", "https://example.org/repo.git", cwd=root)
    wanted = tag(root)
    make_tag(root, wanted)
    git("remote", "set-url", "origin", str(bare(tmp_path / "other")), cwd=root)
    failure = push_tag(root, wanted)
    assert failure is not None
    assert "https://example.org/repo.git" in failure.why
    assert tags_in(tmp_path / "other") == []


def test_a_remote_inside_the_project_is_not_pushed_to(root: Path) -> None:
    evil = bare(root / "evil.git")
    (root / ".gitignore").write_text("*\n")
    touch(evil / "hooks" / "post-receive", root / "ran")
    for url in ("evil.git", f"file://{evil}", str(evil)):
        git("remote", "add", "origin", url, cwd=root)
        make_tag(root, tag(root))
        failure = push_tag(root, tag(root))
        git("remote", "remove", "origin", cwd=root)
        assert failure is not None
        assert "folder of the project" in failure.why
    assert not (root / "ran").exists()


def test_a_hanging_remote_is_abandoned_and_leaves_no_process(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "pid"
    helper = tmp_path / "git-remote-hang"
    helper.write_text(f"#!/bin/sh\necho $$ > {note}.new; mv {note}.new {note}\nexec sleep 1000\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(tags, "PUSH_SECONDS", 1.0)
    git("remote", "add", "origin", "hang://anything", cwd=root)
    make_tag(root, tag(root))
    failure = push_tag(root, tag(root))
    assert failure is not None
    assert failure.why == "git did not finish within 1 s"
    assert ends(int(note.read_text()))


def test_git_never_asks_for_a_password(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = tmp_path / "asked"
    ask = tmp_path / "ask"
    ask.write_text(f"#!/bin/sh\ntouch {asked}\n")
    ask.chmod(0o755)
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(ask))
    helper = tmp_path / "git-remote-secret"
    helper.write_text('#!/bin/sh\nprintf "url=https://x.example\\n\\n" | git credential fill >&2\nexit 1\n')
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    git("remote", "add", "origin", "secret://x", cwd=root)
    make_tag(root, tag(root))
    failure = push_tag(root, tag(root))
    assert failure is not None
    assert not asked.exists()


def touch(program: Path, note: Path) -> Path:
    """Make a program that records that it ran."""
    program.write_text(f"#!/bin/sh\ntouch {note}\ncat\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:hunter22x@h/a.git", "https://h/a.git"),
        ("https://me:hunt/er22x@h/a.git", "https://me:[REDACTED]@h/a.git"),
        ("https://h/a.git?access_token=hunter22xyz", "https://h/a.git?access_token=[REDACTED]"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
    ],
)
def test_an_address_is_shown_without_credentials(url: str, shown: str) -> None:
    assert tags.redact_url(url) == shown
