"""Check that the repository that git finds for a folder belongs to that folder.

A project that came in an archive has its own `.git`, which may lead to another repository of this user: by a file or a
link in its place, by `commondir`, by links in it, by `core.worktree`, or by an included configuration. git follows all
of them, so the commit, the branch and the address of the other repository would be published as the project's, and a
tag would be made there.

A work tree of `git worktree` and a submodule also have their repository elsewhere. That repository names the work tree
in its own files, which only its owner can have written.
"""

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from roar_publisher.lineage.git.run import run_git, unreadable
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import read_bounded

POINTER_LIMIT = 64 * 1024
"""The most bytes of a file that holds a path."""
_NOT_READ = frozenset({"annex", "hooks", "lfs", "logs", "modules", "worktrees"})
"""Folders of a repository that none of our commands reads."""
_OF_THE_REPOSITORY = ("local", "worktree")
_ADDRESSES = r"^(remote|url)\."


def refuse_foreign_repository(folder: Path, top: Path, own: Path, common: Path) -> None:
    """Raise LocalProblem if the repository that git reads for `folder` belongs to another folder.

    top: the work tree that git reports. own: its repository. common: the one that holds the objects of all work trees.

    Touches the disk: reads every name in the repository, and opens none of the objects.
    """
    top, own, common = _real(top), _real(own), _real(common)
    if not _real(folder).is_relative_to(top):
        raise _foreign_repository(folder, top)
    if own != top / ".git" and not _points_back(own, common, top):
        raise _foreign_repository(folder, own, remedy=_ownership_remedy(own, common, top))
    if common not in (own, own.parent.parent) or (common != own and own.parent.name != "worktrees"):
        raise _foreign_repository(folder, common)
    inside = (top, own, common)
    for path in (*_links(own), *(_links(common) if common != own else ())):
        _refuse_outside(folder, path, inside)
    for file in _files_with_addresses(top):
        _refuse_outside(folder, file, inside)


def borrowed_from(objects: Path) -> str:
    """Return the first other repository whose objects this one uses, or "" if there is none."""
    try:
        text = read_bounded(objects / "info" / "alternates", POINTER_LIMIT).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or "an unreadable list"
    return next((line for line in text.splitlines() if line and not line.startswith("#")), "")


def _points_back(own: Path, common: Path, top: Path) -> bool:
    """Return whether a repository elsewhere names `top` as its work tree."""
    if common != own:
        return _real(own / _text(own / "gitdir")) == top / ".git"
    for file in ("config", "config.worktree"):  # a sparse checkout moves it to the second one
        named = run_git(own, f"--git-dir={own}", "config", "--no-includes", "--file", file, "--get", "core.worktree")
        if named.ok and _real(own / named.output.removesuffix("\n")) == top:
            return True
    return False


def _links(repository: Path) -> Iterator[Path]:
    """Yield the links in the parts of a repository that our commands read."""
    for folder, folders, files in os.walk(repository):
        if Path(folder) == repository:
            folders[:] = [name for name in folders if name not in _NOT_READ]
        yield from (path for name in (*folders, *files) if (path := Path(folder, name)).is_symlink())


def _files_with_addresses(top: Path) -> Iterator[Path]:
    """Yield the files of the repository's configuration, including included ones, that hold addresses of remotes.

    top: the work tree, from which git counts the paths, also if it is started below it.
    """
    command = ("config", "--null", "--show-scope", "--show-origin", "--get-regexp", _ADDRESSES)
    result = run_git(top, *command)
    if not result.ok:
        if result.not_set:
            return
        raise unreadable(top, result)
    fields = result.output.split("\0")
    for scope, origin in zip(fields[::3], fields[1::3], strict=False):
        if scope in _OF_THE_REPOSITORY:
            yield top / origin.removeprefix("file:")


def _refuse_outside(folder: Path, path: Path, inside: tuple[Path, ...]) -> None:
    found = _real(path)
    if not any(found.is_relative_to(place) for place in inside):
        raise _foreign_repository(folder, found, by=path)


def _text(path: Path) -> str:
    try:
        return read_bounded(path, POINTER_LIMIT).decode("utf-8", "replace").removesuffix("\n")
    except OSError:
        return ""


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _ownership_remedy(own: Path, common: Path, top: Path) -> str:
    command = ["git", f"--git-dir={own}", "config", "core.worktree", str(top)]
    if common != own:
        command = ["git", f"--git-dir={common}", "worktree", "repair", str(top)]
    return f"if it is this folder's repository, type: {shlex.join(command)}; then repeat the command"


def _foreign_repository(folder: Path, real: Path, *, by: Path | None = None, remedy: str = "") -> LocalProblem:
    through = f" through {by}" if by is not None else ""
    return LocalProblem(
        f"the git repository of {folder} leads to another folder{through}: {real}",
        kept="Nothing was sent, because that folder's commit and address may belong to another project.",
        next_step=remedy or "check where it leads; a clone (`git clone`) has everything in one folder",
        reason=Reason.GIT,
    )
