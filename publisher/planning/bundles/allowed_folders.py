"""The folders in which an imported publish may read and write on this machine.

The sender of a bundle chose its paths, and the project may have come from the same sender. Resuming it could send any
file of this user and overwrite any other, so every path must lie inside the project where it is imported, unless the
user repeats the path on the command line. The paths are checked at the import, and again each time before they are
used, because a link may have been planted in between.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from roar_publisher.lineage.boundary import is_inside, is_protected, listed, real_path
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.objects import ObjectRow
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import ALLOWED_FOLDERS, Plan
from roar_publisher.storage.addresses import parse_destination
from roar_publisher.storage.source import Content, shown

_LISTED = 10
"""The most paths that an error lists."""


class ImportedObject(Struct, frozen=True):
    """One object of an imported put: its file on this machine with links resolved, its destination, its size in bytes.

    replaces: whether it would overwrite a file in a folder of this machine.
    """

    file: str
    url: str
    size: int
    replaces: bool


class AllowedFolders(Struct, frozen=True):
    """The project, and what the user repeated on the command line, as real paths."""

    project: Path
    allowed: tuple[Path, ...] = ()

    @classmethod
    def of(cls, project: Path, repeated: Iterable[str]) -> "AllowedFolders":
        """Return the folders for an import. repeated: paths or `file://` addresses.

        Raises UsageProblem for an address that is not valid.
        """
        return cls(real_path(project), tuple(real_path(_local_path(text)) for text in repeated))

    @classmethod
    def of_plan(cls, plan: Plan) -> "AllowedFolders | None":
        """Return what an import stored in the plan (`paths`), or None for a publish of this machine."""
        folders = plan.intent.get(ALLOWED_FOLDERS)
        return cls(Path(folders[0]), tuple(Path(folder) for folder in folders[1:])) if folders else None

    @property
    def paths(self) -> list[str]:
        """The folders as the plan stores them."""
        return [str(folder) for folder in (self.project, *self.allowed)]

    def contains(self, path: str | Path) -> bool:
        """Return whether the path, with its links resolved, is in one of the folders."""
        return is_inside(path, (self.project, *self.allowed))

    def outside(self, files: Iterable[str], targets: Iterable[Path]) -> list[str]:
        """Return the paths that are not in the folders, as texts. files: would be read. targets: would be written."""
        read = [f"{shown(file)} (read)" for file in files if not self.contains(file)]
        return read + [f"{shown(str(target))} (written)" for target in targets if not self.contains(target)]


def check_import(
    folders: AllowedFolders, destination: str | None, rows: Sequence[ObjectRow], here: Mapping[int, Content]
) -> list[ImportedObject]:
    """Return what a put would do with each of its objects; an empty list without a destination.

    here: their contents with the paths of this machine, by seq.

    Raises UsageProblem if a file or its target is outside of `folders`, or in a protected folder.
    """
    if destination is None:
        return []
    targets = _targets(destination, [row.key for row in rows])
    for target in filter(is_protected, targets):
        raise UsageProblem(
            f"the bundle would write {real_path(target)}, a file that other programs read their configuration from",
            kept="Nothing was imported.",
            next_step="ask its sender for another destination",
        )
    if outside := folders.outside([here[row.seq].path for row in rows], targets):
        raise UsageProblem(
            f"the bundle names files outside of the project {folders.project}: {listed(outside, _LISTED)}",
            kept="Nothing was imported.",
            next_step="if you want that, repeat the folder or the file: roar journal import FILE --allow PATH",
        )
    there = {row.seq: os.path.lexists(target) for row, target in zip(rows, targets, strict=False)}
    return [
        ImportedObject(str(real_path(here[row.seq].path)), row.url, row.size, there.get(row.seq, False)) for row in rows
    ]


def check_objects(plan: Plan, files: Mapping[str, str]) -> None:
    """Raise LocalProblem if a path of an imported put now leads out of its folders. files: paths by object key.

    Touches the disk. Repeating checks again.
    """
    folders = AllowedFolders.of_plan(plan)
    if folders is None or plan.destination is None:
        return
    targets = _targets(plan.destination, files)
    outside = folders.outside(files.values(), targets)
    outside += [f"{shown(str(target))} (written)" for target in targets if is_protected(target)]
    if outside:
        raise _escaped(plan, folders, listed(outside, _LISTED))


def check_database(plan: Plan) -> None:
    """Do the same as `check_objects` for the roar.db in which an imported publish is recorded."""
    folders = AllowedFolders.of_plan(plan)
    if folders is not None and not is_inside(plan.roar_db, [folders.project]):
        raise _escaped(plan, folders, f"{shown(plan.roar_db)} (written)")


def _targets(destination: str, keys: Iterable[str]) -> list[Path]:
    """Return the files of this machine that objects with these keys become; none if they go to a bucket."""
    address = parse_destination(destination)
    return [Path(address.path) / key for key in keys] if address.is_folder else []


def _escaped(plan: Plan, folders: AllowedFolders, what: str) -> LocalProblem:
    return LocalProblem(
        f"a path of the imported publish {plan.id} now leads out of the project {folders.project}: {what}",
        kept="Nothing was read or written there.",
        next_step=f"remove the links, then roar publish --resume {plan.id}; or roar journal cancel {plan.id}",
        reason=Reason.FILE_CHANGED,
        resumable=True,
    )


def _local_path(text: str) -> Path:
    return Path(parse_destination(text).path) if text.startswith("file:") else Path(text).absolute()
