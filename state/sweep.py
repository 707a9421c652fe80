"""Removing what killed processes left behind.

    publishes/.<id>                 a folder whose process died before it had locked it
    publishes/<id>                  without a lock's holder and without a frozen plan: nothing was sent for it;
                                    also an empty one, as earlier releases left it on NFS
    publishes/<id>/session-token    of a publish that has ended
    publishes/<id>/put-record       of one that was cancelled
    publishes/<id>/**/*.new         a private file that was not completely written
    key.new, key.<hex>              the same of the user's key; an older release used a random name

Nothing here is needed again. What cannot be removed now is silently left to the next run.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from roar_publisher.state.debts import DebtKind
from roar_publisher.state.errors import LocalProblem, PublisherError
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock, is_held, owner
from roar_publisher.state.machine import State
from roar_publisher.state.paths import FINGERPRINT, PLANNING, PublishPaths, StateFolder
from roar_publisher.state.private import remove_empty
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Progress

YOUNG_SECONDS = 60.0
"""How long a folder without a lock is left alone: its process may be about to lock it."""
KEY_LEFTOVER = re.compile(r"key\.(new|[0-9a-f]{8}(\.new)?)")
LASTING = frozenset({"journal.db", "journal.db-journal", "lock", "claim"})
"""The files that a publish keeps when it has ended, beside the note of its fingerprint."""
OVER = (State.DONE, State.CANCELLED)
"""States that need no session token. A failed publish may be retried, so it keeps its token."""


def remove_unplanned(paths: PublishPaths) -> bool:
    """Remove a publish whose process died before its plan was frozen. Returns whether it is gone.

    An owned publish stays, because it is being planned. So does one that cannot be read now, and one that had begun to
    send and whose journal lost the plan later.
    """
    if not _was_locked(paths.lock) or is_held(paths.lock):
        return _removed_empty(paths.folder)
    try:
        with Lock(paths.lock):
            if paths.session_token.exists() or paths.count_uploads():
                return False
            if paths.journal.exists():
                with Journal(paths.journal) as journal:
                    if journal.frozen():
                        return False
            import shutil

            shutil.rmtree(paths.folder, ignore_errors=True)
    except (PublisherError, OSError):
        return False
    remove_empty(paths.folder)
    return not paths.folder.exists()


def _removed_empty(folder: Path) -> bool:
    """Remove a folder that has been empty for a while; an import locks the one that it has just made."""
    with suppress(OSError):
        if time.time() - folder.stat().st_mtime >= YOUNG_SECONDS:
            remove_empty(folder)
    return not folder.exists()


def remove_leftovers(paths: PublishPaths, progress: Progress) -> None:
    """Remove what a killed process left in the folder of a publish that no process owns.

    A token stays as long as labels are owed, because it signs their request, too.
    """
    files = list(_unfinished_files(paths.folder))
    needed = progress.state not in OVER or any(debt.what is DebtKind.LABELS for debt in progress.owed)
    if not needed and paths.session_token.exists():
        files.append(paths.session_token)
    with suppress(PublisherError, OSError):
        recorded = progress.state is State.CANCELLED and paths.has_put_record()
        if files or recorded:
            with Lock(paths.lock):
                for file in files:
                    file.unlink(missing_ok=True)
                if recorded:
                    paths.forget_put_record()


def is_of_another(paths: PublishPaths, fingerprint: str) -> bool:
    """Return whether a publish is known to be planned for something else, and has nothing to remove.

    Its journal is not opened: a machine may have thousands of publishes, and each new one looks for an earlier one.
    """
    try:
        names = set(os.listdir(paths.folder))
        if "uploads" in names and not os.listdir(paths.folder / "uploads"):
            names.remove("uploads")
    except OSError:
        return False
    noted = {name for name in names if name.startswith(FINGERPRINT)}
    return bool(noted) and f"{FINGERPRINT}{fingerprint}" not in noted and names - noted <= LASTING


def remove_folder_leftovers(folder: StateFolder, *, now: Callable[[], float] = time.time) -> None:
    """Remove leftover files that belong to no publish."""
    with suppress(OSError):
        for path in folder.publishes.iterdir():
            if PLANNING.fullmatch(path.name):
                _remove_planning(path, now())
    with suppress(OSError):
        left = [path for path in folder.root.iterdir() if KEY_LEFTOVER.fullmatch(path.name)]
        if left:
            with suppress(PublisherError), Lock(folder.root / "key.lock"):
                for path in left:
                    path.unlink(missing_ok=True)


def _remove_planning(path: Path, now: float) -> None:
    lock = path / "lock"
    # In this order: whoever locks it between the two questions is its owner.
    if (_was_locked(lock) or now - path.stat().st_mtime >= YOUNG_SECONDS) and not is_held(lock):
        import shutil

        shutil.rmtree(path, ignore_errors=True)


def _was_locked(lock: Path) -> bool:
    """Return whether a process ever held the lock: it would have written its pid."""
    try:
        return lock.stat().st_size > 0
    except OSError:
        return False


def _unfinished_files(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        yield from folder.glob("*.new")
        yield from folder.glob("uploads/*.new")


def name_planner(paths: PublishPaths, problem: LocalProblem) -> LocalProblem:
    """Return the error of a publish without a plan, or one that says that a process is planning it."""
    pid = owner(paths.lock)
    if problem.reason == Reason.NO_PLAN and pid is not None:
        problem.what, problem.next_step = f"publish {paths.id} is being planned (pid {pid})", "roar journal list"
    return problem
