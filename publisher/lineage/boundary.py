"""What lies in a project, by its path, and leads out of it.

A project may have come with a clone or an archive: a link in it, or a path that its roar.db names, can lead to any file
of this user.  Such a file leaves only if the user names the file itself, or says `--follow-links`.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from roar_publisher.lineage.project import Project
from roar_publisher.state.errors import UsageProblem

FOLLOW = "--follow-links"
_LISTED = 5
"""How many paths an error lists."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """A path of the project, and the place outside that it leads to."""

    path: Path
    real: Path


def leaving(path: Path, inside: Sequence[Path]) -> Leaving | None:
    """The path with where it leads to, if that lies in none of the folders `inside` (real paths); else None.

    Touches the disk.  Raises OSError for what can't be looked at, a circle of links among it.
    """
    real = Path(os.path.realpath(path, strict=True))
    return None if any(real.is_relative_to(folder) for folder in inside) else Leaving(path, real)


def refuse(root: Path, found: Iterable[Leaving], *, remedy: str) -> None:
    """Raise UsageProblem if anything was found, with where each path leads to.  remedy: what to type instead."""
    leaves = list(found)
    if not leaves:
        return
    listed = ", ".join(f"{_shown(root, one.path)} → {one.real}" for one in leaves[:_LISTED])
    more = f" and {len(leaves) - _LISTED} more" if len(leaves) > _LISTED else ""
    raise UsageProblem(
        f"What is outside of the project {root} does not leave unasked: {listed}{more}.",
        kept="Nothing was sent, nothing was kept.",
        next_step=remedy,
    )


def refuse_linked_capture(project: Project) -> None:
    """Raise UsageProblem where the project's `.roar` or `roar.db` is a link that leads out of the project."""
    places = [place for place in (project.roar_dir, project.database) if os.path.lexists(place)]
    try:
        found = [leaves for place in places if (leaves := leaving(place, [project.root]))]
    except OSError:
        return  # whoever opens it says what is wrong with it
    refuse(project.root, found[:1], remedy=f"the same with {FOLLOW}, if that is the database you mean")


def _shown(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
