"""Converts changes between two observations of a publish into the reports that its owner would have made."""

from roar_publisher.report import Advanced, Entered, ObjectsPlanned, ObjectStored, Planned, Reporter, Sent, Waiting
from roar_publisher.state.machine import Event, State
from roar_publisher.state.meanings import Turn
from roar_publisher.state.objects import ObjectProgress
from roar_publisher.state.reasons import Reason, reason_of
from roar_publisher.state.status import CountedStatus
from roar_publisher.state.status_poller import Observation
from roar_publisher.state.units import Kind, Tally

RETRY_SECONDS = 4.0
"""The maximum interval between attempts while an owner or the daemon waits for a network or a server."""
SENDING: dict[State, frozenset[Kind]] = {
    State.STAGE: frozenset(Kind) - {Kind.LABELS},
    State.FINALIZE: frozenset({Kind.LABELS}),
    State.FALLBACK: frozenset(Kind),
}
"""The kinds of units that are sent in each state. Other states send nothing."""
STORING = (State.STAGE, State.FALLBACK)
"""States that begin with storing the files of a put."""


class ChangeReporter:
    """Compares successive observations and reports the changes."""

    def __init__(self, report: Reporter) -> None:
        self._report = report
        self._before: Observation | None = None
        self._storing = False
        self._waiting = ("", 0.0)  # the reason, and until when in Unix seconds

    def take(self, seen: Observation) -> None:
        """Report what is new in an observation."""
        before, self._before = self._before, seen
        if before is None:
            self._report(Entered(seen.status.progress.state, None))
            self._announce(seen)
        elif news := seen.history[len(before.history) :]:
            for checkpoint in news:
                self._report(Entered(State(checkpoint.target), Event(checkpoint.event)))
            self._announce(seen)
        elif self._storing:
            self._report_stored(before, seen)
        else:
            self._report_sent(before.status, seen.status)
        self._report_wait(seen.status)

    def _announce(self, seen: Observation) -> None:
        """Report how much there is to do in the new state, and how much is done."""
        status, objects = seen.status, seen.objects.values()
        self._waiting = ("", 0.0)
        self._storing = status.progress.state in STORING and not all(each.stored for each in objects)
        if self._storing:
            total = status.objects
            self._report(ObjectsPlanned(total.objects, total.stored, total.size, total.stored_size))
            for each in objects:
                if each.sent and not each.stored:
                    self._report(Sent(each.key, each.sent))
        elif status.live:
            self._report(Planned.of(_sent_in(status)))

    def _report_stored(self, before: Observation, seen: Observation) -> None:
        for seq, now in seen.objects.items():
            known = before.objects.get(seq, ObjectProgress(now.key, now.size, 0, stored=False))
            if now.sent != known.sent:
                self._report(Sent(now.key, now.sent - known.sent))
            if now.stored and not known.stored:
                self._report(ObjectStored(now.key, now.size, sent=True))
        if all(each.stored for each in seen.objects.values()):
            self._announce(seen)

    def _report_sent(self, before: CountedStatus, status: CountedStatus) -> None:
        known = _sent_in(before)
        for kind, tally in _sent_in(status).items():
            items, units = tally.acked_items, tally.acked_units
            if kind in known:
                items, units = items - known[kind].acked_items, units - known[kind].acked_units
            if items:
                self._report(Advanced(kind, items, units))

    def _report_wait(self, status: CountedStatus) -> None:
        """Report what is waited for, once, and again if it takes longer."""
        now, reason = status.host.now, status.progress.reason
        if status.owner is not None:
            # With a detail, the reason is why an earlier run stopped.
            waits, until = bool(reason) and not status.progress.detail, now + RETRY_SECONDS
        elif status.by_daemon and status.meaning.turn is Turn.NETWORK:
            waits, until = True, now + RETRY_SECONDS  # the daemon probes until something answers
        else:
            waits, until = status.next_attempt is not None and not status.parked, status.next_attempt or 0.0
        if not waits:
            self._waiting = ("", 0.0)
        elif reason != self._waiting[0] or now >= self._waiting[1]:
            self._waiting = (reason, until)
            self._report(Waiting(reason_of(reason, otherwise=Reason.LOCAL), until - now))


def _sent_in(status: CountedStatus) -> dict[Kind, Tally]:
    kinds = SENDING.get(status.progress.state, frozenset())
    return {kind: tally for kind, tally in status.tally.items() if kind in kinds}
