"""Read the repository, commit and branch that a lineage is published for (`protocol.md §7`).

Runs only local `git` commands, without network access. A remote that others cannot fetch from (a `file://` URL, a local
path) is dropped, because it would only reveal how this machine's disk is laid out.
"""

from pathlib import Path

from msgspec import Struct

from roar_publisher.lineage.git.repository import commit_and_branch, repository_of
from roar_publisher.lineage.git.run import run_git, unreadable

_SHAREABLE_SCHEMES = ("http://", "https://", "git://", "ssh://")
_NO_SUCH_REMOTE = 2
"""git's exit code for a remote without a URL."""


class GitContext(Struct, frozen=True):
    """The repository's URL, the commit that is checked out, and its branch (`HEAD` when detached).

    Each is None if the project has none.
    """

    repo: str | None
    commit: str | None
    branch: str | None


def read_git_context(folder: Path, preferred_remote: str | None = None) -> GitContext:
    """Return the git context of `folder`, all None outside a repository.

    preferred_remote: a remote's name (`[git] remote` of the configuration), used instead of `origin` or an only remote.

    The URL still holds credentials; `Redactor.git_url` removes them. Raises LocalProblem if git cannot read the
    repository; a temporary failure is retried first.
    """
    root = repository_of(folder)
    if root is None:
        return GitContext(None, None, None)
    commit, branch = commit_and_branch(root) or (None, None)
    return GitContext(repo=_remote_url(root, preferred_remote), commit=commit, branch=branch)


def describe_missing_git(repo: str | None, commit: str | None) -> str:
    """Return a sentence about the git facts that a lineage lacks, and why; "" if it has all."""
    if commit is None:
        return "the lineage names no git commit: the project is not in a git repository, or that has no commit"
    if repo is None:
        return "the lineage names no git repository: the project has no remote that others can fetch from"
    return ""


def is_shareable(url: str) -> bool:
    """Return whether others can fetch from this remote: a network URL, or scp's `user@host:path`."""
    if url.strip().startswith(_SHAREABLE_SCHEMES):
        return True
    user, at, rest = url.partition("@")
    return bool(at) and ":" in rest and "/" not in user


def _remote_url(root: Path, preferred: str | None) -> str | None:
    remotes = (_read(root, "remote") or "").splitlines()
    if preferred in remotes:
        name = preferred
    elif "origin" in remotes:
        name = "origin"
    elif len(remotes) == 1:
        name = remotes[0]
    else:
        return None
    result = run_git(root, "remote", "get-url", "--", name)
    if not result.ok and result.code != _NO_SUCH_REMOTE:
        raise unreadable(root, result)
    url = result.output.strip()
    return url if result.ok and is_shareable(url) else None


def _read(root: Path, *arguments: str) -> str | None:
    result = run_git(root, *arguments)
    if not result.ok:
        raise unreadable(root, result)
    return result.output.strip() or None
