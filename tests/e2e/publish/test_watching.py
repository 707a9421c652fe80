"""`roar publish --watch`: what it reports of a journal that another process writes, and how it ends."""

import errno
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from roar_publisher.cli.display.base import QuietDisplay
from roar_publisher.cli.display.output import Output
from roar_publisher.exit_codes import exit_code_of
from roar_publisher.publishing.result import Result
from roar_publisher.publishing.watching import Halted, PublishWatch, WatchStopped
from roar_publisher.report import Advanced, Entered, Noted, ObjectsPlanned, ObjectStored, Planned, Report, Sent, Waiting
from roar_publisher.state.errors import Conclusion, LocalProblem, PublisherError, UsageProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock
from roar_publisher.state.machine import Event, State
from roar_publisher.state.objects import ObjectRow, PartRow
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status_poller import StatusPoller
from roar_publisher.state.units import Kind, Unit
from tests.support.cli.reports import HandClock
from tests.support.lineages import chain, cut, frozen

Act = Callable[[], object]
STAGING = (Event.PROBED, Event.SELECTED, Event.OPENED)
MOST_POLLS = 200
LINEAGE = cut(chain(4))


class Recorder(QuietDisplay):
    """Keeps what a display would draw."""

    def __init__(self) -> None:
        super().__init__(Output(io.StringIO()))
        self.reports: list[Report] = []
        self.result: tuple[State, bool] | None = None

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def published(self, result: Result, *, again: bool = False) -> None:
        self.result = (result.progress.state, again)


@dataclass
class Watched:
    """A publish that this process owns, and a watcher. Each act happens between two polls."""

    folder: StateFolder
    owned: OwnedPublish
    display: Recorder = field(default_factory=Recorder)
    clock: HandClock = field(default_factory=HandClock)
    wall_clock_behind: float = 0.0

    def enter(self, *events: Event, **learned: str) -> None:
        for event in events:
            self.owned.journal.checkpoint(event, **learned)  # type: ignore[arg-type]

    def watch(self, *acts: Act) -> Result:
        script = iter(acts)
        polls = iter(range(MOST_POLLS))

        def sleep(seconds: float) -> None:
            next(polls)  # a watch that does not end fails here
            self.clock.sleep(seconds)
            next(script, lambda: None)()

        def wall_clock() -> float:
            return self.clock() - self.wall_clock_behind

        with StatusPoller(self.owned.paths, self.clock, wall_clock) as poller:
            return PublishWatch(poller, self.display, sleep, self.clock).run()

    def reports_of(self, *acts: Act) -> list[Report]:
        """The reports of watching these acts, after which no process owns the publish."""
        with pytest.raises(Halted):
            self.watch(*acts, self.owned.release)
        return self.display.reports

    def unacknowledged(self, *kinds: Kind) -> list[Unit]:
        return self.owned.journal.units.pending(kinds, limit=100, max_bytes=1_000_000)

    def acknowledge(self, *units: Unit) -> None:
        self.owned.journal.units.acknowledge([(unit.seq, unit.part) for unit in units])

    def publish_as_daemon(self) -> None:
        """Take the released publish, and publish it."""
        with OwnedPublish.open(self.owned.paths) as owned:
            for event in (*STAGING, Event.STAGED, Event.FINALIZED):
                owned.journal.checkpoint(event)


@pytest.fixture
def watched(folder: StateFolder) -> Watched:
    return Watched(folder, frozen(folder, LINEAGE))


# ------------------------------------------------------------------------------------------------------ reports


def test_every_state_is_reported_even_between_two_polls(watched: Watched) -> None:
    reports = watched.reports_of(lambda: watched.enter(*STAGING))
    assert [report for report in reports if isinstance(report, Entered)] == [
        Entered(State.PROBE, None),
        Entered(State.AUTH_SELECT, Event.PROBED),
        Entered(State.OPEN, Event.SELECTED),
        Entered(State.STAGE, Event.OPENED),
    ]


def test_earlier_acknowledgements_are_not_progress(watched: Watched) -> None:
    watched.enter(*STAGING)
    first, second = watched.unacknowledged(Kind.JOBS)
    watched.acknowledge(first)
    reports = watched.reports_of(lambda: watched.acknowledge(second))
    planned = next(report for report in reports if isinstance(report, Planned))
    assert planned.total[Kind.JOBS] == 4
    assert planned.acknowledged[Kind.JOBS] == first.items
    assert Kind.LABELS not in planned.total
    assert [report for report in reports if isinstance(report, Advanced)] == [Advanced(Kind.JOBS, second.items)]


def test_a_lost_session_starts_again(watched: Watched) -> None:
    watched.enter(*STAGING)
    watched.acknowledge(*watched.unacknowledged(Kind.JOBS))
    reports = watched.reports_of(lambda: watched.enter(Event.SESSION_LOST, Event.OPENED))
    planned = [report for report in reports if isinstance(report, Planned)]
    assert (planned[0].acknowledged[Kind.JOBS], planned[-1].acknowledged[Kind.JOBS]) == (4, 0)


