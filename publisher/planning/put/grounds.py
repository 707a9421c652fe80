"""The folders inside of which a publish that came from elsewhere may read and write on this machine.

A bundle names paths that its sender chose, and the project may have come from the same sender.  The paths are checked
at the import, and again each time before they are used: a link may have been planted in between.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from roar_publisher.lineage.project import ROAR_FOLDER
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import GROUNDS, Plan
from roar_publisher.storage.addresses import parse_address
from roar_publisher.storage.source import shown

CLOSED = frozenset({".git", ROAR_FOLDER})
"""Folders of a project that other programs take orders from: nothing is stored there, whatever a user allows."""
LISTED = 10
"""How many paths an error lists."""


@dataclass(frozen=True, slots=True)
class AllowedFolders:
    """project, allowed: real paths; what the user repeated on the command line is allowed besides the project."""

    project: Path
    allowed: tuple[Path, ...] = ()

    @classmethod
    def of(cls, project: Path, repeated: Iterable[str]) -> "AllowedFolders":
        """repeated: paths or `file://` addresses.  Raises UsageProblem for what is neither."""
        return cls(real(project), tuple(real(_place(text)) for text in repeated))

    @classmethod
    def of_plan(cls, plan: Plan) -> "AllowedFolders | None":
        """What an import kept in the plan (`folders`); None for a publish of this machine's own."""
        folders = plan.intent.get(GROUNDS)
        return cls(Path(folders[0]), tuple(Path(folder) for folder in folders[1:])) if folders else None

    @property
    def folders(self) -> list[str]:
        """As they are kept in the plan."""
        return [str(folder) for folder in (self.project, *self.allowed)]

    def hold(self, path: str | Path) -> bool:
        """Whether the path, links resolved, is inside."""
        found = real(path)
        return any(found.is_relative_to(folder) for folder in (self.project, *self.allowed))

    def outside(self, files: Iterable[str], targets: Iterable[Path]) -> list[str]:
        """What is not inside, for a person.  files: would be read.  targets: would be written."""
        read = [f"{shown(file)} (read)" for file in files if not self.hold(file)]
        return read + [f"{shown(str(target))} (written)" for target in targets if not self.hold(target)]


def targets(destination: str, keys: Iterable[str]) -> list[Path]:
    """The files of this machine that objects with these keys become; none where they go to a bucket."""
    address = parse_address(destination)
    return [Path(address.path) / key for key in keys] if address.is_folder else []


def is_closed(target: Path) -> bool:
    """Whether other programs take orders from what is written there."""
    return not CLOSED.isdisjoint(part.casefold() for part in (*target.parts, *real(target).parts))


def listed(paths: list[str]) -> str:
    """The first of the paths, and how many more there are."""
    more = f" and {len(paths) - LISTED:,} more" if len(paths) > LISTED else ""
    return ", ".join(paths[:LISTED]) + more


def check_objects(plan: Plan, files: dict[str, str]) -> None:
    """Raise LocalProblem where an imported put leads out of its grounds by now.  files: paths by their objects' keys.

    Touches the disk.  Repeating looks again.
    """
    grounds = AllowedFolders.of_plan(plan)
    if grounds is None or plan.destination is None:
        return
    places = targets(plan.destination, files)
    outside = grounds.outside(files.values(), places)
    outside += [f"{shown(str(place))} (written)" for place in places if is_closed(place)]
    if outside:
        raise _left(plan, grounds, listed(outside))


def check_database(plan: Plan) -> None:
    """As `check_objects`, for the roar.db that an imported publish is noted in."""
    grounds = AllowedFolders.of_plan(plan)
    if grounds is not None and not real(plan.roar_db).is_relative_to(grounds.project):
        raise _left(plan, grounds, f"{shown(plan.roar_db)} (written)")


def real(path: str | Path) -> Path:
    """The path without links, as far as it exists."""
    return Path(os.path.realpath(path))


def _left(plan: Plan, grounds: AllowedFolders, what: str) -> LocalProblem:
    return LocalProblem(
        f"since publish {plan.id} was imported, what it uses leads out of the project {grounds.project}: {what}",
        kept="Nothing was read or written there.",
        next_step=f"remove the links, then roar publish --resume {plan.id}; or roar journal cancel {plan.id}",
        reason=Reason.FILE_CHANGED,
        resumable=True,
    )


def _place(text: str) -> Path:
    return Path(parse_address(text).path) if text.startswith("file:") else Path(text).absolute()
