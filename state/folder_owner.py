"""Whether a state folder is this user's alone. Its writers decide what this program sends, and where to.

- The folder and `publishes` below it must belong to this user, and no other user may write to them. A POSIX ACL that
  grants write access shows in the group's bits, so it is refused, too.
- If all users may write to a folder above them that has no sticky bit, anyone could replace the state folder.

Folders above that belong to another user or to a group are accepted, because homes in containers and on shared machines
look like that. The owner of such a folder can replace the state folder.
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
    """Raise LocalProblem, with what to type, unless the state folder is this user's alone. It may be absent.

    user: the uid that must own it; by default this process's effective user.
    """
    user = os.geteuid() if user is None else user
    for folder in (root, root / "publishes"):
        status = _status(folder)
        if status is None:
            continue
        if status.st_uid != user:
            raise _foreign(folder, status.st_uid, user)
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            what = f"other users can write to the state folder {folder} (mode {stat.S_IMODE(status.st_mode):04o})"
            raise _refused(what, f"chmod go-w {shlex.quote(str(folder))}, or {ANOTHER}")
    for folder in _above(root):
        status = _status(folder)
        if status is not None and status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX:
            what = f"any user can replace the state folder {root}: {folder} is writable by all and has no sticky bit"
            raise _refused(what, f"chmod +t {shlex.quote(str(folder))}, or {ANOTHER}")


def _above(root: Path) -> Iterator[Path]:
    """Yield every folder above the path, both as written and with links resolved."""
    absolute = Path(os.path.abspath(root))
    yield from dict.fromkeys((*absolute.parents, *Path(os.path.realpath(root)).parents))


def _status(folder: Path) -> os.stat_result | None:
    """Return None if there is nothing, or nothing that this user may look at: the first use reports why."""
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
    """Return a user's name and uid. Containers and file servers have uids without names."""
    try:
        return f"{pwd.getpwuid(user).pw_name} (uid {user})"
    except KeyError:
        return f"uid {user}"