def test_parts_of_files_and_then_the_lineage_are_reported(watched: Watched) -> None:
    journal = watched.owned.journal
    journal.objects.add(ObjectRow(seq, key, f"s3://b/{key}", 100, "{}") for seq, key in ((1, "a"), (2, "b")))
    watched.enter(*STAGING)
    journal.objects.acknowledge_stored([(1, "")])
    journal.objects.acknowledge_part(2, PartRow(1, 30, "tag", "f" * 64))
    reports = watched.reports_of(
        lambda: journal.objects.acknowledge_part(2, PartRow(2, 30, "tag", "f" * 64)),
        lambda: journal.objects.forget_parts(2),
        lambda: journal.objects.acknowledge_stored([(2, "")]),
    )
    assert [report for report in reports if not isinstance(report, Entered)] == [
        ObjectsPlanned(2, 1, 200, 100),
        Sent("b", 30),
        Sent("b", 30),
        Sent("b", -60),
        Sent("b", 100),
        ObjectStored("b", 100, sent=True),
        Planned(
            {Kind.COMPOSITE: 1, Kind.JOBS: 4, Kind.ARTIFACTS: 4, Kind.INPUTS: 4, Kind.OUTPUTS: 4},
            {Kind.COMPOSITE: 0, Kind.JOBS: 0, Kind.ARTIFACTS: 0, Kind.INPUTS: 0, Kind.OUTPUTS: 0},
            {Kind.COMPOSITE: 1, Kind.JOBS: 2, Kind.ARTIFACTS: 2, Kind.INPUTS: 4, Kind.OUTPUTS: 4},
        ),
    ]


def test_a_wait_of_the_owner_is_repeated_while_it_lasts(watched: Watched) -> None:
    watched.enter(*STAGING)
    journal = watched.owned.journal
    wait: list[Act] = [lambda: journal.note_wait(Reason.OFFLINE), *[lambda: None] * 17, lambda: journal.note_wait("")]
    reports = watched.reports_of(*wait, *[lambda: None] * 20)
    assert [report for report in reports if isinstance(report, Waiting)] == [Waiting(Reason.OFFLINE, 4.0)] * 2


def test_the_reason_of_an_earlier_stop_is_not_a_wait(watched: Watched) -> None:
    watched.enter(*STAGING)
    watched.owned.journal.note(reason=Reason.OFFLINE, detail="the registry could not be reached")
    reports = watched.reports_of(*[lambda: None] * 3)
    assert not [report for report in reports if isinstance(report, Waiting)]


# ------------------------------------------------------------------------------------------------------- how it ends


def test_a_publish_that_ends_while_it_is_watched(watched: Watched) -> None:
    watched.enter(*STAGING)
    assert watched.watch(lambda: watched.enter(Event.STAGED, Event.FINALIZED))
    assert watched.display.result == (State.DONE, False)


def test_a_publish_that_had_ended_before(watched: Watched) -> None:
    watched.enter(*STAGING, Event.STAGED, Event.FINALIZED)
    assert watched.watch()
    assert watched.display.result == (State.DONE, True)


def test_a_failed_publish_is_the_failure_that_publishing_it_would_be(watched: Watched) -> None:
    with pytest.raises(PublisherError, match="no room for you") as failure:
        watched.watch(lambda: watched.enter(Event.REJECTED, reason=Reason.REJECTED, detail="no room for you"))
    assert (failure.value.conclusion, failure.value.reason) == (Conclusion.FAILED, "rejected")


def test_a_cancelled_publish(watched: Watched) -> None:
    with pytest.raises(UsageProblem, match="was cancelled"):
        watched.watch(lambda: watched.enter(Event.CANCELLED))


def test_without_an_owner_and_a_daemon_the_watch_halts(watched: Watched) -> None:
    watched.owned.journal.note(reason=Reason.OFFLINE, detail="nothing answers")
    watched.owned.release()
    with pytest.raises(Halted, match="is not being worked on, and no daemon runs") as halt:
        watched.watch()
    assert (halt.value.conclusion, halt.value.reason) == (Conclusion.INTERRUPTED, "offline")
    assert halt.value.next_step.startswith(f"roar publish --resume {watched.owned.paths.id}")
    assert "roar daemon start" in halt.value.next_step


def test_one_process_may_hand_it_to_another(watched: Watched) -> None:
    watched.enter(*STAGING)
    nothing: list[Act] = [lambda: None] * 4

    def come_and_finish() -> None:
        with OwnedPublish.open(watched.owned.paths) as owned:
            owned.journal.checkpoint(Event.STAGED)
            owned.journal.checkpoint(Event.FINALIZED)

    assert watched.watch(watched.owned.release, *nothing, come_and_finish)


def test_every_handover_has_its_own_time(watched: Watched) -> None:
    watched.enter(*STAGING)
    nothing: list[Act] = [lambda: None] * 5
    held = [watched.owned]

    def come() -> None:
        held.append(OwnedPublish.open(watched.owned.paths))

    def leave() -> None:
        held[-1].release()

    def finish() -> None:
        held[-1].journal.checkpoint(Event.STAGED)
        held[-1].journal.checkpoint(Event.FINALIZED)
        leave()

    back_and_forth = [leave, *nothing, come, leave, *nothing, come]
    assert watched.watch(*back_and_forth, *back_and_forth, finish)


