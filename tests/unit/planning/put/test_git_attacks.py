"""Nothing that a repository configures runs when it is published, put, tagged or pushed."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from roar_publisher.lineage.config import Config
from roar_publisher.lineage.git.context import read_git_context
from roar_publisher.lineage.git.run import GitAccess, git_environment, run_git
from roar_publisher.lineage.project import Project
from roar_publisher.planning.put.request import PutRequest, Tag
from roar_publisher.planning.put.tags import make_tag, push_tag, tag_of, wanted_tag
from roar_publisher.planning.put.worktree import clean_commit
from roar_publisher.state.errors import LocalProblem, UsageProblem
from tests.support.lineage.captured import git
from tests.support.put.git_vectors import FILE, VECTORS, Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in ("home", "repo", "remote"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    root, remote = tmp_path / "repo", tmp_path / "remote"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\nexit 1\n")
    program.chmod(0o755)
    git("init", "--quiet", "--bare", cwd=remote)
    git("init", "--quiet", "--initial-branch=main", cwd=root)
    (root / FILE).write_text("data")
    git("add", "-A", cwd=root)
    git("commit", "--quiet", "-m", "first", cwd=root)
    git("remote", "add", "origin", str(remote), cwd=root)
    return Place(root, remote, program, tmp_path / "ran")


@pytest.mark.parametrize("how", VECTORS)
def test_nothing_that_a_repository_configures_runs(place: Place, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    vector = VECTORS[how]
    commit = clean_commit(place.root)
    vector.arm(place)
    place.note.unlink(missing_ok=True)
    place.touch()
    with monkeypatch.context() as changed:
        for name, value in vector.environ(place).items():
            changed.setenv(name, value)
        everything_that_we_do(place, commit)
    assert not place.note.exists()
    place.touch()
    vector.control(place)
    assert place.note.exists(), "plain git does not run it either: this proves nothing"


def everything_that_we_do(place: Place, commit: str) -> None:
    """Run the git commands of `publish`, `put`, their dry runs and the push of a tag."""
    for step in (lambda: read_git_context(place.root), lambda: clean_commit(place.root)):
        with suppress(LocalProblem, UsageProblem):
            step()
    if (place.root / "inner").is_dir():
        with suppress(LocalProblem):
            read_git_context(place.root / "inner")
    project = Project(place.root, place.root / ".roar", place.root / ".roar" / "roar.db", Config({}))
    wanted = wanted_tag(PutRequest(project, (), "s3://bucket", "a message", push_asked=True), commit)
    assert wanted is not None
    make_tag(place.root, wanted)
    push_tag(place.root, wanted)


@pytest.mark.parametrize("bare", [True, False])
def test_nothing_is_pushed_to_a_folder_whose_configuration_names_hooks(place: Place, bare: bool) -> None:
    """git runs hooks of a configuration since 2.54; the remote's folder may have come with the project."""
    if not bare:
        place.remote.rename(place.root.parent / "aside")
        place.remote.mkdir()
        git("init", "--quiet", cwd=place.remote)
    place.config("hook.evil.event", "pre-receive", "hook.evil.command", str(place.program), cwd=place.remote)
    commit = clean_commit(place.root)
    wanted = Tag(tag_of(commit), commit, "origin", str(place.remote))
    assert make_tag(place.root, wanted) is None
    failure = push_tag(place.root, wanted)
    assert failure is not None
    assert "names programs" in failure.why
    assert not list(place.remote.rglob(commit))


def test_an_embedded_bare_repository_is_ignored(place: Place) -> None:
    VECTORS["an embedded bare repository"].arm(place)
    for bare in ("true", "false"):
        place.config("core.bare", bare, cwd=place.root / "inner")
        with pytest.raises(LocalProblem, match="bare repository"):
            read_git_context(place.root / "inner")


