"""A project from an archive, whose `.git` leads to another repository of the user, publishes nothing of that."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from roar_publisher.lineage.git.context import GitContext, read_git_context
from roar_publisher.lineage.plan import build_plan
from roar_publisher.lineage.project import find_project
from roar_publisher.planning.put.request import Tag
from roar_publisher.planning.put.tags import make_tag, push_tag, tag_of
from roar_publisher.planning.put.worktree import clean_commit
from roar_publisher.state.errors import LocalProblem
from tests.support.lineage.captured import git
from tests.support.put.projects import put_project

BRANCH, URL = "private-branch", "https://git.example/private/repository.git"


@dataclass(frozen=True)
class Repositories:
    """project: the attacker's. other: the user's own repository, with a private commit."""

    project: Path
    other: Path

    @property
    def private(self) -> Path:
        return self.other / ".git"

    @property
    def commit(self) -> str:
        return git_output("rev-parse", "HEAD", cwd=self.other)

    def instead(self, name: str) -> None:
        """Replace a part of the project's `.git` by a link to that of the other repository."""
        path = self.project / ".git" / name
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(self.private / name)

    def borrow(self) -> None:
        """Borrow the other repository's objects."""
        info = self.project / ".git" / "objects" / "info"
        info.mkdir(exist_ok=True)
        (info / "alternates").write_text(f"{self.private / 'objects'}\n")


@pytest.fixture
def repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repositories:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, branch in (("project", "main"), ("other", BRANCH)):
        repository(tmp_path / name, branch)
    git("remote", "add", "origin", URL, cwd=tmp_path / "other")
    return Repositories(tmp_path / "project", tmp_path / "other")


def repository(place: Path, branch: str = "main") -> Path:
    place.mkdir()
    git("init", "--quiet", f"--initial-branch={branch}", cwd=place)
    (place / f"{place.name}.txt").write_text(f"of {place.name}\n")
    git("add", "-A", cwd=place)
    git("commit", "--quiet", "-m", "first", cwd=place)
    return place


def git_output(*arguments: str, cwd: Path) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


# ---------------------------------------------------------------------------------------------------- what leads away


def file_in_its_place(found: Repositories) -> None:
    shutil.rmtree(found.project / ".git")
    (found.project / ".git").write_text(f"gitdir: {found.private}\n")


def link_in_its_place(found: Repositories) -> None:
    shutil.rmtree(found.project / ".git")
    (found.project / ".git").symlink_to(found.private)


def work_tree_of_the_other(found: Repositories) -> None:
    """The administrative folder of a real work tree of the other repository."""
    git("worktree", "add", "--quiet", str(found.other.parent / "tree"), cwd=found.other)
    shutil.rmtree(found.project / ".git")
    (found.project / ".git").write_text(f"gitdir: {found.private / 'worktrees' / 'tree'}\n")


def common_folder(found: Repositories) -> None:
    (found.project / ".git" / "commondir").write_text(f"{found.private}\n")
    (found.project / ".git" / "HEAD").write_text(f"ref: refs/heads/{BRANCH}\n")


def pretended_work_tree(found: Repositories) -> None:
    """A work tree as `git worktree` makes it, with both ends forged."""
    shutil.rmtree(found.project / ".git")
    fake = found.project / "fake" / "worktrees" / "tree"
    fake.mkdir(parents=True)
    (fake / "HEAD").write_text(f"ref: refs/heads/{BRANCH}\n")
    (fake / "commondir").write_text(f"{found.private}\n")
    (fake / "gitdir").write_text(f"{found.project / '.git'}\n")
    (found.project / ".git").write_text(f"gitdir: {fake}\n")


def other_work_tree(found: Repositories) -> None:
    """A consistent forgery: the work tree of the other repository is clean."""
    git("config", "core.worktree", str(found.other), cwd=found.project)
    (found.project / ".git" / "HEAD").write_text(f"ref: refs/heads/{BRANCH}\n")
    for name in ("refs", "objects", "index"):
        found.instead(name)


def one_reference(found: Repositories) -> None:
    found.borrow()
    path = found.project / ".git" / "refs" / "heads" / "main"
    path.unlink()
    path.symlink_to(found.private / "refs" / "heads" / BRANCH)


def configuration(found: Repositories) -> None:
    found.instead("config")


def included_configuration(found: Repositories) -> None:
    git("config", "include.path", str(found.private / "config"), cwd=found.project)


def included_by_a_relative_path(found: Repositories) -> None:
    git("config", "include.path", "../../other/.git/config", cwd=found.project)


ATTACKS: dict[str, Callable[[Repositories], None]] = {
    "a file in its place": file_in_its_place,
    "a link in its place": link_in_its_place,
    "a work tree of the other": work_tree_of_the_other,
    "commondir": common_folder,
    "a pretended work tree": pretended_work_tree,
    "core.worktree": other_work_tree,
    "a reference": one_reference,
    "the configuration": configuration,
    "an included configuration": included_configuration,
    "an included configuration by a relative path": included_by_a_relative_path,
}


def plainly(place: Path) -> str:
    """Return the commit, branch and remote that plain git reports."""
    commands = (["rev-parse", "HEAD"], ["symbolic-ref", "HEAD"], ["remote", "get-url", "origin"])
    return " ".join(subprocess.run(["git", *one], cwd=place, capture_output=True, text=True).stdout for one in commands)


