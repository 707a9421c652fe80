"""Switch off the hooks that a configuration names (`hook.<name>.command`).

git runs them since 2.54, whatever `core.hooksPath` is. No setting switches all of them off: git ignores
`hook.<event>.enabled` (2.55) if a repository gives a hook that name. `hook.<name>.enabled` always applies, so the names
are listed first.
"""

from collections.abc import Iterator
from pathlib import Path

from roar_publisher.lineage.git.run import GitResult, run_git, unreadable

_OF_THE_REPOSITORY = ("local", "worktree")
_LIST = ("config", "--null", "--show-scope", "--get-regexp", r"^hook\..*\.")
_SUFFIXES = ("/.git", "", ".git/.git", ".git")
"""What git adds to the path of a remote until it finds a repository."""


def hook_settings(top: Path) -> dict[str, str]:
    """Return the settings that switch off the hooks that the repository in `top` names.

    Raises LocalProblem if git cannot read it.
    """
    result = run_git(top, *_LIST)
    if not (result.ok or result.not_set):
        raise unreadable(top, result)
    return {f"{hook}.enabled": "false" for hook in _named(result)}


def configures_hooks(remote: str) -> bool:
    """Return whether the repository in a folder, as git finds it for a push, names hooks."""
    found = (f"{remote}{suffix}" for suffix in _SUFFIXES)
    return any(any(_named(run_git(Path("/"), f"--git-dir={path}", *_LIST))) for path in found if Path(path).exists())


def _named(result: GitResult) -> Iterator[str]:
    fields = result.output.split("\0")
    for scope, entry in zip(fields[::2], fields[1::2], strict=False):
        if scope in _OF_THE_REPOSITORY:
            yield entry.partition("\n")[0].rpartition(".")[0]
