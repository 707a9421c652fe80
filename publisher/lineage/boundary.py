"""Finds paths that lie in a project but lead out of it.

A project may have come with a clone or an archive. A link in it, or a path in its roar.db, can lead to any file of this
user. Such a file is published only if the user names the file itself or passes `--follow-links`.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from roar_publisher.lineage.project import Project
from roar_publisher.state.errors import UsageProblem

FOLLOW = "--follow-links"
_LISTED = 5
"""The most paths that an error lists."""


@dataclass(frozen=True, slots=True)
class Escape:
    """A path of the project, and the place outside that it leads to."""

    path: Path
    real: Path


def leaving(path: Path, inside: Sequence[Path]) -> Escape | None:
    """Return the path and its real path, or None if that lies in one of the folders `inside` (real paths).

    Touches the disk. Raises OSError if the path cannot be resolved, including a cycle of links.
    """
    real = Path(os.path.realpath(path, strict=True))
    return None if any(real.is_relative_to(folder) for folder in inside) else Escape(path, real)


def refuse(root: Path, found: Iterable[Escape], *, remedy: str) -> None:
    """Raise UsageProblem if anything was found, listing where each path leads. remedy: what to type instead."""
    leaves = list(found)
    if not leaves:
        return
    listed = ", ".join(f"{_shown(root, one.path)} → {one.real}" for one in leaves[:_LISTED])
    more = f" and {len(leaves) - _LISTED} more" if len(leaves) > _LISTED else ""
    raise UsageProblem(
        f"What is outside of the project {root} does not leave unasked: {listed}{more}.",
        kept="Nothing was sent or kept.",
        next_step=remedy,
    )


def refuse_linked_capture(project: Project) -> None:
    """Raise UsageProblem if the project's `.roar` or `roar.db` is a link that leads out of the project."""
    places = [place for place in (project.roar_dir, project.database) if os.path.lexists(place)]
    try:
        found = [leaves for place in places if (leaves := leaving(place, [project.root]))]
    except OSError:
        return  # opening it reports the problem
    refuse(project.root, found[:1], remedy=f"the same with {FOLLOW}, if that is the database you mean")


def _shown(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
