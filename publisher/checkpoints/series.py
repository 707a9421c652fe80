"""The folder of a series: one file for each checkpoint, whose folder says how far it is.

    waiting/<name>.json    submitted; the process that renames it next decides what becomes of it
    taken/<name>.json      the daemon works on one of them; of the others, the put failed, and may be retried
    done/<name>.json       ended; one that does not say how was superseded
    files/<name>           a snapshot, or a link to one on another file system
    problem.json           why the next checkpoint cannot be published, if so
    agreed.json            the consent that a later publisher gave to what waited when it was made

A rename is atomic and succeeds for one process only, so a checkpoint is either published or skipped, whenever a
process is killed. Records are not synced to the disk: a `kill -9` loses none, a power failure may lose the
last ones.

A record says which files are read, where they go, and that the user agreed. A project must not bring one along, so the
series of a user are in a folder `.roar/checkpoints/<random>`, whose name only this user's state folder knows.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path, PurePath

from msgspec.structs import replace

from roar_publisher.checkpoints.record import End, Record
from roar_publisher.checkpoints.snapshot import remove_snapshot_folder
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.private import read_private

FOLDER = "checkpoints"
WAITING, TAKEN, DONE = "waiting", "taken", "done"
_NUMBERS = count()


class Series:
    """The checkpoints of one destination in one project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"

    @classmethod
    def of(cls, user_folder: Path, destination: str) -> "Series":
        """Return the series of a destination, in a folder of `register`. Creates nothing."""
        return cls(user_folder / hashlib.sha256(destination.encode(errors="surrogateescape")).hexdigest()[:16])

    def make(self) -> None:
        """Create the folders. Raises OSError."""
        for each in (WAITING, TAKEN, DONE, "files"):
            (self.folder / each).mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, record: Record) -> Record:
        """Journal a submitted checkpoint, under a name that no earlier one has. Raises OSError."""
        new = _draft(self.folder, "new")
        number = 0
        while True:
            number += 1
            name = record.name if number == 1 else f"{record.name}.{number}"
            # In the direction in which the daemon moves them, so that none escapes. Not after the link: the daemon may
            # have taken the record by then, or this process be killed before it removes the second one of the name.
            if any(os.path.exists(self._path(state, name)) for state in (WAITING, TAKEN, DONE)):
                continue
            named = replace(record, name=name, destination=f"{record.destination}/{name}")
            _write(new, named.as_json())
            try:
                os.link(new, self._path(WAITING, name))
            except FileExistsError:  # another process was faster
                continue
            finally:
                os.unlink(new)
            return named

    def records(self, state: str) -> list[Record]:
        """Return what is in a state, oldest first. What cannot be read is left out."""
        found = []
        with suppress(FileNotFoundError):
            for name in os.listdir(self.folder / state):
                if name.endswith(".json") and (record := self.read(state, name.removesuffix(".json"))) is not None:
                    found.append(record)
        return sorted(found, key=lambda record: (record.created_at, record.name))

    def unfinished(self) -> list[Record]:
        """Return what is not published yet and will be, unless something prevents it."""
        return self.records(WAITING) + [one for one in self.records(TAKEN) if one.end != End.FAILED]

    def read(self, state: str, name: str) -> Record | None:
        """Return one record, or None if it is not in this state or cannot be read."""
        try:
            text = read_private(self._path(state, name))
            return None if text is None else Record.from_json(text)
        except (OSError, ValueError):
            return None

    def move(self, name: str, begin: str, end: str) -> bool:
        """Move a record to another state. Return whether it was this process that did."""
        try:
            os.rename(self._path(begin, name), self._path(end, name))
        except FileNotFoundError:
            return False
        return True

    def update(self, state: str, record: Record) -> None:
        """Replace a record in its state. Only the process that moved it there may do this."""
        _replace(self._path(state, record.name), record.as_json())

    def fail(self, record: Record, detail: str) -> None:
        """Note that the put of a checkpoint failed. Its snapshot stays, because the put may be retried."""
        self.update(TAKEN, replace(record, end=End.FAILED.value, detail=detail))

    def is_superseded(self, failed: Record) -> bool:
        """Return whether a checkpoint whose put failed makes way for a newer one, as one that waits does."""
        ended = [one for one in self.records(TAKEN) if one.end == End.FAILED]
        ended += [one for one in self.records(DONE) if one.end == End.PUBLISHED]
        newer = any((one.created_at, one.name) > (failed.created_at, failed.name) for one in ended)
        if failed.pinned or not newer:
            return False
        return failed.worth is None or any(one.worth is not None and one.worth < failed.worth for one in ended)

    def finish(self, record: Record) -> None:
        """End a checkpoint that was taken. Of published ones, the newest `keep` snapshots stay."""
        self.update(TAKEN, record)
        self.move(record.name, TAKEN, DONE)
        if record.end != End.PUBLISHED:
            self.remove_snapshot(record)
            return
        published = [one for one in self.records(DONE) if one.end == End.PUBLISHED and one.snapshot.exists()]
        for one in published[: max(0, len(published) - record.keep)]:
            self.remove_snapshot(one)

    @property
    def problem(self) -> dict[str, str] | None:
        """Why the next checkpoint cannot be published (`what`, `next`), or None."""
        with suppress(OSError, ValueError):
            text = read_private(self.folder / "problem.json")
            found = json.loads(text) if text else None
            if isinstance(found, dict):
                return {name: str(found.get(name, "")) for name in ("what", "next")}
        return None

    def set_problem(self, what: str, next_step: str) -> None:
        """Record why the next checkpoint cannot be published. An empty text removes the problem."""
        path = self.folder / "problem.json"
        if what:
            _replace(path, json.dumps({"what": what, "next": next_step}).encode())
        else:
            path.unlink(missing_ok=True)

    def agree(self, visibility: str | None, registry: str, now: float) -> None:
        """Record that the user agrees to what was submitted before `now` for this visibility and registry."""
        content = {"visibility": visibility, "registry": registry, "at": now}
        _replace(self.folder / "agreed.json", json.dumps(content).encode())

    def has_agreed(self, record: Record) -> bool:
        """Return whether the user agrees to a checkpoint: when it was submitted, or since."""
        if record.yes:
            return True
        with suppress(OSError, ValueError, TypeError, KeyError):
            found = json.loads(read_private(self.folder / "agreed.json") or "null")
            meant = (found["visibility"], found["registry"]) == (record.visibility, record.registry)
            return meant and record.created_at <= float(found["at"])
        return False

    def remove_strays(self, older_than: float) -> None:
        """Remove snapshots that nothing needs, which a killed process left behind. older_than: Unix seconds.

        Nothing is removed if a record cannot be read now: it may need any of them. Raises OSError.
        """
        known = self._needed()
        if known is None:
            return
        for path in self.files.iterdir():
            with suppress(FileNotFoundError):  # the daemon removes snapshots at the same time
                if path.name not in known and path.lstat().st_mtime < older_than:
                    remove_snapshot_folder(Path(os.readlink(path)) if path.is_symlink() else path, self.files)

    def _needed(self) -> set[str] | None:
        """Return the names of the snapshots that records need, also of a newer release; None if that is unknown."""
        found: set[str] = set()
        try:
            for state in (WAITING, TAKEN, DONE):  # in the direction in which they move, so that none is missed
                for name in os.listdir(self.folder / state):
                    if name.endswith(".json"):
                        record = json.loads(read_private(self.folder / state / name) or "null")
                        if state != DONE or record["end"] == End.PUBLISHED:
                            found.add(PurePath(record["home"]).name)
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return found

    def remove_snapshot(self, record: Record) -> None:
        """Remove the snapshot of a checkpoint, if it is still there."""
        remove_snapshot_folder(record.snapshot, self.files)

    def _path(self, state: str, name: str) -> Path:
        return self.folder / state / f"{name}.json"


