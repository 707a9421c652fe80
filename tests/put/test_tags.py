"""Tags are made and pushed where that can be done at once, and owed where it can't."""

import os
import select
import subprocess
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.lineage.project import Config, Project
from roar_publisher.put import tags
from roar_publisher.put.objects import Tag
from roar_publisher.put.tags import committed, make_tags, push_tags, tag_of
from roar_publisher.state.errors import LocalProblem, UsageProblem
from tests.lineage.captured import git

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


def tag(root: Path) -> tuple[Tag, ...]:
    commit = committed(root)
    return (Tag(tag_of(commit), commit),)


def bare(path: Path) -> Path:
    path.mkdir()
    git("init", "--quiet", "--bare", cwd=path)
    return path


def ends(pid: int) -> bool:
    """Whether a process ends; waits for it as long as a killed one may take on a busy machine."""
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
        assert make_tags(root, wanted) is None
        assert tags_in(root) == [f"{wanted[0].commit} roar/{wanted[0].commit}"]


def test_a_tag_on_a_commit_that_is_gone_is_owed_with_the_command(root: Path) -> None:
    owed = make_tags(root, (Tag("roar/gone", "ab" * 20),))
    assert owed is not None
    assert owed.why
    assert owed.command == f"git tag roar/gone {'ab' * 20}"


def test_the_tag_reaches_the_only_remote_and_may_be_pushed_again(root: Path, tmp_path: Path) -> None:
    remote = bare(tmp_path / "remote")
    git("remote", "add", "upstream", str(remote), cwd=root)
    make_tags(root, tag(root))
    for _ in range(2):
        assert push_tags(project(root), tag(root)) is None
        assert tags_in(remote) == tags_in(root) != []


def test_the_configured_remote_wins(root: Path, tmp_path: Path) -> None:
    for name in ("origin", "mirror"):
        git("remote", "add", name, str(bare(tmp_path / name)), cwd=root)
    make_tags(root, tag(root))
    assert push_tags(project(root, remote="mirror"), tag(root)) is None
    assert (tags_in(tmp_path / "origin"), tags_in(tmp_path / "mirror")) == ([], tags_in(root))


@pytest.mark.parametrize(
    ("remotes", "section"), [(["origin", "mirror"], {}), (["origin"], {"remote": "elsewhere"}), ([], {"remote": "x"})]
)
def test_a_remote_that_nobody_named_is_asked_for(root: Path, remotes: list[str], section: dict[str, str]) -> None:
    for name in remotes:
        git("remote", "add", name, "https://example.org/repo.git", cwd=root)
    owed = push_tags(project(root, **section), tag(root))
    assert owed is not None
    assert "git.remote" in owed.why
    assert owed.command.startswith(f"git push {section.get('remote', '<remote>')} refs/tags/roar/")


def test_nothing_is_pushed_without_a_remote_or_against_the_configuration(root: Path, tmp_path: Path) -> None:
    make_tags(root, tag(root))
    assert push_tags(project(root), tag(root)) is None
    git("remote", "add", "origin", str(bare(tmp_path / "remote")), cwd=root)
    assert push_tags(project(root, push_tags_on_register="never"), tag(root)) is None
    assert push_tags(project(root), ()) is None
    assert tags_in(tmp_path / "remote") == []


def test_a_dead_remote_leaves_the_tag_owed(root: Path) -> None:
    git("remote", "add", "origin", "http://127.0.0.1:1/repo.git", cwd=root)
    make_tags(root, tag(root))
    owed = push_tags(project(root), tag(root))
    assert owed is not None
    assert "127.0.0.1" in owed.why
    assert "\n" not in owed.why
    assert owed.command == f"git push origin refs/tags/{tag(root)[0].name}"


def test_a_remote_that_hangs_is_not_waited_for_and_leaves_no_process(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = tmp_path / "pid"
    helper = tmp_path / "git-remote-hang"
    helper.write_text(f"#!/bin/sh\necho $$ > {note}.new; mv {note}.new {note}\nexec sleep 1000\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(tags, "PUSH_SECONDS", 1.0)
    git("remote", "add", "origin", "hang://anything", cwd=root)
    make_tags(root, tag(root))
    owed = push_tags(project(root), tag(root))
    assert owed is not None
    assert owed.why == "no answer within 1 s"
    assert ends(int(note.read_text()))


def test_a_password_is_never_asked_for(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    make_tags(root, tag(root))
    owed = push_tags(project(root), tag(root))
    assert owed is not None
    assert not asked.exists()


def test_a_clean_tree_has_a_commit_and_nothing_else_has(root: Path, tmp_path: Path) -> None:
    assert len(committed(root)) == 40
    (root / "new").touch()
    with pytest.raises(UsageProblem, match="uncommitted"):
        committed(root)
    (root / ".gitignore").write_text("new\n.gitignore\n")
    assert committed(root)
    with pytest.raises(LocalProblem, match="no git repository"):
        committed(tmp_path)


def test_a_hooks_repository_is_not_taken_for_ours(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", str(bare(tmp_path / "other")))
    assert len(committed(root)) == 40
