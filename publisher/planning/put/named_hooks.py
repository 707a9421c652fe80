"""Hooks that a configuration names (`hook.<name>.command`), which git runs from 2.54 on wherever `core.hooksPath` is.

There is no setting that switches all of them off: `hook.<event>.enabled` (2.55) is not heeded where a repository gives
a hook that name.  `hook.<name>.enabled` always is, so the names are listed first.
"""

from collections.abc import Iterator
from pathlib import Path

from roar_publisher.lineage.git import Answer, run_git
from roar_publisher.lineage.repository import unreadable

_OF_THE_REPOSITORY = ("local", "worktree")
_LIST = ("config", "--null", "--show-scope", "--get-regexp", r"^hook\..*\.")
_NOT_SET = 1
"""git's exit code for a configuration without such a name."""
_PLACES = ("/.git", "", ".git/.git", ".git")
"""What git adds to the path of a remote until it finds a repository."""


def without_hooks(top: Path) -> dict[str, str]:
    """Return the settings that switch off what the repository in `top` names.

    Raises LocalProblem if git cannot read it.
    """
    answer = run_git(top, *_LIST)
    if not answer.ok and (answer.code != _NOT_SET or answer.complaint):
        raise unreadable(top, answer)
    return {f"{hook}.enabled": "false" for hook in _named(answer)}


def names_hooks(remote: str) -> bool:
    """Whether the repository in a folder, as git finds it for a push, names hooks of its own."""
    found = (f"{remote}{place}" for place in _PLACES)
    return any(any(_named(run_git(Path("/"), f"--git-dir={path}", *_LIST))) for path in found if Path(path).exists())


def _named(answer: Answer) -> Iterator[str]:
    fields = answer.output.split("\0")
    for scope, entry in zip(fields[::2], fields[1::2], strict=False):
        if scope in _OF_THE_REPOSITORY:
            yield entry.partition("\n")[0].rpartition(".")[0]
