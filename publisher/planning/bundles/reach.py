"""What an imported publish would read and write on this machine, and what of it is outside the project.

The sender of a bundle chose its paths. Resuming it could send any file of this user and overwrite any other, so
everything must lie inside the project where it is imported, unless the user repeats the place on the command line.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from roar_publisher.lineage.boundary import leaving
from roar_publisher.lineage.project import ROAR_FOLDER
from roar_publisher.planning.put.grounds import AllowedFolders, is_closed, listed, real, targets
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.objects import ObjectRow
from roar_publisher.storage.source import Content


@dataclass(frozen=True, slots=True)
class Stored:
    """One object of a put: its file on this machine with links resolved, its destination, and its size in bytes.

    replaces: whether it would overwrite a file in a folder of this machine.
    """

    file: str
    url: str
    size: int
    replaces: bool


def stored(
    grounds: AllowedFolders, destination: str | None, rows: Sequence[ObjectRow], here: dict[int, Content]
) -> list[Stored]:
    """Return what a put would do with each of its objects.

    here: their contents with the paths of this machine, by seq.

    Raises UsageProblem if a file or its place is outside of `grounds`, or in a folder of the project that controls
    other programs.
    """
    if destination is None:
        return []
    places = targets(destination, [row.key for row in rows])
    for place in filter(is_closed, places):
        raise UsageProblem(
            f"it would write {real(place)}, which other programs take orders from",
            kept="Nothing was imported.",
            next_step="ask whoever exported it for another destination",
        )
    if outside := grounds.outside([here[row.seq].path for row in rows], places):
        raise UsageProblem(
            f"it names what is outside of the project {grounds.project}: {listed(outside)}",
            kept="Nothing was imported.",
            next_step="if you mean that, repeat the folder or the file: roar journal import FILE --allow PATH",
        )
    there = {row.seq: os.path.lexists(place) for row, place in zip(rows, places, strict=False)}
    return [Stored(str(real(here[row.seq].path)), row.url, row.size, there.get(row.seq, False)) for row in rows]


def refuse_linked_capture(root: Path) -> None:
    """Raise UsageProblem if the project's `.roar` or `roar.db`, which are written later, lead out of it."""
    for place in (root / ROAR_FOLDER, root / ROAR_FOLDER / "roar.db"):
        if os.path.lexists(place):
            try:
                found = leaving(place, [real(root)])
            except OSError:
                continue  # it leads nowhere: opening it reports that
            if found is not None:
                raise UsageProblem(
                    f"{found.path} leads out of the project, to {found.real}",
                    kept="Nothing was imported.",
                    next_step="import it in the project that the database belongs to: --project DIR",
                )
