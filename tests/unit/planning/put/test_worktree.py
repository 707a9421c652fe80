"""The commit that a put names matches the work tree, and nothing that the repository configures runs."""

import os
from pathlib import Path

import pytest

from roar_publisher.planning.put.worktree import clean_commit
from roar_publisher.state.errors import LocalProblem, UsageProblem
from tests.support.lineage.captured import git


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    root = tmp_path / "repo"
    root.mkdir()
    (root / "data.txt").write_text("data")
    git("init", "--quiet", "--initial-branch=main", cwd=root)
    commit(root)
    return root


def commit(root: Path) -> None:
    git("add", "-A", cwd=root)
    git("commit", "--quiet", "--allow-empty", "-m", "more", cwd=root)


def test_only_a_clean_tree_has_a_commit(root: Path, tmp_path: Path) -> None:
    assert len(clean_commit(root)) == 40
    (root / "new").touch()
    with pytest.raises(UsageProblem, match="uncommitted"):
        clean_commit(root)
    (root / ".gitignore").write_text("new\n.gitignore\n")
    assert clean_commit(root)
    with pytest.raises(LocalProblem, match="is not in a git repository") as caught:
        clean_commit(tmp_path)
    assert caught.value.reason == "no commit"


def test_the_error_names_what_is_not_committed(root: Path, tmp_path: Path) -> None:
    """Receipts, fetched files and summaries of jobs are often written into the work tree."""
    add_submodule(root, tmp_path)
    commit(root)
    git("mv", "data.txt", "renamed", cwd=root)
    for name in ("restored/a", "r\u00e9sum\u00e9\n.md", "inner/new"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    with pytest.raises(UsageProblem) as caught:
        clean_commit(root)
    assert "(renamed, restored/, r\u00e9sum\u00e9\\n.md and 1 more)" in caught.value.what
    git("reset", "--quiet", "--hard", cwd=root)
    git("clean", "--quiet", "-d", "--force", cwd=root)
    with pytest.raises(UsageProblem, match=r"\(inner/new\)"):
        clean_commit(root)


def test_an_unreadable_repository_is_not_reported_as_one_without_a_commit(root: Path) -> None:
    (root / ".git" / "HEAD").write_bytes(b"")
    with pytest.raises(LocalProblem, match="git cannot read the repository") as caught:
        clean_commit(root)
    assert caught.value.reason == "git"


def test_an_unreadable_index_is_not_reported_as_uncommitted_changes(root: Path) -> None:
    (root / ".git" / "index").write_bytes(b"no index")
    with pytest.raises(LocalProblem, match="git cannot read the repository"):
        clean_commit(root)


def test_a_changed_file_in_a_submodule_is_an_uncommitted_change(root: Path, tmp_path: Path) -> None:
    add_submodule(root, tmp_path)
    assert clean_commit(root)
    (root / "inner" / "data.txt").write_text("changed")
    with pytest.raises(UsageProblem, match="uncommitted"):
        clean_commit(root)


def test_the_repository_of_a_surrounding_hook_is_ignored(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "--quiet", "--bare", "other", cwd=tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    assert len(clean_commit(root)) == 40


def test_the_users_own_filter_is_used(root: Path, tmp_path: Path) -> None:
    """As with git-lfs, the committed text differs from the one in the work tree."""
    clean = tmp_path / "clean"
    clean.write_text("#!/bin/sh\ntr a-z A-Z\n")
    clean.chmod(0o755)
    (tmp_path / "home" / ".gitconfig").write_text(f'[filter "shout"]\n\tclean = {clean}\n\trequired = true\n')
    (root / ".gitattributes").write_text("*.txt filter=shout\n")
    git("add", ".gitattributes", cwd=root)
    # git filters unchanged files again only if they are as new as its index.
    git("-c", f"filter.shout.clean={clean}", "add", "--renormalize", ".", cwd=root)
    git("commit", "--quiet", "-m", "more", cwd=root)
    os.utime(root / "data.txt", (0, 0))
    assert clean_commit(root)
    git("config", "filter.shout.clean", "touch ran", cwd=root)
    assert clean_commit(root), "the one in the repository is not"
    assert not (root / "ran").exists()


@pytest.mark.parametrize(("name", "command"), [("lfs", "git lfs install"), ("shout", "git config --global")])
def test_a_filter_of_the_repository_alone_is_named_with_what_its_lack_changes(
    root: Path, name: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after `git lfs install --local`: for git itself nothing is changed, so there is nothing to commit."""
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")  # which may have git-lfs
    git("config", f"filter.{name}.clean", "tr a-z A-Z", cwd=root)
    (root / ".gitattributes").write_text(f"*.txt filter={name}\n")
    git("add", "--renormalize", ".", cwd=root)
    commit(root)
    os.utime(root / "data.txt", (0, 0))
    with pytest.raises(UsageProblem, match=r"uncommitted changes \(data.txt\)") as caught:
        clean_commit(root)
    assert f"configure {name} for yourself ({command}" in caught.value.next_step
    git("diff", "--exit-code", "--quiet", cwd=root)


def add_submodule(root: Path, folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "data.txt").write_text("inner")
    git("init", "--quiet", "--initial-branch=main", cwd=other)
    commit(other)
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "inner", cwd=root)
    commit(root)