@pytest.mark.parametrize("how", ATTACKS)
def test_a_foreign_repository_is_refused(repositories: Repositories, how: str) -> None:
    commit = repositories.commit
    ATTACKS[how](repositories)
    assert any(one in plainly(repositories.project) for one in (commit, BRANCH, URL)), "this proves nothing"
    below = repositories.project / "a" / "b"
    below.mkdir(parents=True)
    for place in (repositories.project, below.parent, below):
        with pytest.raises(LocalProblem, match="leads to another folder"):
            read_git_context(place)
        with pytest.raises(LocalProblem, match="leads to another folder"):
            clean_commit(place)


@pytest.mark.parametrize("how", ATTACKS)
def test_no_tag_is_made_in_another_repository(repositories: Repositories, how: str) -> None:
    """A plan may be older than the `.git`, or come from a bundle."""
    commit = repositories.commit
    ATTACKS[how](repositories)
    failure = make_tag(repositories.project, Tag(tag_of(commit), commit, "", ""))
    assert failure is not None
    assert "leads to another folder" in failure.why
    assert git_output("tag", "--list", cwd=repositories.other) == ""


def test_no_commit_of_another_repository_is_pushed(repositories: Repositories, tmp_path: Path) -> None:
    """The attacker knows the hash of a private commit from a published lineage, and makes it the parent."""
    project, remote = repositories.project, tmp_path / "theirs"
    remote.mkdir()
    git("init", "--quiet", "--bare", cwd=remote)
    git("remote", "add", "origin", str(remote), cwd=project)
    repositories.borrow()
    names = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    made = subprocess.run(
        ["git", "commit-tree", "HEAD^{tree}", "-p", repositories.commit, "-m", "second"],
        cwd=project,
        env=os.environ | names,
        check=True,
        capture_output=True,
        text=True,
    )
    commit = made.stdout.strip()
    git("update-ref", "refs/heads/main", commit, cwd=project)
    assert clean_commit(project) == commit
    tag = Tag(tag_of(commit), commit, "origin", str(remote))
    assert make_tag(project, tag) is None
    failure = push_tag(project, tag)
    assert failure is not None
    assert "another repository" in failure.why
    assert not list((remote / "objects").glob("??/*"))


# -------------------------------------------------------------------------------------------- what is the folder's own


def test_a_git_work_tree_is_accepted(repositories: Repositories, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    git("worktree", "add", "--quiet", str(tree), cwd=repositories.other)
    assert read_git_context(tree) == GitContext(URL, repositories.commit, "tree")
    tree.rename(tmp_path / "moved")
    with pytest.raises(LocalProblem) as refused:
        read_git_context(tmp_path / "moved")
    assert f"git --git-dir={repositories.private} worktree repair {tmp_path / 'moved'};" in refused.value.next_step
    git("worktree", "repair", str(tmp_path / "moved"), cwd=repositories.other)
    assert read_git_context(tmp_path / "moved").commit == repositories.commit


def test_a_submodule_is_accepted(repositories: Repositories) -> None:
    git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repositories.other), "part",
        cwd=repositories.project,
    )  # fmt: skip
    part = repositories.project / "part"
    assert read_git_context(part).commit == repositories.commit
    git("sparse-checkout", "set", "some", cwd=part)
    moved = repositories.project / ".git" / "modules" / "part" / "config.worktree"
    assert git_output("config", "--file", str(moved), "core.worktree", cwd=part)
    assert read_git_context(part).commit == repositories.commit


def test_a_separate_git_dir_is_accepted_once_it_names_the_work_tree(repositories: Repositories, tmp_path: Path) -> None:
    git("init", "--quiet", f"--separate-git-dir={tmp_path / 'kept'}", cwd=repositories.project)
    with pytest.raises(LocalProblem) as refused:
        read_git_context(repositories.project)
    command = f"git --git-dir={tmp_path / 'kept'} config core.worktree {repositories.project}"
    assert command in refused.value.next_step
    git(*command.split()[1:], cwd=repositories.project)
    assert read_git_context(repositories.project).branch == "main"


def test_an_included_configuration_inside_the_project_is_accepted(repositories: Repositories) -> None:
    (repositories.project / "shared").write_text(f'[remote "origin"]\n\turl = {URL}\n')
    git("config", "include.path", "../shared", cwd=repositories.project)
    assert read_git_context(repositories.project).repo == URL


def test_the_users_own_configuration_may_rewrite_addresses(repositories: Repositories, tmp_path: Path) -> None:
    git("config", "remote.origin.url", "https://short/project", cwd=repositories.project)
    rewrite = '[url "https://git.example/"]\n\tinsteadOf = https://short/\n'
    (tmp_path / "home" / ".gitconfig").write_text(rewrite)
    assert read_git_context(repositories.project).repo == "https://git.example/project"


def test_a_project_is_published_for_its_own_repository_from_any_folder(tmp_path: Path) -> None:
    root = put_project(tmp_path)
    inner = repository(root / "library")
    git("remote", "add", "origin", URL, cwd=inner)
    summaries = [
        build_plan(find_project(place), None, cwd=place, identities=(), sink=lambda units: None)
        for place in (root, inner)
    ]
    assert summaries[0] == summaries[1]
    assert URL not in str(summaries)
