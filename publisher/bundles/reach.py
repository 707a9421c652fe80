"""What a publish from elsewhere would read and write on this machine, and what of it is outside of the project.

A bundle names paths that its sender chose.  Resuming it would send any file of this user and write over any other, so
everything has to lie inside the project where it is imported, unless the user repeats the place on the command line.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from roar_publisher.lineage.boundary import leaving
from roar_publisher.lineage.project import ROAR_FOLDER
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.objects import ObjectRow
from roar_publisher.storage.addresses import Kind, parse_address
from roar_publisher.storage.source import Content

CLOSED = frozenset({".git", ROAR_FOLDER})
"""Folders of a project that other programs take orders from: nothing is stored there, whatever a user allows."""
LISTED = 10
"""How many paths an error lists."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One object of a put: its file on this machine, links resolved, where it goes, and its size in bytes.

    replaces: a file is there already, in a folder of this machine.
    """

    file: str
    url: str
    size: int
    replaces: bool


@dataclass(frozen=True, slots=True)
class Grounds:
    """The folders inside of which an import may read and write: the project, and what the user repeated."""

    project: Path
    allowed: tuple[Path, ...] = ()

    @classmethod
    def of(cls, project: Path, repeated: Iterable[str]) -> "Grounds":
        """repeated: paths or `file://` addresses.  Raises UsageProblem for what is neither."""
        return cls(_real(project), tuple(_real(_place(text)) for text in repeated))

    def hold(self, path: str | Path) -> bool:
        """Whether the path, links resolved, is inside."""
        real = _real(path)
        return any(real.is_relative_to(folder) for folder in (self.project, *self.allowed))


def stored(
    grounds: Grounds, destination: str | None, rows: Sequence[ObjectRow], here: dict[int, Content]
) -> list[Stored]:
    """What a put would do with each of its objects.  here: their contents with the paths of this machine, by seq.

    Raises UsageProblem where a file or its place is outside of `grounds`, or in a folder of the project that other
    programs take orders from.
    """
    if destination is None:
        return []
    address = parse_address(destination)
    folder = Path(address.path) if address.kind is Kind.FOLDER else None
    outside, found = [], []
    for row in rows:
        file, target = here[row.seq].path, None if folder is None else folder / row.key
        if not grounds.hold(file):
            outside.append(f"{file} (read)")
        if target is not None:
            _refuse_closed(target)
            if not grounds.hold(target):
                outside.append(f"{target} (written)")
        found.append(Stored(str(_real(file)), row.url, row.size, target is not None and os.path.lexists(target)))
    _refuse(grounds, outside)
    return found


def refuse_linked_capture(root: Path) -> None:
    """Raise UsageProblem where the project's `.roar` or `roar.db`, which are written later, lead out of it."""
    for place in (root / ROAR_FOLDER, root / ROAR_FOLDER / "roar.db"):
        if os.path.lexists(place):
            try:
                found = leaving(place, [_real(root)])
            except OSError:
                continue  # it leads nowhere: whoever opens it says so
            if found is not None:
                raise UsageProblem(
                    f"{found.path} leads out of the project, to {found.real}",
                    kept="Nothing was imported.",
                    next_step="import it in the project that the database belongs to: --project DIR",
                )


def _refuse_closed(target: Path) -> None:
    real = _real(target)
    if CLOSED & {part.casefold() for part in (*target.parts, *real.parts)}:
        raise UsageProblem(
            f"it would write {real}, which other programs take orders from",
            kept="Nothing was imported.",
            next_step="ask whoever exported it for another destination",
        )


def _refuse(grounds: Grounds, outside: list[str]) -> None:
    if outside:
        more = f" and {len(outside) - LISTED:,} more" if len(outside) > LISTED else ""
        raise UsageProblem(
            f"it names what is outside of the project {grounds.project}: {', '.join(outside[:LISTED])}{more}",
            kept="Nothing was imported.",
            next_step="if you mean that, repeat the folder or the file: roar journal import FILE --allow PATH",
        )


def _place(text: str) -> Path:
    if text.startswith("file:"):
        return Path(parse_address(text).path)
    return Path(text).absolute()


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))
