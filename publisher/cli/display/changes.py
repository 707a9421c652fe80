"""Converts changes between two observations of a publish into the reports that its owner would have made."""

from collections.abc import Callable

from roar_publisher.cli.display.poller import File, Snapshot
from roar_publisher.report import Advanced, Entered, ObjectsPlanned, ObjectStored, Planned, Reporter, Sent, Waiting
from roar_publisher.state.machine import Event, State
from roar_publisher.state.record import Tally
from roar_publisher.state.units import Kind

KNOCKING_SECONDS = 4.0
"""The maximum interval between an owner's attempts while it waits for a network or a server."""
SENDING: dict[State, frozenset[Kind]] = {
    State.STAGE: frozenset(Kind) - {Kind.LABELS},
    State.FINALIZE: frozenset({Kind.LABELS}),
    State.FALLBACK: frozenset(Kind),
}
"""The kinds of units that are sent in each state. Other states send nothing."""
STORING = (State.STAGE, State.FALLBACK)
"""States that begin with storing the files of a put."""


class Changes:
    """Compares successive observations and reports the changes. now: Unix seconds."""

    def __init__(self, report: Reporter, now: Callable[[], float]) -> None:
        self._report = report
        self._now = now
        self._before: Snapshot | None = None
        self._storing = False
        self._waiting = ("", 0.0)  # the reason, and until when

    def take(self, sight: Snapshot) -> None:
        """Report what is new in an observation."""
        before, self._before = self._before, sight
        if before is None:
            self._report(Entered(sight.progress.state, None))
            self._announce(sight)
        elif news := sight.history[len(before.history) :]:
            for checkpoint in news:
                self._report(Entered(State(checkpoint.target), Event(checkpoint.event)))
            self._announce(sight)
        elif self._storing:
            self._store(before, sight)
        else:
            self._send(before, sight)
        self._wait(sight)

    def _announce(self, sight: Snapshot) -> None:
        """Report how much there is to do in the new state, and how much is done."""
        files = sight.counts.files.values()
        self._waiting = ("", 0.0)
        self._storing = sight.progress.state in STORING and not all(file.stored for file in files)
        if self._storing:
            stored = [file.size for file in files if file.stored]
            self._report(ObjectsPlanned(len(files), len(stored), sum(file.size for file in files), sum(stored)))
            for file in files:
                if file.there and not file.stored:
                    self._report(Sent(file.key, file.there))
        elif sight.live:
            self._report(Planned.of(_sent_in(sight)))

    def _store(self, before: Snapshot, sight: Snapshot) -> None:
        for seq, file in sight.counts.files.items():
            known = before.counts.files.get(seq, File(file.key, file.size, 0, False))
            if file.there != known.there:
                self._report(Sent(file.key, file.there - known.there))
            if file.stored and not known.stored:
                self._report(ObjectStored(file.key, file.size, sent=True))
        if all(file.stored for file in sight.counts.files.values()):
            self._announce(sight)

    def _send(self, before: Snapshot, sight: Snapshot) -> None:
        known = _sent_in(before)
        for kind, tally in _sent_in(sight).items():
            items, requests = tally.acked_items, tally.acked_units
            if kind in known:
                items, requests = items - known[kind].acked_items, requests - known[kind].acked_units
            if items:
                self._report(Advanced(kind, items, 0, requests))

    def _wait(self, sight: Snapshot) -> None:
        """Report what is waited for, once, and again if it takes longer."""
        now = self._now()
        reason, until = sight.progress.reason, sight.queued.next_attempt or 0.0
        if sight.owner is not None:
            # With a detail, the reason is why an earlier run stopped.
            waits = bool(reason) and not sight.progress.detail
            until = now + KNOCKING_SECONDS
        else:
            waits = sight.live and not sight.queued.parked and until > now
        if not waits:
            self._waiting = ("", 0.0)
        elif reason != self._waiting[0] or now >= self._waiting[1]:
            self._waiting = (reason, until)
            self._report(Waiting(reason, until - now))


def _sent_in(sight: Snapshot) -> dict[Kind, Tally]:
    kinds = SENDING.get(sight.progress.state, frozenset())
    return {kind: tally for kind, tally in sight.counts.tally.items() if kind in kinds}
