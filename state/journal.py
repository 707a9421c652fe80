"""The checkpoint store of one publish: an SQLite file that survives `kill -9` and power loss.

- One transaction per fact: `checkpoint` writes the event, the new state and what the step learned together. Nothing
  else changes the state.
- One owner: a `Journal` belongs to the process that holds the lock of the publish (`state.lock`). One thread at a time
  uses it.
- No credential is ever written, because a deleted row can stay readable in the file.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import time
from typing import Any, Unpack

from roar_publisher.state.debts import debts_from
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.file import JournalFile, understood
from roar_publisher.state.machine import CLEARS_ACKNOWLEDGEMENTS, Event, State, next_state
from roar_publisher.state.objects import Objects
from roar_publisher.state.queue import Queue
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import NAMED_BY, Checkpoint, Learned, NamedBy, Plan, Progress, Tally
from roar_publisher.state.units import Kind, Unit

COMPRESSION_LEVEL = 1
"""zlib level of unit bodies. The cheapest level already shrinks repetitive JSON to a tenth."""


_JSON_COLUMNS = frozenset(
    {"intent", "provisional", "redactions", "capabilities", "scope_request", "tags", "owed", "published", "receipt"}
)


class Journal(JournalFile):
    """An open journal. Every method is synchronous, commits before it returns, and can be repeated safely.

    Raises LocalProblem: resumable if the disk refuses (full, read-only), permanent if the file is damaged. After a
    failed commit the state of the file is unknown: reopen and read it.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time, read_only: bool = False) -> None:
        """Open or create the journal at `path`. read_only: for observers; their statements cannot write."""
        super().__init__(path, read_only=read_only)
        self._clock = clock
        self.objects = Objects(self)
        self.queue = Queue(self, clock)

    # ---------------------------------------------------------------- the plan

    def add_units(self, units: Iterable[Unit]) -> None:
        """Write units in one transaction. Called during planning, before `freeze`."""
        rows = ((u.seq, u.part, u.kind.value, u.job_uid, u.items, u.after, _pack(u.body)) for u in units)
        with self.transaction():
            self.db.conn.executemany(
                "INSERT INTO units (seq, part, kind, job_uid, items, after, body) VALUES (?, ?, ?, ?, ?, ?, ?)", rows
            )

    def freeze(self, plan: Plan, *, agreed: bool = False) -> None:
        """Close the plan. From now on the publish exists, and its `Progress` starts at PROBE.

        agreed: the user consented on the command line to everything that the publish asks for. This is part of the
        plan.
        """
        with self.transaction():
            self.db.table("plan").insert(_to_row(asdict(plan)))
            start = Progress(updated_at=self._clock())
            self.db.table("progress").insert(_to_row({"id": plan.id} | asdict(start)))
            self.db.conn.execute("UPDATE queue SET agreed = ?", [agreed])

    def frozen(self) -> bool:
        """Return whether planning has finished. A journal without a frozen plan never sent anything."""
        with self.translated():
            return self.db["plan"].exists() and self.db["plan"].count > 0

    def plan(self) -> Plan:
        """Return the frozen plan. Raises LocalProblem if there is none."""
        with understood(self.path):
            return Plan(**self._only_row("plan"))

    # ---------------------------------------------------------------- the state

    def progress(self) -> Progress:
        """Return the current progress."""
        with understood(self.path):
            row = self._only_row("progress")
            del row["id"], row["marks_owed"]  # older releases used marks_owed
            told = {"state": State(row["state"]), "owed": debts_from(row["owed"])}
            return Progress(**row | told | {"binding_prepared": bool(row["binding_prepared"])})

    def checkpoint(self, event: Event, **learned: Unpack[Learned]) -> Progress:
        """Write an event, the state that it leads to, and what was learned, in one transaction.

        Raises ImpossibleEvent, and writes nothing, if the current state does not accept the event.
        """
        with self.transaction():
            self._checkpoint(event, learned)
            return self.progress()

    def _checkpoint(self, event: Event, learned: Learned) -> None:
        before = self.progress()
        target = next_state(before.state, event, recounts=before.recounts)
        changes: dict[str, Any] = {"reason": "", "detail": "", **learned}
        changes |= {"state": target.value, "updated_at": self._clock()}
        if event is Event.SESSION_LOST:
            changes |= {"epoch": before.epoch + 1, "remote_session": None}
        moved = changes.get("remote_session", before.remote_session) != before.remote_session
        if moved or event in CLEARS_ACKNOWLEDGEMENTS:  # acknowledgements are valid only for their session
            self.db.conn.execute("UPDATE units SET acked = 0 WHERE acked = 1")
            changes.setdefault("published_elsewhere", None)
        if event is Event.COUNTS_DIFFER:
            changes["recounts"] = before.recounts + 1
        self._update(changes)
        self.db.table("events").insert(
            {
                "at": changes["updated_at"],
                "event": event.value,
                "source": before.state.value,
                "target": target.value,
                "detail": changes["detail"],
            }
        )

    @property
    def opened(self) -> bool:
        """Whether a registry may hold any data of this publish.

        This is so after a session was opened, and on the legacy path unless the registry refused the very first write.
        """
        reached = {row.target for row in self.history()}
        if reached & {State.STAGE, State.FINALIZE}:
            return True
        refused = self.progress().state is State.FAILED and not any(t.acked_units for t in self.tally().values())
        return State.FALLBACK in reached and not refused

    def readdress(self, registry: str) -> None:
        """Move a publish that no registry has any data of to another registry, in one transaction.

        Everything that the old registry said is forgotten, including the identity: the session id depends on both.
        Raises UsageProblem if a session was opened, and ImpossibleEvent if the publish ended in another way.
        """
        with self.transaction():
            before = self.plan()
            if self.opened:
                raise UsageProblem(
                    f"publish {before.id} has begun at {before.registry}, and cannot go on at {registry}",
                    kept="What that registry acknowledged is kept.",
                    next_step=f"roar publish --resume {before.id}, or publish again there after: "
                    f"roar journal cancel {before.id}",
                )
            self.db.conn.execute("UPDATE plan SET registry = ?", [registry])
            self._name_registry(NamedBy.OPTION)
            forgotten: Learned = {"capabilities": {}, "credential": None, "identity": None, "why": None}
            forgotten |= {"scope_request": None, "remote_session": None}
            self._checkpoint(Event.READDRESSED, forgotten)
            self.db.conn.execute("UPDATE queue SET parked = 0, attempts = 0, next_attempt = NULL")

    def name_registry(self, by: NamedBy) -> None:
        """Record what names the registry now: the user may have given its address when resuming."""
        with self.transaction():
            self._name_registry(by)

    def _name_registry(self, by: NamedBy) -> None:
        intent = self.plan().intent | {NAMED_BY: by.value}
        self.db.conn.execute("UPDATE plan SET intent = ?", [json.dumps(intent, sort_keys=True)])

    def note(self, *, reason: str, detail: str) -> None:
        """Record why the publish stopped. Does not change its state."""
        with self.transaction():
            self._update({"reason": reason, "detail": detail, "updated_at": self._clock()})

    def note_wait(self, reason: str) -> None:
        """Record what the owner waits for now; "" when it continues. Keeps the reason of a publish that stopped."""
        with self.transaction():
            self.db.conn.execute("UPDATE progress SET reason = ? WHERE detail = ''", [reason])

    def remember(self, **learned: Unpack[Learned]) -> None:
        """Record something learned in the middle of a step. Does not change the state."""
        with self.transaction():
            self._update({**learned})

    def history(self) -> list[Checkpoint]:
        """Return every checkpoint, oldest first."""
        with self.translated():
            rows = self.db.query("SELECT at, event, source, target, detail FROM events ORDER BY id")
            return [Checkpoint(**row) for row in rows]

    # ---------------------------------------------------------------- the units

    def acknowledge(self, units: Sequence[tuple[int, int]]) -> None:
        """Mark units, given as (seq, part), as received by the server, in one transaction."""
        with self.transaction():
            self.db.conn.executemany("UPDATE units SET acked = 1 WHERE seq = ? AND part = ?", units)

    def split(self, whole: Unit, halves: tuple[Unit, Unit]) -> tuple[Unit, Unit]:
        """Replace a unit that the server found too large by two, and return them with their part numbers."""
        first, second = halves
        with self.transaction():
            row = self.db.conn.execute("SELECT max(part) FROM units WHERE seq = ?", [whole.seq]).fetchone()
            first = _numbered(first, whole.part)
            second = _numbered(second, row[0] + 1)
            self.db.conn.execute("DELETE FROM units WHERE seq = ? AND part = ?", [whole.seq, whole.part])
            self.db.conn.executemany(
                "INSERT INTO units (seq, part, kind, job_uid, items, after, body) VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((u.seq, u.part, u.kind.value, u.job_uid, u.items, u.after, _pack(u.body)) for u in (first, second)),
            )
        return first, second

    def pending(self, kinds: Iterable[Kind], *, past: int = 0, limit: int, max_bytes: int) -> list[Unit]:
        """Return the next unacknowledged units after seq `past`, in order: about `limit` units or `max_bytes` of body.

        A page never separates the parts of one seq. A part that a split creates now is therefore not on a later page.
        """
        names = [kind.value for kind in kinds]
        page: list[Unit] = []
        size = 0
        with self.translated():
            cursor = self.db.conn.execute(
                "SELECT seq, part, kind, job_uid, items, after, body FROM units"
                f" WHERE seq > ? AND acked = 0 AND kind IN ({', '.join('?' * len(names))})"
                " ORDER BY seq, part",
                [past, *names],
            )
            for seq, part, kind, job_uid, items, after, body in cursor:
                if (len(page) >= limit or size >= max_bytes) and seq != page[-1].seq:
                    break
                unit = Unit(seq, Kind(kind), job_uid, items, after, zlib.decompress(body), part)
                page.append(unit)
                size += len(unit.body)
            cursor.close()
        return page

    def unacknowledged_nodes(self, kinds: Iterable[Kind]) -> list[int]:
        """Return the seq of every unacknowledged unit of `kinds`, ascending, with one entry per part."""
        names = [kind.value for kind in kinds]
        with self.translated():
            rows = self.db.conn.execute(
                f"SELECT seq FROM units WHERE acked = 0 AND kind IN ({', '.join('?' * len(names))}) ORDER BY seq", names
            )
            return [row[0] for row in rows]

    def bodies(self, kind: Kind) -> Iterator[bytes]:
        """Yield the body of every unit of one kind, in order, acknowledged or not."""
        with self.translated():
            cursor = self.db.conn.execute("SELECT body FROM units WHERE kind = ? ORDER BY seq, part", [kind.value])
            for (body,) in cursor:
                yield zlib.decompress(body)

    def tally(self) -> dict[Kind, Tally]:
        """Return the number of units and items per kind, planned and acknowledged."""
        with self.translated():
            rows = self.db.conn.execute(
                "SELECT kind, count(*), sum(acked), sum(items), sum(items * acked) FROM units GROUP BY kind"
            )
            return {Kind(kind): Tally(*counts) for kind, *counts in rows}

    # ---------------------------------------------------------------- rows

    def _update(self, changes: Mapping[str, Any]) -> None:
        row = _to_row(changes)
        assignments = ", ".join(f"{column} = ?" for column in row)
        self.db.conn.execute(f"UPDATE progress SET {assignments}", list(row.values()))

    def _only_row(self, table: str) -> dict[str, Any]:
        with self.translated():
            row = next(iter(self.db[table].rows), None) if self.db[table].exists() else None
        if row is None:
            raise LocalProblem(
                f"{self.path} holds no finished plan",
                kept="Nothing was sent for it.",
                next_step="roar journal prune --all",
                reason=Reason.NO_PLAN,
            )
        return {name: json.loads(v) if name in _JSON_COLUMNS and v is not None else v for name, v in row.items()}


def _pack(body: bytes) -> bytes:
    return zlib.compress(body, COMPRESSION_LEVEL)


def _numbered(unit: Unit, part: int) -> Unit:
    return Unit(unit.seq, unit.kind, unit.job_uid, unit.items, unit.after, unit.body, part)


def _to_row(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: json.dumps(value, sort_keys=True, default=asdict)
        if name in _JSON_COLUMNS and value is not None
        else value
        for name, value in values.items()
    }