def test_a_git_that_takes_no_settings_from_its_environment_runs_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 2.31, git ignores those variables, with which a filter of the repository is replaced."""
    place.config("filter.evil.clean", str(place.program), "roar.probe", "true")
    place.attributes("* filter=evil\n")
    place.touch()
    older = place.root.parent / "bin" / "git"
    older.parent.mkdir()
    older.write_text(f'#!/bin/sh\nunset GIT_CONFIG_COUNT\nexec {shutil.which("git")} "$@"\n')
    older.chmod(0o755)
    monkeypatch.setenv("PATH", f"{older.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(LocalProblem, match="this git is too old"):
        clean_commit(place.root)
    assert not place.note.exists()
    place.plain("status", "--porcelain")
    assert place.note.exists(), "plain git does not run it either: this proves nothing"


def test_a_shallow_list_that_is_not_a_file_is_not_copied(place: Place) -> None:
    commit = clean_commit(place.root)
    wanted = Tag(tag_of(commit), commit, "origin", str(place.remote))
    make_tag(place.root, wanted)
    shallow = place.root / ".git" / "shallow"
    for target in ("/dev/zero", str(place.root.parent)):
        shallow.symlink_to(target)
        failure = push_tag(place.root, wanted)
        assert failure is not None
        assert "shallow" in failure.why
        shallow.unlink()


# ------------------------------------------------------------------------------- what git gets of our environment

SECRETS = {
    name: "our-secret"
    for name in (
        "AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN ROAR_ACCESS_TOKEN HF_TOKEN WANDB_API_KEY GITHUB_TOKEN GH_TOKEN"
        " OPENAI_API_KEY GOOGLE_APPLICATION_CREDENTIALS DATABASE_URL SSHPASS GIT_ASKPASS SSH_ASKPASS ROAR_SSH_KEY"
        " GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_TEMPLATE_DIR"
        " GIT_EXTERNAL_DIFF GIT_PAGER PAGER GIT_EDITOR EDITOR GIT_PROXY_COMMAND GIT_CONFIG"
        " GIT_CONFIG_PARAMETERS GIT_TRACE GIT_COMMON_DIR GIT_NAMESPACE"
        " GIT_ATTR_SOURCE GIT_SHALLOW_FILE LD_PRELOAD ENV BASH_ENV PYTHONPATH"
    ).split()
}


@pytest.mark.parametrize("access", GitAccess)
def test_the_environment_of_git_holds_no_secret(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, access: GitAccess
) -> None:
    """A program in place of git records its environment."""
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\nenv > {tmp_path / 'environment'}\n")
    fake.chmod(0o755)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/users")
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    run_git(place.root, "status", access=access)
    given = dict(line.split("=", 1) for line in (tmp_path / "environment").read_text().splitlines())
    assert "our-secret" not in given.values()
    assert (given["GIT_TERMINAL_PROMPT"], given["GIT_CONFIG_GLOBAL"]) == ("0", "/users")
    assert ("SSH_AUTH_SOCK" in given) is (access is GitAccess.REMOTE)


def test_relative_folders_are_removed_from_the_path() -> None:
    assert git_environment({"PATH": ".:/bin::bin:/usr/bin:./x"}, GitAccess.LOCAL)["PATH"] == "/bin:/usr/bin"


def test_a_tag_is_pushed_with_the_users_own_ssh_agent_and_credential_helper(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's ssh and credential helper are used, and get the agent's socket."""
    asked = tmp_path / "asked"
    ssh, helper = tmp_path / "ssh", tmp_path / "helper"
    ssh.write_text(f'#!/bin/sh\necho "$SSH_AUTH_SOCK $*" >> {asked}\nexec sh -c "git receive-pack {place.remote}"\n')
    helper.write_text(f"#!/bin/sh\necho helper >> {asked}\n")
    remote_http = tmp_path / "git-remote-asks"
    remote_http.write_text('#!/bin/sh\nprintf "url=https://x.example\\n\\n" | git credential fill >&2\nexit 1\n')
    for program in (ssh, helper, remote_http):
        program.chmod(0o755)
    (tmp_path / "home" / ".gitconfig").write_text(
        f"[core]\n\tsshCommand = {ssh}\n[credential]\n\thelper = {helper}\n[ssh]\n\tvariant = ssh\n"
    )
    place.config("core.sshCommand", str(place.program), "credential.helper", str(place.program))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/agent")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    commit = clean_commit(place.root)
    for url in ("ssh://git@host.example/repo", "asks://host.example/repo"):
        place.config("remote.origin.url", url)
        wanted = Tag(tag_of(commit), commit, "origin", url)
        make_tag(place.root, wanted)
        failure = push_tag(place.root, wanted)
        assert (failure is None) is url.startswith("ssh")
    lines = asked.read_text().splitlines()
    assert lines[0].startswith("/agent ")
    assert "git@host.example" in lines[0]
    assert lines[1:] == ["helper"]
    assert (place.remote / "refs" / "tags" / "roar" / commit).exists()
    assert not place.note.exists()
