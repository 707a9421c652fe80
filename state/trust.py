"""Whether a state folder is this user's alone: who may write into it decides what this program sends, and where to.

- The folder and `publishes` below it must belong to this user, and nobody else may write into them.  A POSIX ACL that
  lets somebody write shows in the group's bits, so it is refused too.
- A folder above them that everybody may write into without the sticky bit lets anybody put another in its place.

Folders above that belong to somebody else, or to a group, are not refused: homes in containers and on shared machines
look like that.  Whoever owns one of those can put another folder in the place of this one.
"""

import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

ROOT = 0
ANOTHER = "set ROAR_STATE_DIR to a folder of your own"
KEPT = "Nothing was read there, and nothing was sent."


def check_state_folder(root: Path, *, user: int | None = None) -> None:
    """Raise LocalProblem, with what to type, unless the state folder is this user's alone.  One that is absent is fine.

    user: whose it must be; this process's effective user by default.
    """
    user = os.geteuid() if user is None else user
    for folder in (root, root / "publishes"):
        status = _status(folder)
        if status is None:
            continue
        if status.st_uid != user:
            raise _foreign(folder, status.st_uid, user)
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            what = f"the state folder {folder} can be written by other users (mode {stat.S_IMODE(status.st_mode):04o})"
            raise _refused(what, f"chmod go-w {shlex.quote(str(folder))}, or {ANOTHER}")
    for folder in _above(root):
        status = _status(folder)
        if status is not None and status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            what = f"everybody may replace the state folder {root}: {folder} can be written by all (no sticky bit)"
            raise _refused(what, f"chmod +t {shlex.quote(str(folder))}, or {ANOTHER}")


def _above(root: Path) -> Iterator[Path]:
    """Every folder on the way, as it is written and where links lead."""
    absolute = Path(os.path.abspath(root))
    yield from dict.fromkeys((*absolute.parents, *Path(os.path.realpath(root)).parents))


def _status(folder: Path) -> os.stat_result | None:
    """None where there is nothing, or nothing that this user may look at: the first use says why."""
    try:
        return folder.stat()
    except OSError:
        return None


def _foreign(folder: Path, owner: int, user: int) -> LocalProblem:
    what = f"the state folder {folder} belongs to {_name(owner)}, and this is {_name(user)}"
    if user == ROOT:
        return _refused(what, f"run it as {_name(owner)}, without sudo; or {ANOTHER}")
    if owner == ROOT:
        return _refused(what, f"sudo chown -R {user} {shlex.quote(str(folder))}, or {ANOTHER}")
    return _refused(what, ANOTHER)


def _refused(what: str, next_step: str) -> LocalProblem:
    return LocalProblem(what, kept=KEPT, next_step=next_step, reason=Reason.STATE_DIRECTORY)


def _name(user: int) -> str:
    """A user as a person knows it: containers and file servers have ids without names."""
    try:
        return f"{pwd.getpwuid(user).pw_name} (uid {user})"
    except KeyError:
        return f"uid {user}"
