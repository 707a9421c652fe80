"""The checkpoint store of one publish: an SQLite file that survives `kill -9` and power loss.

- One transaction per fact: `checkpoint` writes the event, the new state and what the step learned together. Nothing
  else changes the state.
- One owner: a `Journal` belongs to the process that holds the lock of the publish (`state.lock`). One thread at a time
  uses it.
- No credential is ever written, because a deleted row can stay readable in the file.
"""

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from time import time
from typing import Any, Literal, Unpack

from msgspec.structs import asdict

from roar_publisher.state.debts import parse_debts
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.journal_file import JournalFile, rows_translated
from roar_publisher.state.machine import CLEARS_ACKNOWLEDGEMENTS, Event, State, next_state
from roar_publisher.state.objects import Objects, delete_parts
from roar_publisher.state.queue import Queue
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import (
    ALLOWED_FOLDERS,
    LOCAL_SETTINGS,
    NAMED_BY,
    Checkpoint,
    Learned,
    LocalContext,
    NamedBy,
    Plan,
    Progress,
)
from roar_publisher.state.schema import has_table
from roar_publisher.state.units import Units

_JSON_COLUMNS = frozenset(
    "intent provisional redactions tags published"  # of the plan
    " capabilities scope_request receipt verification owed".split()  # of the progress
)


