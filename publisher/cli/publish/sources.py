"""The sources of a put that are typed in a subfolder of the project."""

import os
from pathlib import Path

from roar_publisher.lineage.config import ROAR_FOLDER
from roar_publisher.lineage.project import find_project
from roar_publisher.state.errors import LocalProblem, UsageProblem


def from_root(sources: tuple[str, ...], cwd: Path) -> tuple[str, ...]:
    """Return the sources with their paths from the project's root, from where a put resolves them.

    What is in the current folder is meant as the shell completes it. What is not there counts from the root, as in the
    recorded command of a put. Raises UsageProblem for a path that exists in both places, unless it begins with a dot.
    """
    if os.path.isdir(cwd / ROAR_FOLDER):
        return sources
    try:
        root = find_project(cwd).root
    except LocalProblem:  # it is reported where the project is needed; a resume may need none
        return sources
    return tuple(_from_root(source, cwd, root) for source in sources)


def _from_root(typed: str, cwd: Path, root: Path) -> str:
    here, there = os.path.normpath(cwd / typed), os.path.normpath(root / typed)
    if typed.startswith("@") or here == there or not os.path.lexists(here):
        return typed
    if os.path.lexists(there) and typed.partition("/")[0] not in (os.curdir, os.pardir):
        raise UsageProblem(
            f"{typed} is in this folder and in the project's root",
            kept="Nothing was sent or kept.",
            next_step=f"name ./{typed}, or {there}",
        )
    return os.path.relpath(here, root)
