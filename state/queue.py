"""What the daemon must remember of a publish across its own death: one row in the journal, beside the progress.

Nothing in here changes the state of a publish.  Whoever works on it next, the daemon or a person, goes on from the last
checkpoint all the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from roar_publisher.state.file import JournalFile

STOPPED_BY_PERSON = "stopped with Ctrl-C or SIGTERM"
"""The detail of a publish that a person stopped: it is parked until that person goes on with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """detached_at: when a person left it to the daemon, Unix seconds; None if nobody did.
    agreed: that person agreed to whatever a publish asks for.
    most_uploads: requests at once, to an object store and to the registry.  upload_rate: bytes a second to a store.
    None: as it comes.
    attempts: in a row that acknowledged nothing new.
    next_attempt: Unix seconds before which the daemon leaves it alone; None: at any time.
    parked: it waits for a person, and the daemon leaves it alone.
    told: whether its end was told to the hook; None where it need not be.
    """

    detached_at: float | None = None
    agreed: bool = False
    most_uploads: int | None = None
    upload_rate: int | None = None
    attempts: int = 0
    next_attempt: float | None = None
    parked: bool = False
    told: bool | None = None


class Queue:
    """The one row.  Every method commits before it returns; repeating a call is harmless."""

    def __init__(self, file: JournalFile, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock

    def read(self) -> Queued:
        """What is known now; the defaults where nothing is."""
        with self._file.translated():
            row = next(iter(self._file.db["queue"].rows), None) if self._file.db["queue"].exists() else None
        if row is None:
            return Queued()
        flags = {name: None if row[name] is None else bool(row[name]) for name in ("agreed", "parked", "told")}
        return Queued(**row | flags)

    def order(self, *, agreed: bool = False, most_uploads: int | None = None, upload_rate: int | None = None) -> None:
        """How a person wants it done; whoever goes on with it does it so.  What is not said stays as it was."""
        said = {"agreed": agreed or None, "most_uploads": most_uploads, "upload_rate": upload_rate}
        if changes := {name: value for name, value in said.items() if value is not None}:
            self._write(**changes)

    def detach(self) -> None:
        """Leave the publish to the daemon, which takes it as soon as it can."""
        self._write(detached_at=self._clock(), attempts=0, next_attempt=None, parked=False)

    def begun(self) -> None:
        """Somebody works on it: why it stopped before is history."""
        with self._file.transaction():
            self._file.db.conn.execute("UPDATE progress SET reason = '', detail = ''")
            self._set({"next_attempt": None, "parked": False})

    def postpone(self, *, attempts: int, until: float | None) -> None:
        """Leave it alone until then.  The reason is noted already (`Journal.note`)."""
        self._write(attempts=attempts, next_attempt=until)

    def park(self, *, reason: str, detail: str) -> None:
        """Leave it to a person, and write down why."""
        with self._file.transaction():
            self._file.db.conn.execute(
                "UPDATE progress SET reason = ?, detail = ?, updated_at = ?", [reason, detail, self._clock()]
            )
            self._set({"parked": True, "next_attempt": None})

    def unpark(self) -> None:
        """A person settled it: the daemon may take it at once."""
        self._write(parked=False, attempts=0, next_attempt=None)

    def tell(self, told: bool) -> None:
        """Whether the hook heard of its end: False as long as that is owed."""
        self._write(told=told)

    def _write(self, **changes: Any) -> None:
        with self._file.transaction():
            self._set(changes)

    def _set(self, changes: dict[str, Any]) -> None:
        assignments = ", ".join(f"{column} = ?" for column in changes)
        self._file.db.conn.execute(f"UPDATE queue SET {assignments}", list(changes.values()))
