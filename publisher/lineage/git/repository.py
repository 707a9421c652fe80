"""Find the git repository around a folder, and the commit that is checked out there.

It is not an error if there is no repository, or none with a commit. It is an error if git cannot read an existing
repository (another owner, a disk failure, git not installed), because lineage without its commit has another hash.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from roar_publisher.lineage.git.ownership import refuse_foreign_repository
from roar_publisher.lineage.git.run import GIT_TOO_OLD, NOT_RUN, GitResult, run_git, unreadable

_PARTS = ("HEAD", "objects", "refs", "config")
"""The contents of a repository's folder `.git`; if all are missing, git does not take it for a repository."""
_NOT_SYMBOLIC = 1
"""git's exit code if HEAD names a commit and no branch."""


def repository_of(folder: Path) -> Path | None:
    """Return the root of the repository around `folder`, or None if there is none.

    Raises LocalProblem if git cannot read it, or if it belongs to another folder (`ownership`).
    """
    place = next(_repositories_above(folder), None)
    if place is None:
        return None
    result = run_git(folder, "rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir")
    if not result.ok:
        raise unreadable(place, result)
    match result.output.removesuffix("\n").split("\n"):
        case [_, "--absolute-git-dir", _]:  # git before 2.13 prints an option that it does not know
            raise unreadable(place, GitResult(NOT_RUN, "", GIT_TOO_OLD))
        case [top, own, common]:
            refuse_foreign_repository(folder, Path(top), folder / own, folder / common)
            return Path(top)
    raise unreadable(place, GitResult(NOT_RUN, "", "there is a line break in the name of a folder"))


def head_of(folder: Path) -> str | None:
    """Return the commit that is checked out in the repository around `folder`, or None if it has no commit yet.

    Raises LocalProblem if git cannot read it.
    """
    found = commit_and_branch(folder)
    return found[0] if found else None


def commit_and_branch(folder: Path) -> tuple[str, str] | None:
    """Return the commit like `head_of`, with its branch (`HEAD` when detached), or None if there is no commit yet."""
    both = run_git(folder, "rev-parse", "HEAD^{commit}", "--abbrev-ref", "HEAD")
    if both.ok:
        commit, _newline, branch = both.output.strip().partition("\n")
        return commit, branch or _branch_by_head_alone(folder)
    _explain_missing_commit(folder)
    return None


def _branch_by_head_alone(folder: Path) -> str:
    """Return the branch, for a repository with a branch or tag named HEAD, of which git finds no short name."""
    result = run_git(folder, "symbolic-ref", "--quiet", "HEAD")
    if not result.ok and result.code != _NOT_SYMBOLIC:
        raise unreadable(folder, result)
    return result.output.strip().removeprefix("refs/heads/") or "HEAD"


def _explain_missing_commit(folder: Path) -> None:
    """Raise LocalProblem unless the repository merely has no commit yet."""
    result = run_git(folder, "rev-parse", "--verify", "HEAD^{commit}")
    # git reports a branch without a commit and one whose file is damaged in the same way.
    branch = run_git(folder, "symbolic-ref", "--quiet", "HEAD")
    if branch.ok:
        there = run_git(folder, "for-each-ref", branch.output.strip())
        if there.ok and not (there.output or there.complains):
            return
        result = there if there.complains else result
    raise unreadable(folder, result)


def _repositories_above(folder: Path) -> Iterator[Path]:
    """Yield the folders, from `folder` upwards, in which git would find what looks like a repository."""
    start = Path(os.path.realpath(folder))
    ceilings = os.environ.get("GIT_CEILING_DIRECTORIES", "").split(os.pathsep)
    anywhere = os.environ.get("GIT_DISCOVERY_ACROSS_FILESYSTEM", "").lower() in ("1", "true", "yes", "on")
    device = _device(start)
    for place in (start, *start.parents):
        if place != start and (str(place) in ceilings or (not anywhere and _device(place) != device)):
            return
        if _seems_repository(place / ".git"):
            yield place


def _seems_repository(path: Path) -> bool:
    """Return whether git may take it for a repository; True if it cannot be examined, so that git decides."""
    try:
        os.stat(path)
        if path.is_dir():
            return any(os.path.lexists(path / part) for part in _PARTS)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _device(place: Path) -> int | None:
    try:
        return os.stat(place).st_dev
    except OSError:
        return None
