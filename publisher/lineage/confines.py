"""Whether the repository that git finds for a folder is that folder's own.

A project that came with an archive brings its `.git` along, and that may lead to another repository of this user: by a
file or a link in its place, by `commondir`, by links in it, by `core.worktree`, or by an included configuration.  git
follows all of them, so the commit, the branch and the address of the other repository would be published as the
project's, and a tag would be made there.

A work tree of `git worktree` and a submodule have their repository elsewhere, too: it says so itself, which only its
owner can have written.
"""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from roar_publisher.lineage.git import run_git
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.regular import read_bounded

LONGEST_POINTER = 64 * 1024
"""Bytes of a file that holds a path."""
_NOT_READ = frozenset({"annex", "hooks", "lfs", "logs", "modules", "worktrees"})
"""Folders of a repository that none of our commands reads."""
_OF_THE_REPOSITORY = ("local", "worktree")
_ADDRESSES = r"^(remote|url)\."
_NOT_SET = 1
"""git's exit code for a configuration without such a name."""


def refuse_elsewhere(folder: Path, top: Path) -> None:
    """Raise LocalProblem where what git reads for `folder` belongs to another place.  top: its work tree, as git says.

    Touches the disk: it looks at every name in the repository, and opens none of the objects.
    """
    top = _real(top)
    if not _real(folder).is_relative_to(top):
        raise _elsewhere(folder, top)
    asked = run_git(folder, "rev-parse", "--absolute-git-dir", "--git-common-dir")
    if not asked.ok:
        raise _elsewhere(folder, top)
    own, common = (_real(folder / line) for line in asked.output.splitlines())
    if own != top / ".git" and not _points_back(own, common, top):
        raise _elsewhere(folder, own, remedy=_say_so(own, common, top))
    if common not in (own, own.parent.parent) or (common != own and own.parent.name != "worktrees"):
        raise _elsewhere(folder, common)
    inside = (top, own, common)
    for path in (*_links(own), *(_links(common) if common != own else ())):
        _refuse_outside(folder, path, inside)
    for file in _files_with_addresses(folder):
        _refuse_outside(folder, file, inside)


def borrowed_from(objects: Path) -> str:
    """The first line of the list of other repositories whose objects are used, too; empty where there is none."""
    try:
        text = read_bounded(objects / "info" / "alternates", LONGEST_POINTER).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or "a list that cannot be read"
    return next((line for line in text.splitlines() if line and not line.startswith("#")), "")


def _points_back(own: Path, common: Path, top: Path) -> bool:
    """Whether a repository elsewhere says that `top` is its work tree."""
    if common != own:
        return _real(own / _text(own / "gitdir")) == top / ".git"
    said = run_git(own, f"--git-dir={own}", "config", "--no-includes", "--file", "config", "--get", "core.worktree")
    return said.ok and _real(own / said.output.removesuffix("\n")) == top


def _links(repository: Path) -> Iterator[Path]:
    """The links in a repository, in what our commands read."""
    for place, folders, files in os.walk(repository):
        if Path(place) == repository:
            folders[:] = [name for name in folders if name not in _NOT_READ]
        yield from (path for name in (*folders, *files) if (path := Path(place, name)).is_symlink())


def _files_with_addresses(folder: Path) -> Iterator[Path]:
    """The files of the repository's own configuration, included ones too, that say where remotes are."""
    command = ("config", "--null", "--show-scope", "--show-origin", "--get-regexp", _ADDRESSES)
    answer = run_git(folder, *command)
    if not answer.ok:
        if answer.code == _NOT_SET and not answer.complaint:
            return
        raise _elsewhere(folder, folder)
    fields = answer.output.split("\0")
    for scope, origin in zip(fields[::3], fields[1::3], strict=False):
        if scope in _OF_THE_REPOSITORY:
            yield folder / origin.removeprefix("file:")


def _refuse_outside(folder: Path, path: Path, inside: tuple[Path, ...]) -> None:
    found = _real(path)
    if not any(found.is_relative_to(place) for place in inside):
        raise _elsewhere(folder, found, by=path)


def _text(path: Path) -> str:
    try:
        return read_bounded(path, LONGEST_POINTER).decode("utf-8", "replace").removesuffix("\n")
    except OSError:
        return ""


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _say_so(own: Path, common: Path, top: Path) -> str:
    command = ["git", f"--git-dir={own}", "config", "core.worktree", str(top)]
    if common != own:
        command = ["git", f"--git-dir={common}", "worktree", "repair", str(top)]
    return f"if that is this folder's repository, say so there: {shlex.join(command)}; then type the same again"


def _elsewhere(folder: Path, real: Path, *, by: Path | None = None, remedy: str = "") -> LocalProblem:
    through = f" by {by}" if by is not None else ""
    return LocalProblem(
        f"the git repository of {folder} leads to another place{through}: {real}",
        kept="Nothing was sent: the commit and the address of that place may be another project's.",
        next_step=remedy or "see where it leads to; a clone of its own (`git clone`) has everything in one place",
        reason=Reason.GIT,
    )
