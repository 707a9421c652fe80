"""What the daemon must remember of a publish across its own restarts: one row in the journal, beside the progress.

Nothing here changes the state of a publish. The next owner, the daemon or a command, continues from the last
checkpoint.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from roar_publisher.state.journal_file import JournalFile
from roar_publisher.state.limits import DEFAULT_LIMITS, TransferLimits
from roar_publisher.state.schema import has_table

STOPPED_BY_USER = "stopped with Ctrl-C or SIGTERM"
"""The detail of a publish that the user stopped. It is parked until the user continues it."""

STORED_AS = {"jobs": "most_uploads", "limit_rate": "upload_rate"}
"""The columns of transfer limits that are named differently."""
LIMIT_COLUMNS = {name: STORED_AS.get(name, name) for name in TransferLimits.__struct_fields__}


class Queued(Struct, frozen=True, kw_only=True):
    """The daemon's data about a publish.

    detached_at: Unix seconds when the user left the publish to the daemon; None if that did not happen.
    agreed: the user consented to everything that a publish asks for.
    limits: the transfer limits that the user set.
    attempts: the number of consecutive attempts that acknowledged nothing new.
    next_attempt: Unix seconds before which the daemon does not start it; None: at any time.
    parked: it waits for the user, and the daemon does not start it.
    notified: whether the hook was notified of its end; None if no notification is needed.
    """

    detached_at: float | None = None
    agreed: bool = False
    limits: TransferLimits = DEFAULT_LIMITS
    attempts: int = 0
    next_attempt: float | None = None
    parked: bool = False
    notified: bool | None = None


class Queue:
    """The daemon's row. Every method commits before it returns and can be repeated safely."""

    def __init__(self, file: JournalFile, clock: Callable[[], float]) -> None:
        self._file = file
        self._clock = clock

    def read(self) -> Queued:
        """Return the row, or the defaults if there is none."""
        with self._file.translated():
            exists = has_table(self._file.db, "queue")
            row = next(self._file.rows("SELECT * FROM queue"), None) if exists else None
        if row is None:
            return Queued()
        limits = TransferLimits(**{name: row.pop(column) for name, column in LIMIT_COLUMNS.items()})
        notified = row.pop("told")
        flags = {"agreed": bool(row["agreed"]), "parked": bool(row["parked"])}
        return Queued(**row | flags, limits=limits, notified=None if notified is None else bool(notified))

    def configure(self, *, agreed: bool = False, limits: TransferLimits = DEFAULT_LIMITS) -> None:
        """Record how the user wants the work done; every later owner follows it. What is not given stays as it was."""
        given = {"agreed": agreed or None} | {column: getattr(limits, name) for name, column in LIMIT_COLUMNS.items()}
        if changes := {name: value for name, value in given.items() if value is not None}:
            self._write(**changes)

    def detach(self) -> None:
        """Leave the publish to the daemon, which starts it as soon as it can."""
        self._write(detached_at=self._clock(), attempts=0, next_attempt=None, parked=False)

    def start(self) -> None:
        """Record that a process works on the publish."""
        self._write(parked=False, next_attempt=None)

    def postpone(self, *, attempts: int, until: float | None) -> None:
        """Keep the daemon from starting the publish before `until`. `Journal.note` has recorded the reason already."""
        self._write(attempts=attempts, next_attempt=until)

    def park(self) -> None:
        """Leave the publish to the user. `Journal.park` records why."""
        self._write(parked=True, next_attempt=None)

    def unpark(self) -> None:
        """Record that the user has acted: the daemon may start the publish at once."""
        self._write(parked=False, attempts=0, next_attempt=None)

    def import_parked(self) -> None:
        """Park a publish of another machine. Consent that was given there does not count here."""
        self._write(agreed=False, parked=True, attempts=0, next_attempt=None)

    def set_notified(self, notified: bool) -> None:
        """Record whether the hook was notified of the end. False as long as the notification is pending."""
        self._write(told=notified)

    def _write(self, **changes: Any) -> None:
        assignments = ", ".join(f"{column} = ?" for column in changes)
        with self._file.transaction():
            self._file.db.execute(f"UPDATE queue SET {assignments}", list(changes.values()))
