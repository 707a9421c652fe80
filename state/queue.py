"""What the daemon must remember of a publish across its own restarts: one row in the journal, beside the progress.

Nothing here changes the state of a publish. The next owner, the daemon or a command, continues from the last
checkpoint.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from roar_publisher.state.file import JournalFile
from roar_publisher.state.limits import DEFAULT_LIMITS, TransferLimits

STOPPED_BY_USER = "stopped with Ctrl-C or SIGTERM"
"""The detail of a publish that the user stopped. It is parked until the user continues it."""

STORED_AS = {"jobs": "most_uploads", "limit_rate": "upload_rate"}
"""The columns of transfer limits that are named differently."""
LIMIT_COLUMNS = {each.name: STORED_AS.get(each.name, each.name) for each in fields(TransferLimits)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """The daemon's data about a publish.

    detached_at: Unix seconds when the user left the publish to the daemon; None if that did not happen.
    agreed: the user consented to everything that a publish asks for.
    limits: the transfer limits that the user set.
    attempts: the number of consecutive attempts that acknowledged nothing new.
    next_attempt: Unix seconds before which the daemon does not start it; None: at any time.
    parked: it waits for the user, and the daemon does not start it.
    told: whether the hook was notified of its end; None if no notification is needed.
    """

    detached_at: float | None = None
    agreed: bool = False
    limits: TransferLimits = DEFAULT_LIMITS
    attempts: int = 0
    next_attempt: float | None = None
    parked: bool = False
    told: bool | None = None


class Queue:
    """The daemon's row. Every method commits before it returns and can be repeated safely."""

    def __init__(self, file: JournalFile, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock

    def read(self) -> Queued:
        """Return the row, or the defaults if there is none."""
        with self._file.translated():
            row = next(iter(self._file.db["queue"].rows), None) if self._file.db["queue"].exists() else None
        if row is None:
            return Queued()
        flags = {name: None if row[name] is None else bool(row[name]) for name in ("agreed", "parked", "told")}
        limits = TransferLimits(**{name: row.pop(column) for name, column in LIMIT_COLUMNS.items()})
        return Queued(**row | flags, limits=limits)

    def order(self, *, agreed: bool = False, limits: TransferLimits = DEFAULT_LIMITS) -> None:
        """Record how the user wants the work done; every later owner follows it. What is not given stays as it was."""
        said = {"agreed": agreed or None} | {column: getattr(limits, name) for name, column in LIMIT_COLUMNS.items()}
        if changes := {name: value for name, value in said.items() if value is not None}:
            self._write(**changes)

    def detach(self) -> None:
        """Leave the publish to the daemon, which starts it as soon as it can."""
        self._write(detached_at=self._clock(), attempts=0, next_attempt=None, parked=False)

    def begun(self) -> None:
        """Record that a process works on the publish. Clears the reason why it stopped before."""
        with self._file.transaction():
            self._file.db.conn.execute("UPDATE progress SET reason = '', detail = ''")
            self._set({"next_attempt": None, "parked": False})

    def postpone(self, *, attempts: int, until: float | None) -> None:
        """Tell the daemon not to start the publish before `until`. `Journal.note` has recorded the reason already."""
        self._write(attempts=attempts, next_attempt=until)

    def park(self, *, reason: str, detail: str) -> None:
        """Leave the publish to the user, and record why."""
        with self._file.transaction():
            self._file.db.conn.execute(
                "UPDATE progress SET reason = ?, detail = ?, updated_at = ?", [reason, detail, self._clock()]
            )
            self._set({"parked": True, "next_attempt": None})

    def unpark(self) -> None:
        """Record that the user settled it: the daemon may start it at once."""
        self._write(parked=False, attempts=0, next_attempt=None)

    def tell(self, told: bool) -> None:
        """Record whether the hook was notified of the end. False as long as the notification is owed."""
        self._write(told=told)

    def _write(self, **changes: Any) -> None:
        with self._file.transaction():
            self._set(changes)

    def _set(self, changes: dict[str, Any]) -> None:
        assignments = ", ".join(f"{column} = ?" for column in changes)
        self._file.db.conn.execute(f"UPDATE queue SET {assignments}", list(changes.values()))