def test_a_replaced_journal_is_opened_again(watched: Watched) -> None:
    """As when a publish is pruned and imported again."""
    watched.enter(*STAGING)
    paths = watched.owned.paths
    copy = paths.folder / "copy"
    copy.write_bytes(paths.journal.read_bytes())
    with StatusPoller(paths, watched.clock) as poller:
        assert poller.poll().status.progress.state is State.STAGE
        copy.replace(paths.journal)
        with Journal(paths.journal) as journal:
            journal.checkpoint(Event.STAGED)
        assert poller.poll().status.progress.state is State.FINALIZE


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.AUTH, 4),
        (Reason.NEEDS_CONFIRMATION, 4),
        (Reason.FILE_CHANGED, 3),
        (Reason.DEFECT, 1),
        (Reason.OFFLINE, 3),
    ],
)
def test_a_parked_publish_waits_for_the_user_even_with_a_daemon(watched: Watched, reason: Reason, code: int) -> None:
    watched.owned.journal.park(reason=reason, detail="fix this")
    watched.owned.release()
    with Lock(watched.folder.daemon_lock), pytest.raises(Halted, match=r"waits for you .*fix this") as halt:
        watched.watch()
    assert exit_code_of(halt.value.conclusion) == code
    assert f"roar publish --resume {watched.owned.paths.id}" in halt.value.next_step


def test_a_queued_publish_is_watched_while_a_daemon_runs(watched: Watched) -> None:
    watched.owned.journal.note(reason=Reason.THROTTLED, detail="leave me alone")
    watched.owned.journal.queue.postpone(attempts=1, until=watched.clock.now + 10)
    watched.owned.release()
    with Lock(watched.folder.daemon_lock):
        assert watched.watch(*[lambda: None] * 100, watched.publish_as_daemon)
    assert [report for report in watched.display.reports if isinstance(report, Waiting | Noted)] == [
        Waiting(Reason.THROTTLED, 10.0),
        Noted("the daemon starts it when a slot is free"),
    ]


def test_a_publish_whose_registry_is_away_does_not_wait_for_a_slot(watched: Watched) -> None:
    """The daemon gave its slot up, and starts it when the registry answers: there is no time of the next attempt."""
    watched.owned.journal.note(reason=Reason.OFFLINE, detail="the registry cannot be reached: no connection")
    watched.owned.release()
    with Lock(watched.folder.daemon_lock):
        assert watched.watch(*[lambda: None] * 12, watched.publish_as_daemon)
    waits = [report for report in watched.display.reports if isinstance(report, Waiting | Noted)]
    assert waits
    assert all(isinstance(report, Waiting) and report.reason is Reason.OFFLINE for report in waits)


def test_ctrl_c_stops_only_watching(watched: Watched) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(WatchStopped) as stop:
        watched.watch(interrupt)
    assert stop.value.conclusion == Conclusion.STOPPED
    assert stop.value.kept == f"Publish {watched.owned.paths.id} continues."


def test_a_journal_that_is_removed_is_no_longer_watched(watched: Watched) -> None:
    with pytest.raises(LocalProblem, match="no longer on this machine"):
        watched.watch(watched.owned.discard)


def test_a_journal_that_cannot_be_reached_is_not_taken_for_removed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as on a network file system that is away: what watches may be started again."""

    def away(*_: object, **__: object) -> os.stat_result:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    def go_away() -> None:
        monkeypatch.setattr("roar_publisher.state.status_poller.os.stat", away)

    with pytest.raises(LocalProblem, match="cannot be used at this moment") as problem:
        watched.watch(go_away)
    assert problem.value.conclusion is Conclusion.INTERRUPTED


def test_counting_takes_a_small_share_of_the_time(watched: Watched) -> None:
    """Where one count takes a second, the next one comes twenty seconds later, however often one polls."""
    watched.enter(*STAGING)
    units = watched.unacknowledged(Kind.JOBS, Kind.ARTIFACTS)
    ticks = HandClock()

    def counting() -> float:
        ticks.now += 0.5
        return ticks.now

    with StatusPoller(watched.owned.paths, counting) as poller:
        seen = []
        for unit in units[:3]:
            seen.append(poller.poll().status.tally)
            watched.acknowledge(unit)
        ticks.now += 20
        seen.append(poller.poll().status.tally)
    assert seen[0] == seen[1] == seen[2] != seen[3]


def test_a_clock_that_is_set_back_does_not_make_a_watch_wait(watched: Watched) -> None:
    def set_back() -> None:
        watched.wall_clock_behind = 3600.0

    with pytest.raises(Halted):
        watched.watch(watched.owned.release, set_back)


def test_the_owner_is_reported(watched: Watched) -> None:
    with StatusPoller(watched.owned.paths, watched.clock) as poller:
        assert poller.poll().status.owner == os.getpid()
