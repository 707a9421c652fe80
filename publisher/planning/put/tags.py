"""Make and push the git tag of a put: `roar/<commit>` on its commit; pushed only if the user asks.

Nothing here waits for user input: git may not ask for passwords, and every command has a deadline. A failed push does
not delay the publish; the tag is recorded as a debt, with the command that pushes it.

Of the project's configuration, a push uses only the remote's address, which the plan shows. It runs in an empty
repository that borrows the project's objects, so only the user's own ssh, credential helpers and rewrites apply, and no
hook of the project runs.
"""

import os
import re
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from roar_publisher.lineage.config import Config
from roar_publisher.lineage.git.ownership import borrowed_from
from roar_publisher.lineage.git.repository import repository_of
from roar_publisher.lineage.git.run import NOT_RUN, GitAccess, GitResult, run_git
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.redaction.settings import OmitConfig
from roar_publisher.planning.put.hooks import configures_hooks, hook_settings
from roar_publisher.planning.put.request import PutRequest, Tag
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.source import opened

PREFIX = "roar/"
PUSH_SECONDS = 60.0
"""Seconds for a push to the remote."""
UNKNOWN_REMOTE = "an unspecified remote"
"""Shown instead of an address if there are several remotes and the configuration names none of them."""
_SHA256_DIGITS = 64
_SHALLOW_LIMIT = 16 * 1024 * 1024
"""The most bytes of the list of commits at which a clone's history was cut."""
_RECEIVE_IN_FOLDER = (
    "git -c core.hooksPath=/dev/null -c core.fsmonitor=false -c core.alternateRefsCommand=true -c receive.autogc=false"
    " -c gc.auto=0 receive-pack"
)
"""Receives a push to a local folder: git starts it as a new process, which does not inherit our settings."""
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_USERINFO = re.compile(r"(://)(?!git@)[^/\s@]*@")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://|:)")


class TagFailure(Struct, frozen=True):
    """A tag that could not be made or pushed: the reason, and the command that the user can type."""

    why: str
    command: str


def tag_of(commit: str) -> str:
    """Return the name of the tag of a commit."""
    return PREFIX + commit


def wanted_tag(request: PutRequest, commit: str) -> Tag | None:
    """Return the tag that a put from this commit makes; None with `--no-tag`, or if the configuration wants no tags.

    Raises LocalProblem for an invalid configuration, or a repository that git cannot read.
    """
    config = request.project.config
    enabled = _tagging_enabled(config) or request.push_asked
    if not (request.tag and enabled):
        return None
    table = config.table.get("git")
    never = isinstance(table, dict) and table.get("push_tags_on_register") == "never"
    push = request.push_asked or (request.push_configured and not never)
    remote = _remote(request.project.root, config.git_remote) if push else None
    return Tag(tag_of(commit), commit, *(remote or ("", "")))


def _tagging_enabled(config: Config) -> bool:
    """Return `[registration.tagging] enabled`, roar's own switch; the default is True.

    Raises LocalProblem if it is not a boolean. roar-cli 0.4.7 obeys it in `register` but not in `put`; here it applies
    to both.
    """
    value: object = config.table
    for name in ("registration", "tagging", "enabled"):
        value = value.get(name) if isinstance(value, Mapping) else value
        if value is None:
            return True
    if not isinstance(value, bool):
        raise LocalProblem(
            f"{config.source}: registration.tagging.enabled must be true or false",
            next_step=f"correct {config.source} and try again",
            reason=Reason.CONFIG,
        )
    return value


def make_tag(root: Path, tag: Tag) -> TagFailure | None:
    """Make the tag in the repository around `root`; an existing one is left as it is.

    Repeating is harmless.
    """
    command = shlex.join(["git", "tag", tag.name, tag.commit])
    if not _COMMIT.fullmatch(tag.commit) or tag.name != tag_of(tag.commit):
        return TagFailure("its name does not match its commit", command)
    try:
        repository_of(root)  # it may have changed since the plan, or the plan came from elsewhere
        settings = hook_settings(root)
    except LocalProblem as problem:
        return TagFailure(problem.what, command)
    ref = f"refs/tags/{tag.name}"
    if run_git(root, "show-ref", "--verify", "--quiet", ref).ok:
        return None
    # Plumbing: `git tag` would sign, with the program that a configuration names.
    made = run_git(root, "update-ref", ref, tag.commit, settings=settings)
    return None if made.ok else TagFailure(made.why, command)