def register(folder: StateFolder, roar_dir: Path) -> Path:
    """Return the folder of this user's series in a project. Their daemon finds it from then on.

    Raises OSError, LocalProblem.
    """
    link = _link(folder, roar_dir)
    folder.make()
    link.parent.mkdir(mode=0o700, exist_ok=True)
    with suppress(FileExistsError):
        # A link keeps the name, because roar records the files that a traced program reads and writes.
        os.symlink(roar_dir.absolute() / FOLDER / secrets.token_hex(16), link)
    user_folder = Path(os.readlink(link))
    user_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return user_folder


def registered(known: Path) -> Iterator[Path]:
    """Yield the folders of `register` that the daemon of a state folder knows. known: its FOLDER."""
    with suppress(FileNotFoundError):
        for link in sorted(known.iterdir()):
            target = Path(os.readlink(link))
            if target.parent.name == FOLDER:  # earlier builds took whatever was in the project's folder itself
                yield target


def series_of(folder: StateFolder, roar_dir: Path) -> list[Series]:
    """Return this user's series in a project."""
    with suppress(FileNotFoundError):
        return list(series_in(Path(os.readlink(_link(folder, roar_dir)))))
    return []


def series_in(folder: Path) -> Iterator[Series]:
    """Yield the series in a folder of `register`."""
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                yield Series(path)


def _link(folder: StateFolder, roar_dir: Path) -> Path:
    return folder.root / FOLDER / hashlib.sha256(os.fsencode(roar_dir.absolute())).hexdigest()[:16]


def _replace(path: Path, content: bytes) -> None:
    """Replace a file atomically, without syncing it: that takes up to 50 ms while a training writes."""
    new = _draft(path.parent, path.name)
    _write(new, content)
    os.replace(new, path)


def _draft(folder: Path, name: str) -> Path:
    """Return the path of a file to be written that no other thread or process writes, nor a caller of this one."""
    return folder / f".{name}.{os.getpid()}.{next(_NUMBERS)}.new"


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
