"""Git tags of a put: `roar/<commit>` on the commit that it was made from, here and at the remote.

Nothing here ever waits for a person: git may not ask for passwords, and every command has a deadline.  A remote that
does not take the tag delays nobody; the tag is owed, with the command that pays it.
"""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roar_publisher.lineage.project import Config, Project
from roar_publisher.put.objects import PutRequest, Tag
from roar_publisher.state.errors import LocalProblem, UsageProblem

PREFIX = "roar/"
LOCAL_SECONDS = 30.0
"""Seconds that a git command may take on this machine."""
PUSH_SECONDS = 60.0
"""Seconds that a remote has to take the tags."""
_SHOWN = 200
"""Characters of git's own complaint that are passed on."""


@dataclass(frozen=True, slots=True)
class Owed:
    """Tags that could not be made or pushed: why, and what to type."""

    why: str
    command: str


def tag_of(commit: str) -> str:
    """The name of the tag of a commit."""
    return PREFIX + commit


def wanted_tag(request: PutRequest, commit: str) -> Tag | None:
    """The tag that a put from this commit makes; None with `--no-tag`, or where the configuration wants no tags.

    Raises LocalProblem for a configuration that makes no sense.
    """
    enabled = tagging_enabled(request.project.config)
    return Tag(tag_of(commit), commit) if request.tag and enabled else None


def tagging_enabled(config: Config) -> bool:
    """`[registration.tagging] enabled`: roar's own switch, on unless it says otherwise.

    roar-cli 0.4.7 reads it when it registers and forgets it when it puts; here it holds for both.
    """
    value: object = config.table
    for name in ("registration", "tagging", "enabled"):
        value = value.get(name) if isinstance(value, Mapping) else value
        if value is None:
            return True
    if not isinstance(value, bool):
        raise LocalProblem(
            f"{config.source}: registration.tagging.enabled must be true or false.",
            next_step=f"Mend {config.source} and try again.",
            reason="config",
        )
    return value


def committed(root: Path) -> str:
    """The commit that is checked out, if everything in the working tree is in it.

    Raises UsageProblem for uncommitted changes, LocalProblem where there is no commit or no git: a put says which
    commit its files come from.
    """
    commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD", seconds=LOCAL_SECONDS)
    if commit.returncode:
        raise LocalProblem(
            f"{root} is in no git repository with a commit.",
            next_step="Commit the code that made the files, then put them.",
            reason="no commit",
        )
    status = _git(root, "status", "--porcelain=v1", seconds=LOCAL_SECONDS)
    if status.returncode or status.stdout:
        raise UsageProblem(
            "The repository has uncommitted changes; a put tells which commit its files come from.",
            next_step="Commit them (or list what is no code in .gitignore), then put again.",
        )
    return commit.stdout.strip()


def make_tags(root: Path, tags: tuple[Tag, ...]) -> Owed | None:
    """Make the tags in the repository; those that are there already are left as they are."""
    for tag in tags:
        if _exists(root, tag):
            continue
        made = _git(root, "tag", "--", tag.name, tag.commit, seconds=LOCAL_SECONDS)
        if made.returncode and not _exists(root, tag):  # somebody else may have been faster
            return Owed(_complaint(made), f"git tag {tag.name} {tag.commit}")
    return None


def push_tags(project: Project, tags: tuple[Tag, ...]) -> Owed | None:
    """Push the tags to the remote that the configuration means; repeating it is harmless.

    Does nothing where there is no remote, or `[git] push_tags_on_register` is `never`.
    """
    table = project.config.table.get("git")
    never = isinstance(table, dict) and table.get("push_tags_on_register") == "never"
    remotes = _git(project.root, "remote", seconds=LOCAL_SECONDS).stdout.split()
    if never or not tags or not (remotes or project.config.git_remote):
        return None
    names = [f"refs/tags/{tag.name}" for tag in tags]
    remote = project.config.git_remote or (remotes[0] if len(remotes) == 1 else None)
    command = f"git push {remote or '<remote>'} {' '.join(names)}"
    if remote not in remotes:
        return Owed("it is not clear which remote: name it with `roar config set git.remote <name>`", command)
    pushed = _git(project.root, "push", "--quiet", remote, *names, seconds=PUSH_SECONDS)
    return Owed(_complaint(pushed), command) if pushed.returncode else None


def _exists(root: Path, tag: Tag) -> bool:
    name = f"refs/tags/{tag.name}"
    return not _git(root, "show-ref", "--verify", "--quiet", name, seconds=LOCAL_SECONDS).returncode


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stderr.split())[:_SHOWN] or f"git ended with {done.returncode}"


def _git(root: Path, *arguments: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """Run git; a failure to run it at all is a failure of its own, with a complaint."""
    command = ["git", *arguments]
    try:
        with subprocess.Popen(
            command,
            cwd=root,
            env=_environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # no terminal to ask on, and a group of its own to end
        ) as process:
            try:
                output, complaint = process.communicate(timeout=seconds)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)  # git's helpers, too: they would outlive it
                raise
        return subprocess.CompletedProcess(command, process.returncode, output, complaint)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, -1, "", f"no answer within {seconds:.0f} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, -1, "", str(error))


def _environ() -> dict[str, str]:
    # Variables that point git elsewhere (set inside a hook) must not choose the repository for us.
    environ = {name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE")}
    environ |= {"GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "SSH_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never"}
    environ.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes")
    return environ
