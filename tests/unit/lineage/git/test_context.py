"""The git context of a working repository in every state."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from roar_publisher.lineage.git.context import GitContext, describe_missing_git, is_shareable, read_git_context
from roar_publisher.lineage.git.run import PAUSES
from roar_publisher.planning.put.worktree import clean_commit
from roar_publisher.state.errors import Conclusion, LocalProblem
from tests.support.lineage.captured import git

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


def test_a_subfolder_belongs_to_the_repository(repo: Path) -> None:
    (repo / "deep").mkdir()
    assert read_git_context(repo / "deep") == read_git_context(repo)


def test_the_branch_of_a_detached_head_is_head(repo: Path) -> None:
    git("checkout", "--quiet", "--detach", cwd=repo)
    assert read_git_context(repo).branch == "HEAD"


@pytest.mark.parametrize("ref", ["refs/heads/HEAD", "refs/tags/HEAD"])
@pytest.mark.parametrize("detached", [False, True])
def test_another_ref_named_head_changes_nothing(repo: Path, ref: str, detached: bool) -> None:
    if detached:
        git("checkout", "--quiet", "--detach", cwd=repo)
    known = read_git_context(repo)
    git("update-ref", ref, "HEAD", cwd=repo)
    assert read_git_context(repo) == known


def test_files_with_the_names_of_commits_change_nothing(repo: Path) -> None:
    known = read_git_context(repo)
    for name in ("HEAD", "HEAD^{commit}", "main"):
        (repo / name).touch()
    assert read_git_context(repo) == known


def test_a_branch_may_have_any_name_that_git_takes(repo: Path) -> None:
    git("checkout", "--quiet", "-b", "feature/\u2028ä", cwd=repo)
    assert read_git_context(repo).branch == "feature/\u2028ä"


def test_a_folder_with_a_line_break_in_its_name_is_refused(repo: Path) -> None:
    moved = repo.rename(repo.with_name("two\nlines"))
    assert "line break" in refused(moved).what


def test_few_commands_are_run(repo: Path, script: Callable[[str], Path]) -> None:
    log = script('echo "$*" >> "$LOG"\nexec "$GIT" "$@"\n')
    read_git_context(repo)
    assert len(log.read_text().splitlines()) == 5


def test_a_repository_without_commits_has_a_remote(tmp_path: Path) -> None:
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
def test_the_remote_is_chosen_by_name(
    repo: Path, remotes: dict[str, str], preferred: str | None, chosen: str | None
) -> None:
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
def test_only_shareable_remotes_are_published(url: str, shareable: bool) -> None:
    assert is_shareable(url) is shareable


def test_outside_a_repository_git_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setenv("PATH", os.devnull)
    assert read_git_context(tmp_path) == NOTHING
    assert read_git_context(tmp_path / "gone") == NOTHING


def test_an_empty_git_folder_is_not_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / ".git").mkdir()
    assert read_git_context(tmp_path) == NOTHING


def test_missing_git_facts_are_described() -> None:
    assert "no git commit" in describe_missing_git(None, None)
    assert "no git commit" in describe_missing_git(URL, None)
    assert "no remote" in describe_missing_git(None, "ab" * 20)
    assert describe_missing_git(URL, "ab" * 20) == ""


def test_a_hooks_variables_do_not_choose_the_repository(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "--quiet", "--bare", "other.git", cwd=tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other.git"))
    assert read_git_context(repo).repo == URL


def test_a_repository_without_git_is_an_error(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    error = refused(repo)
    assert "git is not installed" in error.what
    assert error.next_step.startswith("install git")


@pytest.mark.parametrize(
    "older",
    [
        # 2.25 does not know `config --show-scope`, 2.12 not `rev-parse --absolute-git-dir`, which it prints.
        'case "$*" in *--show-scope*) echo "error: unknown option show-scope" >&2; exit 129; esac',
        'case "$*" in *--absolute-git-dir*) pwd; echo --absolute-git-dir; echo .git; exit; esac',
    ],
)
def test_a_git_that_is_too_old_is_named(repo: Path, script: Callable[[str], Path], older: str) -> None:
    script(f'{older}\nexec "$GIT" "$@"\n')
    error = refused(repo)
    assert "this git is too old: 2.31 or later is needed" in error.what
    assert error.next_step.startswith("install git 2.31 or later")


def damage_head(repo: Path) -> None:
    (repo / ".git" / "HEAD").write_bytes(b"")


def damage_branch(repo: Path) -> None:
    (repo / ".git" / "refs" / "heads" / "main").write_bytes(b"")


def lose_commit(repo: Path) -> None:
    (repo / ".git" / "refs" / "heads" / "main").write_text("ab" * 20 + "\n")


def damage_config(repo: Path) -> None:
    (repo / ".git" / "config").write_text("[[[")


def lose_worktree(repo: Path) -> None:
    shutil.rmtree(repo / ".git")
    (repo / ".git").write_text("gitdir: /nowhere/at/all\n")


@pytest.mark.parametrize("damage", [damage_head, damage_branch, lose_commit, damage_config, lose_worktree])
def test_a_repository_that_git_cannot_read_is_an_error(repo: Path, damage: Callable[[Path], None]) -> None:
    damage(repo)
    problem = refused(repo)
    assert str(repo) in problem.what
    assert "\n" not in problem.what
    assert f"git -C {repo} status" in problem.next_step
    assert (problem.reason, problem.conclusion) == ("git", Conclusion.FAILED)


def test_a_repository_of_another_user_is_reported_with_its_remedy(repo: Path, script: Callable[[str], Path]) -> None:
    script(
        f"echo \"fatal: detected dubious ownership in repository at '{repo}'\" >&2\n"
        "echo 'To add an exception for this directory, call:' >&2\n"
        f"printf '\\n\\tgit config --global --add safe.directory {repo}\\n' >&2\n"
        "exit 128\n"
    )
    problem = refused(repo)
    assert "dubious ownership" in problem.what
    assert problem.next_step.startswith(f"git config --global --add safe.directory {repo};")


def test_what_others_write_beside_git_is_no_error_of_git(repo: Path, script: Callable[[str], Path]) -> None:
    """The loader of libraries does so on clusters, and so do wrappers."""
    git("remote", "remove", "origin", cwd=repo)
    commit = clean_commit(repo)
    script('echo "git: /opt/lib/libz.so.1: no version information available (required by git)" >&2; exec "$GIT" "$@"')
    assert read_git_context(repo).commit == commit
    assert clean_commit(repo) == commit
    git("checkout", "--quiet", "--orphan", "empty", cwd=repo)
    assert read_git_context(repo) == NOTHING


@pytest.mark.parametrize(
    "failure",
    [
        "echo 'fatal: unable to fork: Resource temporarily unavailable' >&2; exit 128",
        "echo 'error: read .git/HEAD: Input/output error' >&2; exit 128",
        "kill -KILL $$",
    ],
)
def test_a_temporary_failure_is_retried(
    repo: Path, script: Callable[[str], Path], pauses: list[float], failure: str
) -> None:
    """Every command fails the first two times."""
    log = script(f'echo "$*" >> "$LOG"\n[ $(grep -cxF -- "$*" "$LOG") -ge 3 ] || {{ {failure}; }}\nexec "$GIT" "$@"\n')
    context = read_git_context(repo)
    assert (context.repo, context.branch) == (URL, "main")
    assert pauses == [*PAUSES] * (len(log.read_text().splitlines()) // 3)


def test_a_permanent_failure_is_an_error_after_limited_attempts(
    repo: Path, script: Callable[[str], Path], pauses: list[float]
) -> None:
    log = script('echo once >> "$LOG"\necho "fatal: read error: Input/output error" >&2\nexit 128\n')
    assert "Input/output error" in refused(repo).what
    assert len(log.read_text().splitlines()) == 1 + len(PAUSES)
    assert pauses == list(PAUSES)


def test_a_hanging_git_is_killed_and_is_an_error(
    repo: Path, script: Callable[[str], Path], pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roar_publisher.lineage.git.run.LOCAL_SECONDS", 0.01)
    script("exec sleep 1000\n")
    assert "did not finish" in refused(repo).what
    assert pauses == []


def refused(repo: Path) -> LocalProblem:
    with pytest.raises(LocalProblem) as caught:
        read_git_context(repo)
    return caught.value


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The recorded waits, without waiting."""
    waited: list[float] = []
    monkeypatch.setattr("roar_publisher.lineage.git.run.sleep", waited.append)
    return waited


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Replace git by a shell script; $GIT in it is the real git, $LOG a file, which is returned."""

    def replace(text: str) -> Path:
        real, log = shutil.which("git"), tmp_path / "log"
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "git").write_text(f"#!/bin/sh\nGIT={real}\nLOG={log}\n{text}")
        (folder / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return log

    return replace
