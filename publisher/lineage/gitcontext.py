"""Which commit of which repository a lineage is published for (`protocol.md §7`).

Asks the local `git` only; nothing here reaches for the network.  A remote that nobody else could fetch from (a
`file://` URL, a local path) is dropped: it would only tell how this machine's disk is laid out.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_SHAREABLE_SCHEMES = ("http://", "https://", "git://", "ssh://")
_GIT_TIMEOUT = 30.0
"""Seconds that one git command may take (a network file system can hang)."""


@dataclass(frozen=True, slots=True)
class GitContext:
    """The repository's URL, the commit that is checked out, and its branch (`HEAD` when detached).

    Each is None where git has none to tell.
    """

    repo: str | None
    commit: str | None
    branch: str | None


def read_git_context(folder: Path, preferred_remote: str | None = None) -> GitContext:
    """The git context of `folder`, all None outside of a repository or without git.

    preferred_remote: a remote's name (`[git] remote` of the configuration) that wins over `origin` and an only remote.
    Credentials in the URL are still there: `Redactor.git_url` takes them out.
    """
    if _git(folder, "rev-parse", "--show-toplevel") is None:
        return GitContext(None, None, None)
    return GitContext(
        repo=_remote_url(folder, preferred_remote),
        commit=_git(folder, "rev-parse", "--verify", "HEAD"),
        branch=_git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
    )


def is_shareable(url: str) -> bool:
    """Whether others can fetch from this remote: a network URL, or scp's `user@host:path`."""
    if url.strip().startswith(_SHAREABLE_SCHEMES):
        return True
    user, at, rest = url.partition("@")
    return bool(at) and ":" in rest and "/" not in user


def _remote_url(folder: Path, preferred: str | None) -> str | None:
    remotes = (_git(folder, "remote") or "").splitlines()
    if preferred in remotes:
        name = preferred
    elif "origin" in remotes:
        name = "origin"
    elif len(remotes) == 1:
        name = remotes[0]
    else:
        return None
    url = _git(folder, "remote", "get-url", name)
    return url if url and is_shareable(url) else None


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints, stripped; None where git fails, is missing, or hangs."""
    # A variable that points git elsewhere (set inside a hook) must not choose the repository for us.
    environ = {name: value for name, value in os.environ.items() if name not in ("GIT_DIR", "GIT_WORK_TREE")}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=_GIT_TIMEOUT,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace").strip() or None
