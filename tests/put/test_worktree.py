"""The commit that a put names: the work tree is that commit, and nothing of the repository's configuration runs."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from roar_publisher.lineage.git import Reach, git_environment
from roar_publisher.lineage.gitcontext import read_git_context
from roar_publisher.put.objects import Tag
from roar_publisher.put.tags import make_tag, push_tag, tag_of
from roar_publisher.put.worktree import committed
from roar_publisher.state.errors import LocalProblem, UsageProblem
from tests.lineage.captured import git


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


def test_a_clean_tree_has_a_commit_and_nothing_else_has(root: Path, tmp_path: Path) -> None:
    assert len(committed(root)) == 40
    (root / "new").touch()
    with pytest.raises(UsageProblem, match="uncommitted"):
        committed(root)
    (root / ".gitignore").write_text("new\n.gitignore\n")
    assert committed(root)
    with pytest.raises(LocalProblem, match="no git repository") as caught:
        committed(tmp_path)
    assert caught.value.reason == "no commit"


def test_a_repository_that_git_does_not_read_is_not_called_one_without_a_commit(root: Path) -> None:
    (root / ".git" / "HEAD").write_bytes(b"")
    with pytest.raises(LocalProblem, match="git can't read the repository") as caught:
        committed(root)
    assert caught.value.reason == "git"


def test_an_index_that_git_does_not_read_is_not_called_uncommitted_changes(root: Path) -> None:
    (root / ".git" / "index").write_bytes(b"no index")
    with pytest.raises(LocalProblem, match="git can't read the repository"):
        committed(root)


def test_a_changed_file_in_a_submodule_is_an_uncommitted_change(root: Path, tmp_path: Path) -> None:
    add_submodule(root, tmp_path)
    assert committed(root)
    (root / "inner" / "data.txt").write_text("changed")
    with pytest.raises(UsageProblem, match="uncommitted"):
        committed(root)


def test_a_hooks_repository_is_not_taken_for_ours(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "--quiet", "--bare", "other", cwd=tmp_path)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other"))
    assert len(committed(root)) == 40


def test_the_users_own_filter_is_used(root: Path, tmp_path: Path) -> None:
    """As git-lfs has it: what is committed is another text than what lies in the work tree."""
    clean = tmp_path / "clean"
    clean.write_text("#!/bin/sh\ntr a-z A-Z\n")
    clean.chmod(0o755)
    (tmp_path / "home" / ".gitconfig").write_text(f'[filter "shout"]\n\tclean = {clean}\n\trequired = true\n')
    (root / ".gitattributes").write_text("*.txt filter=shout\n")
    git("-c", f"filter.shout.clean={clean}", "add", "-A", cwd=root)
    git("commit", "--quiet", "-m", "more", cwd=root)
    os.utime(root / "data.txt", (0, 0))
    assert committed(root)
    git("config", "filter.shout.clean", "touch ran", cwd=root)
    assert committed(root), "the one in the repository is not"
    assert not (root / "ran").exists()


# -------------------------------------------------------------------- attacks: the repository's own configuration


Attack = Callable[[Path, Path], None]
"""Configures the repository, its first argument, to run the program that is the second."""


def fsmonitor(root: Path, program: Path) -> None:
    git("config", "core.fsmonitor", str(program), cwd=root)


def clean_filter(root: Path, program: Path) -> None:
    for name in ("evil", "with=equals", "UPPER"):
        git("config", f"filter.{name}.clean", str(program), cwd=root)
        git("config", f"filter.{name}.required", "true", cwd=root)
    attributes = root / ".git" / "info" / "attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("* filter=evil\nb* filter=with=equals\nc* filter=UPPER\n")


def process_filter(root: Path, program: Path) -> None:
    git("config", "filter.evil.process", str(program), cwd=root)
    (root / ".git" / "info" / "attributes").write_text("* filter=evil\n")


def filter_in_an_included_file(root: Path, program: Path) -> None:
    (root / ".git" / "more").write_text(f'[filter "evil"]\n\tclean = {program}\n')
    git("config", "include.path", "more", cwd=root)
    (root / ".git" / "info" / "attributes").write_text("* filter=evil\n")


def filter_in_a_submodule(root: Path, program: Path) -> None:
    add_submodule(root, root.parent)
    inner = root / ".git" / "modules" / "inner"
    git("config", "filter.evil.clean", str(program), cwd=root / "inner")
    (inner / "info").mkdir(exist_ok=True)
    (inner / "info" / "attributes").write_text("* filter=evil\n")
    os.utime(root / "inner" / "data.txt", (0, 0))


def hooks(root: Path, program: Path) -> None:
    folder = root / ".git" / "hooks"
    folder.mkdir(exist_ok=True)
    for name in ("reference-transaction", "pre-push", "post-index-change", "fsmonitor-watchman"):
        shutil.copy(program, folder / name)


def hooks_elsewhere(root: Path, program: Path) -> None:
    folder = root / ".git" / "more-hooks"
    folder.mkdir()
    for name in ("reference-transaction", "pre-push"):
        shutil.copy(program, folder / name)
    git("config", "core.hooksPath", str(folder), cwd=root)


def signature(root: Path, program: Path) -> None:
    for name, value in (("tag.gpgSign", "true"), ("gpg.program", str(program)), ("push.gpgSign", "true")):
        git("config", name, value, cwd=root)


def ssh_command(root: Path, program: Path) -> None:
    git("config", "core.sshCommand", str(program), cwd=root)
    git("remote", "set-url", "origin", "ssh://127.0.0.1:1/repo", cwd=root)


def credential_helper(root: Path, program: Path) -> None:
    git("config", "credential.helper", str(program), cwd=root)


def receive_pack(root: Path, program: Path) -> None:
    git("config", "remote.origin.receivepack", str(program), cwd=root)


def remote_helper(root: Path, program: Path) -> None:
    git("config", "remote.origin.vcs", f"ext::{program}", cwd=root)
    git("remote", "set-url", "origin", f"ext::{program}", cwd=root)
    git("config", "protocol.ext.allow", "always", cwd=root)


def rewritten_address(root: Path, program: Path) -> None:
    git("config", f"url.ext::{program}.insteadOf", str(root.parent), cwd=root)
    git("config", "protocol.ext.allow", "always", cwd=root)


def lazy_fetch(root: Path, program: Path) -> None:
    """A partial clone fetches what it lacks: here, the tree of its commit."""
    tree = next(path for path in (root / ".git" / "objects").glob("??/*") if is_tree(root, path))
    tree.unlink()
    (root / ".git" / "index").unlink()
    for name, value in (
        ("extensions.partialClone", "origin"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.uploadpack", str(program)),
        ("protocol.file.allow", "always"),
        ("core.repositoryformatversion", "1"),
    ):
        git("config", name, value, cwd=root)


def is_tree(root: Path, path: Path) -> bool:
    try:
        git("cat-file", "tree", path.parent.name + path.name, cwd=root)
    except Exception:
        return False
    return True


@pytest.mark.parametrize(
    "attack",
    [
        fsmonitor,
        clean_filter,
        process_filter,
        filter_in_an_included_file,
        filter_in_a_submodule,
        hooks,
        hooks_elsewhere,
        signature,
        ssh_command,
        credential_helper,
        receive_pack,
        remote_helper,
        rewritten_address,
        lazy_fetch,
    ],
)
def test_nothing_that_the_repository_configures_runs(root: Path, tmp_path: Path, attack: Attack) -> None:
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\nexit 1\n")
    program.chmod(0o755)
    for name in ("b.txt", "c.txt"):
        (root / name).write_text(name)
    commit(root)
    git("init", "--quiet", "--bare", "remote", cwd=tmp_path)
    git("remote", "add", "origin", str(tmp_path / "remote"), cwd=root)
    here = committed(root)
    attack(root, program)
    for path in root.glob("*.txt"):
        os.utime(path, (0, 0))  # git has to read them
    try:
        read_git_context(root)
        committed(root)
    except (LocalProblem, UsageProblem):
        assert attack is lazy_fetch
    address = git_output(root, "config", "remote.origin.url")
    wanted = Tag(tag_of(here), here, "origin", address)
    make_tag(root, wanted)
    push_tag(root, wanted)
    assert not ran.exists()


def test_a_bare_repository_in_a_clone_is_not_taken_for_the_projects(root: Path) -> None:
    git("init", "--quiet", "--bare", "inner", cwd=root)
    with pytest.raises(LocalProblem, match="bare repository"):
        read_git_context(root / "inner")


def test_git_gets_no_secret_of_ours() -> None:
    ours = {"AWS_SECRET_ACCESS_KEY": "s", "ROAR_ACCESS_TOKEN": "s", "HF_TOKEN": "s", "GIT_DIR": "/x", "PATH": "/bin"}
    for reach in Reach:
        passed = git_environment(ours | {"GIT_CONFIG_GLOBAL": "/g", "SSH_AUTH_SOCK": "/s"}, reach)
        assert "s" not in passed.values()
        assert "GIT_DIR" not in passed
        assert (passed["PATH"], passed["GIT_CONFIG_GLOBAL"]) == ("/bin", "/g")
        assert passed["GIT_TERMINAL_PROMPT"] == "0"
        assert ("SSH_AUTH_SOCK" in passed) is (reach is Reach.REMOTE)


def git_output(root: Path, *arguments: str) -> str:
    import subprocess

    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout.strip()


def add_submodule(root: Path, folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "data.txt").write_text("inner")
    git("init", "--quiet", "--initial-branch=main", cwd=other)
    commit(other)
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "inner", cwd=root)
    commit(root)
