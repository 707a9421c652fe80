"""Decide whether a path leads out of the folders that a publish may use.

A project may have come with a clone or an archive. A link in it, or a path in its roar.db, can lead to any file of this
user. Such a file is published only if the user names the file itself or passes `--follow-links`.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from roar_publisher.lineage.config import ROAR_FOLDER
from roar_publisher.state.errors import UsageProblem

FOLLOW = "--follow-links"
PROTECTED = frozenset({".git", ROAR_FOLDER})
"""Folders of a project that configure other programs: nothing is stored there, whatever the user allows."""
_LISTED = 5
"""The most paths that an error lists."""


class Escape(Struct, frozen=True):
    """A path of the project, and the place outside that it leads to."""

    path: Path
    real: Path


def real_path(path: str | Path) -> Path:
    """Return the path with its links resolved, as far as it exists."""
    return Path(os.path.realpath(path))


def is_inside(path: str | Path, folders: Iterable[Path]) -> bool:
    """Return whether the path, with its links resolved, is in one of the folders (real paths). It need not exist."""
    return _is_below(real_path(path), folders)


def is_protected(path: Path) -> bool:
    """Return whether the path, as it is or with its links resolved, is in a folder where nothing may be stored."""
    return not PROTECTED.isdisjoint(part.casefold() for part in (*path.parts, *real_path(path).parts))


def find_escape(path: Path, inside: Sequence[Path]) -> Escape | None:
    """Return where an existing path leads, or None if it is in one of the folders `inside` (real paths).

    Touches the disk. Raises OSError if the path cannot be resolved, including a cycle of links.
    """
    real = Path(os.path.realpath(path, strict=True))
    return None if _is_below(real, inside) else Escape(path, real)


def refuse_escapes(root: Path, found: Iterable[Escape], *, next_step: str) -> None:
    """Raise UsageProblem if anything was found, listing where each path leads."""
    texts = [
        str(escape.real) if escape.path == escape.real else f"{_relative(root, escape.path)} → {escape.real}"
        for escape in found
    ]
    if texts:
        raise UsageProblem(
            f"files outside of the project {root} are published only if you ask for it: {listed(texts)}",
            kept="Nothing was sent or kept.",
            next_step=next_step,
        )


def refuse_linked_database(root: Path, *, kept: str, next_step: str) -> None:
    """Raise UsageProblem if the project's `.roar` or `roar.db` is a link that leads out of the project."""
    for path in (root / ROAR_FOLDER, root / ROAR_FOLDER / "roar.db"):
        try:
            escape = find_escape(path, [real_path(root)])
        except OSError:
            continue  # It is missing or leads nowhere; opening it reports the problem.
        if escape is not None:
            raise UsageProblem(
                f"{_relative(root, path)} of the project {root} leads out of it, to {escape.real}",
                kept=kept,
                next_step=next_step,
            )


def listed(texts: Sequence[str], most: int = _LISTED) -> str:
    """Return the first texts, and how many more there are."""
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _is_below(real: Path, folders: Iterable[Path]) -> bool:
    return any(real.is_relative_to(folder) for folder in folders)


def _relative(root: Path, path: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