class Journal(JournalFile):
    """An open journal. Every method is synchronous, commits before it returns, and can be repeated safely.

    Raises LocalProblem: resumable if the disk refuses (full, read-only), permanent if the file is damaged. After a
    failed commit the state of the file is unknown: reopen and read it.
    """

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time, read_only: bool = False, draft: bool = False
    ) -> None:
        """Open or create the journal at `path`.

        read_only: for observers; their statements cannot write. draft: nothing needs to survive a power loss before
        `freeze`.
        """
        super().__init__(path, read_only=read_only, draft=draft)
        self._clock = clock
        self.units = Units(self)
        self.objects = Objects(self)
        self.queue = Queue(self, clock)

    # ---------------------------------------------------------------- the plan

    def freeze(self, plan: Plan, *, agreed: bool = False) -> None:
        """Close the plan. From now on the publish exists, and its `Progress` starts at PROBE.

        agreed: the user consented on the command line to everything that the publish asks for. This is part of the
        plan.
        """
        self.make_durable()
        with self.transaction():
            self.insert("plan", _to_row(asdict(plan)))
            start = Progress(updated_at=self._clock())
            self.insert("progress", _to_row({"id": plan.id} | asdict(start)))
            self.queue.configure(agreed=agreed)

    def frozen(self) -> bool:
        """Return whether planning has finished. A journal without a frozen plan never sent anything."""
        with self.translated():
            return has_table(self.db, "plan") and any(self.rows("SELECT 1 FROM plan LIMIT 1"))

    def plan(self) -> Plan:
        """Return the frozen plan. Raises LocalProblem if there is none."""
        with rows_translated(self.path):
            return Plan(**self._only_row("plan"))

    # ---------------------------------------------------------------- the state

    def progress(self) -> Progress:
        """Return the current progress."""
        with rows_translated(self.path):
            row = self._only_row("progress")
            del row["id"], row["marks_owed"]  # older releases used marks_owed
            parsed = {"state": State(row["state"]), "owed": parse_debts(row["owed"])}
            flags = {name: bool(row[name]) for name in ("binding_prepared", "verify")}
            return Progress(**row | parsed | flags)

    def checkpoint(self, event: Event, **learned: Unpack[Learned]) -> Progress:
        """Write an event, the state that it leads to, and what was learned, in one transaction.

        Raises ImpossibleEvent, and writes nothing, if the current state does not accept the event.
        """
        with self.transaction():
            self._checkpoint(event, learned)
            return self.progress()

    def _checkpoint(self, event: Event, learned: Learned) -> None:
        before = self.progress()
        target = next_state(
            before.state, event, recounts=before.recounts, verifies=before.verify, published=before.published
        )
        changes: dict[str, Any] = {"reason": "", "detail": "", **learned}
        changes |= {"state": target.value, "updated_at": self._clock()}
        if event is Event.SESSION_LOST:
            changes |= {"epoch": before.epoch + 1, "remote_session": None}
        moved = changes.get("remote_session", before.remote_session) != before.remote_session
        if moved or event in CLEARS_ACKNOWLEDGEMENTS:  # acknowledgements are valid only for their session
            self.units.forget_acknowledgements()
            changes = {"published_elsewhere": None, "binding_prepared": False} | changes
        if event is Event.COUNTS_DIFFER:
            changes["recounts"] = before.recounts + 1
        self._update("progress", changes)
        row = {"at": changes["updated_at"], "event": event.value, "source": before.state.value, "target": target.value}
        self.insert("events", _to_row(row | {"detail": changes["detail"]}))

    def may_be_at_registry(self) -> bool:
        """Return whether a registry may hold any data of this publish.

        This is so after a session was opened, and on the legacy path unless the registry refused the very first write.
        """
        reached = {row.target for row in self.history()}
        if reached & {State.STAGE, State.FINALIZE}:
            return True
        refused = self.progress().state is State.FAILED and not any(t.acked_units for t in self.units.tally().values())
        return State.FALLBACK in reached and not refused

    def readdress(self, registry: str) -> None:
        """Move a publish that no registry has any data of to another registry, in one transaction.

        Everything that the old registry said is forgotten, including the identity: the session id depends on both.
        Raises UsageProblem if a session was opened, and ImpossibleEvent if the publish ended in another way.
        """
        with self.transaction():
            before = self.plan()
            if self.may_be_at_registry():
                raise UsageProblem(
                    f"publish {before.id} has started at {before.registry}, and cannot be continued at {registry}",
                    kept="What that registry acknowledged is kept.",
                    next_step=f"roar publish --resume {before.id}, or publish again there after: "
                    f"roar journal cancel {before.id}",
                )
            self._update("plan", {"registry": registry})
            self.record_named_by(NamedBy.OPTION)
            forgotten: Learned = {"capabilities": {}, "credential": None, "identity": None, "why": None}
            forgotten |= {"scope_request": None, "remote_session": None}
            self._checkpoint(Event.READDRESSED, forgotten)
            self.queue.unpark()

    def record_named_by(self, by: NamedBy) -> None:
        """Record where the registry's address comes from now: the user may have given it when resuming."""
        with self.transaction():
            self._update("plan", {"intent": self.plan().intent | {NAMED_BY: by.value}})

    def adapt(self, local: LocalContext, contents: Mapping[int, str]) -> None:
        """Adapt an imported publish to this machine, in one transaction. contents: of its objects, by seq.

        The publish is parked: the bundle names the address that credentials of this machine would go to, so the user
        has to resume it explicitly. Limits of its uploads are kept.
        """
        own = {"ssh_key": local.ssh_key, NAMED_BY: NamedBy.BUNDLE.value, ALLOWED_FOLDERS: local.allowed_folders}
        changes = {"project": local.project, "roar_db": local.roar_db, "local_session": local.local_session}
        detail = "it was imported from another machine: nothing is sent before you resume it"
        with self.transaction():
            self._update("plan", {**changes, "tags": local.tags, "intent": self.plan().intent | own})
            self._update("progress", {"reason": Reason.IMPORTED, "detail": detail, "url": local.url})
            self.objects.revise_all(contents)
            self.queue.import_parked()

    def copy_for_export(self, copy: Path) -> None:
        """Write a copy to the empty file `copy`, without what applies to this machine only and without deleted rows."""
        decided = {name: value for name, value in self.plan().intent.items() if name not in LOCAL_SETTINGS}
        intent = json.dumps(decided | {"ssh_key": ""}, sort_keys=True)
        with self.translated(), closing(sqlite3.connect(copy, isolation_level=None)) as target:
            self.db.backup(target)
            target.execute("UPDATE plan SET intent = ?", [intent])
            delete_parts(target)
            target.execute("VACUUM")

    def start(self) -> None:
        """Record that a process works on the publish. Clears the reason why it stopped before."""
        with self.transaction():
            self._update("progress", {"reason": "", "detail": ""})
            self.queue.start()

    def park(self, *, reason: Reason, detail: str) -> None:
        """Leave the publish to the user, and record why."""
        with self.transaction():
            self.note(reason=reason, detail=detail)
            self.queue.park()

    def note(self, *, reason: Reason, detail: str) -> None:
        """Record why the publish stopped. Does not change its state."""
        with self.transaction():
            self._update("progress", {"reason": reason, "detail": detail, "updated_at": self._clock()})

    def note_wait(self, reason: Reason | Literal[""]) -> None:
        """Record what the owner waits for now; "" when it continues. Keeps the reason of a publish that stopped."""
        with self.transaction():
            self.db.execute("UPDATE progress SET reason = ? WHERE detail = ''", [reason])

    def remember(self, **learned: Unpack[Learned]) -> None:
        """Record something learned in the middle of a step. Does not change the state."""
        with self.transaction():
            self._update("progress", {**learned})

    def history(self) -> list[Checkpoint]:
        """Return every checkpoint, oldest first."""
        with self.translated():
            rows = self.rows("SELECT at, event, source, target, detail FROM events ORDER BY id")
            return [Checkpoint(**row) for row in rows]

    # ---------------------------------------------------------------- rows

    def _update(self, table: str, changes: Mapping[str, Any]) -> None:
        row = _to_row(changes)
        assignments = ", ".join(f"{column} = ?" for column in row)
        self.db.execute(f"UPDATE {table} SET {assignments}", list(row.values()))

    def _only_row(self, table: str) -> dict[str, Any]:
        with self.translated():
            row = next(self.rows(f"SELECT * FROM {table}"), None) if has_table(self.db, table) else None
        if row is None:
            raise LocalProblem(
                f"{self.path} holds no finished plan",
                kept="Nothing was sent for it.",
                next_step="roar journal prune --all",
                reason=Reason.NO_PLAN,
            )
        return {name: json.loads(v) if name in _JSON_COLUMNS and v is not None else v for name, v in row.items()}


def _to_row(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _to_column(name, value) for name, value in values.items()}


def _to_column(name: str, value: Any) -> Any:
    if name in _JSON_COLUMNS and value is not None:
        return json.dumps(value, sort_keys=True, default=asdict)
    if name == "detail":  # an error may name a file whose name is not UTF-8, and SQLite's texts are
        return str(value).encode(errors="backslashreplace").decode()
    return value
