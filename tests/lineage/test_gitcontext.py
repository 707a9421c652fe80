"""The git context of the working repository, whatever state it is in."""

import os
from pathlib import Path

import pytest

from roar_publisher.lineage.gitcontext import GitContext, is_shareable, read_git_context
from tests.lineage.captured import git

NOTHING = GitContext(None, None, None)
URL = "https://github.com/acme/repo.git"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    git("init", "--quiet", "--initial-branch=main", cwd=root)
    git("commit", "--quiet", "--allow-empty", "--message", "one", cwd=root)
    git("remote", "add", "origin", URL, cwd=root)
    return root


def test_remote_commit_and_branch(repo: Path) -> None:
    context = read_git_context(repo)
    assert (context.repo, context.branch) == (URL, "main")
    assert context.commit is not None
    assert len(context.commit) == 40


def test_a_folder_inside_counts_as_the_repository(repo: Path) -> None:
    (repo / "deep").mkdir()
    assert read_git_context(repo / "deep") == read_git_context(repo)


def test_a_detached_head_has_no_branch_but_head(repo: Path) -> None:
    git("checkout", "--quiet", "--detach", cwd=repo)
    assert read_git_context(repo).branch == "HEAD"


def test_a_repository_without_commits_has_a_remote_all_the_same(tmp_path: Path) -> None:
    git("init", "--quiet", cwd=tmp_path)
    git("remote", "add", "origin", URL, cwd=tmp_path)
    assert read_git_context(tmp_path) == GitContext(URL, None, None)


@pytest.mark.parametrize(
    ("remotes", "preferred", "chosen"),
    [
        ({"upstream": "ssh://git@host/a"}, None, "ssh://git@host/a"),
        ({"a": "https://a/x", "b": "https://b/x"}, None, None),
        ({"a": "https://a/x", "b": "https://b/x"}, "b", "https://b/x"),
        ({"origin": "https://o/x", "b": "https://b/x"}, "gone", "https://o/x"),
        ({}, None, None),
        ({"origin": "/srv/git/x.git"}, None, None),
        ({"origin": "file:///srv/git/x.git"}, None, None),
    ],
)
def test_which_remote_counts(repo: Path, remotes: dict[str, str], preferred: str | None, chosen: str | None) -> None:
    git("remote", "remove", "origin", cwd=repo)
    for name, url in remotes.items():
        git("remote", "add", name, url, cwd=repo)
    assert read_git_context(repo, preferred).repo == chosen


@pytest.mark.parametrize(
    ("url", "shareable"),
    [
        ("https://host/a", True),
        ("git@host:a/b.git", True),
        ("ssh://host/a", True),
        ("../other", False),
        ("/srv/me@home:a", False),
        ("~/repo", False),
        ("C:/repo", False),
        ("", False),
    ],
)
def test_only_what_others_can_fetch_is_told(url: str, shareable: bool) -> None:
    assert is_shareable(url) is shareable


def test_outside_of_a_repository_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert read_git_context(tmp_path) == NOTHING
    assert read_git_context(tmp_path / "gone") == NOTHING


def test_without_git_there_is_nothing(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    assert read_git_context(repo) == NOTHING


def test_a_hooks_variables_do_not_choose_the_repository(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "--quiet", "--bare", "other.git", cwd=tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other.git"))
    assert read_git_context(repo).repo == URL
