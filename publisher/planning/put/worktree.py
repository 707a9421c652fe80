"""Find the commit that a put's files come from, and checks that the work tree matches it.

`git status` reads files, so it would run the filters that a repository configures for them. A filter from the user's
own configuration (git-lfs) is used. A filter from the repository's is replaced by the user's of that name, or by none.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from roar_publisher.lineage.git.repository import head_of, repository_of
from roar_publisher.lineage.git.run import NO_SETTINGS, GitResult, run_git, unreadable
from roar_publisher.planning.put.hooks import hook_settings
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.source import shown

STATUS_SECONDS = 60.0
"""Seconds that git may take to compare the work tree with the commit."""
MOST_NAMED = 3
"""How many changed files an error names."""
STATUS_COLUMNS = 3
"""Characters before a path in what `git status` prints."""
RENAMED = frozenset("RC")
_OF_THE_REPOSITORY = ("local", "worktree")
_SUBMODULE_MODE = "160000 "
_LFS = "filter.lfs."


def clean_commit(root: Path) -> str:
    """Return the commit that is checked out, if the work tree, including submodules, has no other changes.

    A put records which commit its files come from. Raises UsageProblem for uncommitted changes, and LocalProblem if
    there is no commit or git cannot read the repository.
    """
    top = repository_of(root)
    commit = head_of(top) if top is not None else None
    if top is None or commit is None:
        raise LocalProblem(
            f"{root} is not in a git repository with a commit",
            next_step="commit the code that made the files, then put them",
            reason=Reason.NO_COMMIT,
        )
    if changed := list(_changed(top)):
        paths = ", ".join(shown(path) for path in changed[:MOST_NAMED])
        more = f" and {len(changed) - MOST_NAMED:,} more" if len(changed) > MOST_NAMED else ""
        raise UsageProblem(
            f"the repository has uncommitted changes ({paths}{more}), "
            "and a put records which commit its files come from",
            next_step=_remedy(top),
        )
    return commit


def _remedy(top: Path) -> str:
    """Return what to do about uncommitted changes.

    What differs only because a filter, such as git-lfs, is left out is no change for `git status`: committing it does
    not help.
    """
    usual = "list files that are not code in .gitignore, commit the others, then put again"
    off = {
        shown(name.removeprefix("filter.").rpartition(".")[0])
        for name, value in _without_filters(top).items()
        if not value and name.endswith((".clean", ".process"))
    }
    if not off:
        return usual
    install = "git lfs install" if off == {"lfs"} else "git config --global filter.NAME.clean …"
    return (
        f"if `git status` shows no changes, configure {', '.join(sorted(off))} for yourself ({install}), because"
        f" a filter of the repository alone is not run; otherwise {usual}"
    )


def _changed(top: Path) -> Iterator[str]:
    """Yield the paths below `top` that differ from the commit, or that it does not have."""
    # git itself would run in each submodule under that submodule's configuration.
    settings = _without_filters(top) | hook_settings(top)
    status = _read(top, "status", "--porcelain=v1", "-z", "--ignore-submodules=dirty", settings=settings)
    entries = iter(status.split("\0"))
    for entry in entries:
        if entry:
            yield entry[STATUS_COLUMNS:]
            if RENAMED & {*entry[:STATUS_COLUMNS]}:
                next(entries, None)  # the name that it had
    for submodule in _submodules(top):
        yield from (str(submodule.relative_to(top) / path) for path in _changed(submodule))


def _submodules(top: Path) -> list[Path]:
    """Return the submodules that are checked out."""
    entries = _read(top, "ls-files", "--stage", "-z").split("\0")
    paths = [top / entry.partition("\t")[2] for entry in entries if entry.startswith(_SUBMODULE_MODE)]
    return [path for path in paths if not path.is_symlink() and os.path.lexists(path / ".git")]


def _without_filters(top: Path) -> dict[str, str]:
    """Return settings that replace the repository's filters with the user's own, or with none."""
    listed = run_git(top, "config", "--show-scope", "--null", "--get-regexp", r"^(filter|lfs\.extension)\.")
    if listed.not_set:
        return {}
    fields = _checked(top, listed).split("\0")
    users: dict[str, str] = {}
    replaced: set[str] = set()
    extended = False
    for scope, entry in zip(fields[::2], fields[1::2], strict=False):
        name, _newline, value = entry.partition("\n")
        if name.startswith("lfs."):
            extended |= scope in _OF_THE_REPOSITORY
        elif scope in _OF_THE_REPOSITORY:
            replaced.add(name)
        else:
            users[name] = value
    if extended:
        # git-lfs, although the user's, would run the programs that the repository extends it with.
        users = {name: value for name, value in users.items() if not name.startswith(_LFS)}
        replaced |= {_LFS + part for part in ("clean", "smudge", "process")}
    settings = {name: users.get(name, "") for name in replaced}
    # A driver without a command converts nothing, but a required one would fail.
    optional = {f"{name.rpartition('.')[0]}.required": "false" for name, value in settings.items() if not value}
    return settings | optional


def _read(top: Path, *arguments: str, settings: Mapping[str, str] = NO_SETTINGS) -> str:
    return _checked(top, run_git(top, *arguments, settings=settings, seconds=STATUS_SECONDS))


def _checked(top: Path, result: GitResult) -> str:
    if not result.ok:
        raise unreadable(top, result)
    return result.output