def push_tag(root: Path, tag: Tag) -> TagFailure | None:
    """Push the tag to the remote that the plan showed. Do nothing for a tag without a remote.

    Repeating is harmless. A remote that is a folder may have come with the project. A folder inside the project is
    refused; in any other, no hook and no command runs.
    """
    if not tag.remote and not tag.url:
        return None
    ref = f"refs/tags/{tag.name}"
    command = shlex.join(["git", "push", tag.remote or "<remote>", ref])
    if not tag.remote:
        return TagFailure("the remote is ambiguous: name it with `roar config set git.remote <name>`", command)
    try:
        top = repository_of(root) or root
    except LocalProblem as problem:
        return TagFailure(problem.what, command)
    url = _push_url(root, tag.remote)
    if redact_url(url) != tag.url:
        return TagFailure(f"the address of the remote {tag.remote} is no longer the planned {tag.url}", command)
    target = _absolute(top, url)
    if target is None:
        return TagFailure("the remote is a folder of the project itself", command)
    if os.path.isabs(target) and configures_hooks(target):
        return TagFailure("the configuration of the remote's folder names programs that a push would run", command)
    try:
        pushed = _push(root, target, ref, tag.commit)
    except OSError as error:
        return TagFailure(f"no temporary folder can be used: {error.strerror}", command)
    return None if pushed.ok else TagFailure(redact_url(pushed.why), command)


def redact_url(text: str) -> str:
    """Return an address, or a text with addresses in it, without credentials, to be shown and stored."""
    return Redactor(OmitConfig()).text(_USERINFO.sub(r"\1", text))


def _remote(root: Path, preferred: str | None) -> tuple[str, str] | None:
    """Return the remote to push to and its address as shown.

    None without a remote; the name is "" if it is unclear which remote is meant.
    """
    remotes = run_git(root, "remote").output.split()
    if not remotes and not preferred:
        return None
    # With several remotes, pushing to `origin` because of its name would be a guess.
    name = preferred or (remotes[0] if len(remotes) == 1 else "")
    if name not in remotes:
        return "", UNKNOWN_REMOTE
    return name, redact_url(_push_url(root, name))


def _push_url(root: Path, remote: str) -> str:
    """Return the push address that the repository configures, without its rewrites; "" if there is none."""
    for name in (f"remote.{remote}.pushurl", f"remote.{remote}.url"):
        urls = run_git(root, "config", "--null", "--get-all", name).output.split("\0")
        if urls[0]:
            return urls[0]
    return ""


def _absolute(top: Path, url: str) -> str | None:
    """Return the address for a push from another folder; None if it is a folder in the work tree, or empty.

    top: the top of the work tree, from which git counts a relative address.
    """
    path = url.removeprefix("file://")
    if path == url and (_SCHEME.match(url) or ":" in url.partition("/")[0]):
        return url
    target = (top / path).resolve()
    return None if target.is_relative_to(top.resolve()) else str(target)


def _push(root: Path, url: str, ref: str, commit: str) -> GitResult:
    """Push the commit as `ref` from an empty repository that has the project's objects but none of its settings."""
    kind = "sha256" if len(commit) == _SHA256_DIGITS else "sha1"
    with tempfile.TemporaryDirectory(prefix="roar-push-", ignore_cleanup_errors=True) as name:
        folder, here = Path(name), f"--git-dir={name}"
        made = run_git(folder, "init", "--quiet", "--bare", "--template=", f"--object-format={kind}", ".")
        if made.ok:
            made = _borrow_objects(root, folder)
        if made.ok:
            made = run_git(folder, here, "update-ref", ref, commit)
        if not made.ok:
            return made
        options = ["--quiet"] + ([f"--receive-pack={_RECEIVE_IN_FOLDER}"] if os.path.isabs(url) else [])
        return run_git(folder, here, "push", *options, "--", url, ref, access=GitAccess.REMOTE, seconds=PUSH_SECONDS)


def _borrow_objects(root: Path, folder: Path) -> GitResult:
    """Make the repository in `folder` use the objects of the one around `root`, with its history cut at the same place.

    Returns the result of git's query for their location.
    """
    found = run_git(root, "rev-parse", "--git-path", "objects", "--git-path", "shallow")
    if found.ok:
        objects, shallow = (root / line for line in found.output.splitlines())
        if elsewhere := borrowed_from(objects):
            # A commit of the project may name any commit there as its parent, which would be pushed with it.
            return GitResult(
                NOT_RUN,
                "",
                f"it uses the objects of another repository, whose history may be pushed with it: {elsewhere}",
            )
        (folder / "objects" / "info").mkdir(parents=True, exist_ok=True)
        (folder / "objects" / "info" / "alternates").write_text(f"{objects.resolve()}\n", encoding="utf-8")
        if os.path.lexists(shallow):
            try:
                (folder / "shallow").write_text(_commits_in(shallow), encoding="ascii")
            except LocalProblem as error:
                return GitResult(NOT_RUN, "", error.what)
    return found


def _commits_in(shallow: Path) -> str:
    """Return the lines of git's file `shallow` that are commits; the file may be a link to anything."""
    with opened(str(shallow)) as (descriptor, stamp):
        if stamp.size > _SHALLOW_LIMIT:
            raise LocalProblem(f"{shallow} has {stamp.size:,} bytes, more than {_SHALLOW_LIMIT:,}", reason=Reason.GIT)
        with os.fdopen(descriptor, encoding="ascii", errors="replace", closefd=False) as file:
            lines = file.read(_SHALLOW_LIMIT).splitlines()
    return "".join(f"{line}\n" for line in lines if _COMMIT.fullmatch(line))
