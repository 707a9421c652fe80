"""The journal: every fact is one transaction, and no crash or full disk leaves half of one."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from roar_publisher.state.errors import Conclusion, LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import Event, ImpossibleEvent, State
from roar_publisher.state.reasons import Reason
from roar_publisher.state.units import SMALL_BODY, Kind, Tally, Unit
from tests.support.lineages import chain, cut, plan_of

EVERY_KIND = tuple(Kind)
NO_LIMIT = 1 << 30


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path, clock: Callable[[], float]) -> Iterator[Journal]:
    """A frozen plan of six jobs; its units hold at most three items each."""
    lineage = cut(chain(6))
    with Journal(path, clock=clock) as journal:
        journal.units.add(lineage.units)
        journal.freeze(plan_of(lineage, "00c0ffee"))
        yield journal


def pending(journal: Journal, *, past: int = 0, limit: int = 1000, max_bytes: int = NO_LIMIT) -> list[tuple[int, int]]:
    units = journal.units.pending(EVERY_KIND, past=past, limit=limit, max_bytes=max_bytes)
    return [(unit.seq, unit.part) for unit in units]


def unit(seq: int, *, items: int = 4, part: int = 0) -> Unit:
    body = b"[%b]" % b",".join(b"%d" % n for n in range(items))
    return Unit(seq, Kind.ARTIFACTS, None, items, 0, body, part)


def reach(journal: Journal, *events: Event) -> None:
    for event in events:
        journal.checkpoint(event)


def reach_stage(journal: Journal, session: str = "session-1") -> None:
    reach(journal, Event.PROBED, Event.SELECTED)
    journal.checkpoint(Event.OPENED, remote_session=session)


def test_a_new_publish_begins_at_probe_with_everything_to_send(journal: Journal) -> None:
    assert journal.frozen()
    assert journal.progress().state is State.PROBE
    assert all(tally.acked_units == 0 for tally in journal.units.tally().values())


def test_the_plan_comes_back_as_it_was_frozen(journal: Journal) -> None:
    lineage = cut(chain(6))
    assert journal.plan() == plan_of(lineage, "00c0ffee")
    assert journal.units.pending(EVERY_KIND, limit=1000, max_bytes=NO_LIMIT) == lineage.units


@pytest.mark.parametrize(("size", "window_bits"), [(0, 12), (SMALL_BODY, 12), (SMALL_BODY + 1, 15)])
def test_only_a_large_body_needs_the_tables_of_a_large_window(path: Path, size: int, window_bits: int) -> None:
    with Journal(path) as journal:
        unit = Unit(1, Kind.OUTPUTS, "job", 1, 0, b"x" * size)
        journal.units.add([unit])
        with closing(sqlite3.connect(path)) as reader:
            (packed,) = reader.execute("SELECT body FROM units").fetchone()
        assert (packed[0] >> 4) + 8 == window_bits  # RFC 1950: the window in the header
        assert journal.units.pending(EVERY_KIND, limit=1, max_bytes=NO_LIMIT) == [unit]


def test_a_journal_without_a_plan_says_so(path: Path) -> None:
    with Journal(path) as journal:
        assert not journal.frozen()
        with pytest.raises(LocalProblem, match="no finished plan") as caught:
            journal.plan()
    assert caught.value.reason == "no plan"


def test_a_plan_is_frozen_only_once(journal: Journal) -> None:
    before = journal.plan()
    with pytest.raises(LocalProblem):
        journal.freeze(plan_of(cut(chain(2)), "00c0ffee"))
    assert journal.plan() == before


def test_a_checkpoint_writes_event_state_and_learned_together(journal: Journal, path: Path) -> None:
    after = journal.checkpoint(Event.PROBED, capabilities={"anonymous_public": True})
    with Journal(path, read_only=True) as reader:
        assert reader.progress() == after
        assert [(c.event, c.source, c.target) for c in reader.history()] == [("probed", "probe", "auth-select")]
    assert after.state is State.AUTH_SELECT
    assert after.capabilities == {"anonymous_public": True}


def test_a_checkpoint_that_fails_half_way_leaves_nothing(journal: Journal, path: Path) -> None:
    reach_stage(journal)
    journal.units.acknowledge([(1, 0)])
    before, history = journal.progress(), journal.history()
    with closing(sqlite3.connect(path)) as saboteur:  # the last statement of a checkpoint will fail
        saboteur.execute("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
    with pytest.raises(LocalProblem):
        journal.checkpoint(Event.SESSION_LOST, detail="gone")
    assert (journal.progress(), journal.history()) == (before, history)
    assert (1, 0) not in pending(journal)


def test_an_impossible_event_writes_nothing(journal: Journal) -> None:
    before = journal.progress()
    with pytest.raises(ImpossibleEvent):
        journal.checkpoint(Event.FINALIZED, hash="f" * 64)
    assert journal.progress() == before
    assert journal.history() == []


def test_a_note_may_name_a_file_whose_name_is_no_utf_8(journal: Journal) -> None:
    """Such as the user's SSH key, or the file of an export."""
    name, shown = os.fsdecode(b"/home/caf\xe9"), r"/home/caf\udce9"
    journal.note(reason=Reason.LOCAL, detail=f"{name} is full")
    assert journal.progress().detail == f"{shown} is full"
    journal.park(reason=Reason.SSH_KEY, detail=f"{name} cannot be read")
    assert journal.progress().detail == f"{shown} cannot be read"
    journal.checkpoint(Event.REJECTED, reason=Reason.LOCAL, detail=name)
    assert journal.progress().detail == journal.history()[-1].detail == shown


def test_a_note_keeps_the_state_and_the_next_checkpoint_clears_it(journal: Journal) -> None:
    journal.note(reason=Reason.OFFLINE, detail="no route")
    assert (journal.progress().state, journal.progress().reason) == (State.PROBE, "offline")
    assert journal.checkpoint(Event.PROBED).reason == ""


def test_acknowledged_units_are_not_pending(journal: Journal) -> None:
    everything = pending(journal)
    journal.units.acknowledge(everything[:2])
    journal.units.acknowledge(everything[:2])
    assert pending(journal) == everything[2:]
    assert journal.units.tally()[Kind.COMPOSITE] == Tally(1, 1, 1, 1)


@pytest.mark.parametrize("source", [State.STAGE, State.FINALIZE])
def test_a_lost_session_forgets_what_only_it_knew(journal: Journal, source: State) -> None:
    reach_stage(journal)
    everything = pending(journal)
    journal.units.acknowledge(everything)
    journal.remember(published_elsewhere="ab" * 32, binding_prepared=True)
    if source is State.FINALIZE:
        reach(journal, Event.STAGED)
    after = journal.checkpoint(Event.SESSION_LOST, detail="gone")
    assert (after.state, after.epoch, after.remote_session) == (State.OPEN, 1, None)
    assert (after.published_elsewhere, after.binding_prepared) == (None, False)
    assert pending(journal) == everything


def test_opening_the_same_session_again_keeps_acknowledgements(journal: Journal) -> None:
    reach_stage(journal)
    journal.units.acknowledge([(1, 0), (2, 0)])
    reach(journal, Event.CREDENTIAL_REJECTED, Event.SELECTED)
    journal.checkpoint(Event.OPENED, remote_session="session-1")
    assert not {(1, 0), (2, 0)} & set(pending(journal))


def test_another_session_starts_without_acknowledgements(journal: Journal) -> None:
    reach_stage(journal)
    everything = pending(journal)
    journal.units.acknowledge(everything)
    reach(journal, Event.CREDENTIAL_REJECTED, Event.SELECTED)
    journal.checkpoint(Event.OPENED, remote_session="session-2")
    assert pending(journal) == everything


def test_counts_that_differ_send_everything_once_more(journal: Journal) -> None:
    reach_stage(journal)
    everything = pending(journal)
    journal.units.acknowledge(everything)
    reach(journal, Event.STAGED)
    after = journal.checkpoint(Event.COUNTS_DIFFER, detail="5 expected")
    assert (after.state, after.recounts, after.remote_session) == (State.STAGE, 1, "session-1")
    assert pending(journal) == everything
    reach(journal, Event.STAGED)
    assert journal.checkpoint(Event.COUNTS_DIFFER).state is State.FAILED


def test_a_split_replaces_the_whole_by_its_halves(journal: Journal) -> None:
    whole = journal.units.pending([Kind.JOBS], limit=1, max_bytes=NO_LIMIT)[0]
    half = Unit(whole.seq, whole.kind, None, 1, whole.after, b"[1]")
    first, second = journal.units.split(whole, (half, half))
    assert [(u.seq, u.part) for u in (first, second)] == [(whole.seq, 0), (whole.seq, 1)]
    assert [p for p in pending(journal) if p[0] == whole.seq] == [(whole.seq, 0), (whole.seq, 1)]
    third, fourth = journal.units.split(first, (half, half))
    assert [u.part for u in (third, fourth)] == [0, 2]
    assert journal.units.unacknowledged_nodes([Kind.JOBS]).count(whole.seq) == 3


def test_pages_follow_each_other_without_gap_or_overlap(journal: Journal) -> None:
    everything = pending(journal)
    for limit in (1, 2, 5, 1000):
        pages: list[tuple[int, int]] = []
        while page := pending(journal, past=pages[-1][0] if pages else 0, limit=limit):
            assert len(page) <= limit
            pages += page
        assert pages == everything


def test_a_page_ends_soon_after_its_bytes_are_full(journal: Journal) -> None:
    assert len(pending(journal, max_bytes=1)) == 1


def test_a_page_never_ends_within_a_unit_that_was_split(path: Path) -> None:
    """Otherwise the next page would hand out again the halves that a split made meanwhile."""
    with Journal(path) as journal:
        journal.units.add([unit(1), unit(2), unit(3)])
        whole = unit(1)
        half = unit(1, items=2)
        journal.units.split(whole, (half, half))
        assert pending(journal, limit=1) == [(1, 0), (1, 1)]
        assert pending(journal, past=1, limit=1) == [(2, 0)]
        journal.units.split(unit(2), (unit(2, items=2), unit(2, items=2)))
        assert pending(journal, past=2) == [(3, 0)]


def test_bodies_of_a_kind_come_whether_acknowledged_or_not(journal: Journal) -> None:
    journal.units.acknowledge(pending(journal))
    assert [len(body) > 2 for body in journal.units.bodies(Kind.JOBS)] == [True, True]


def test_between_two_bodies_another_process_may_write(journal: Journal, path: Path) -> None:
    bodies = journal.units.bodies(Kind.JOBS)
    next(bodies)
    with closing(sqlite3.connect(path, timeout=0)) as another:
        another.execute("UPDATE units SET acked = acked")
        another.commit()
    assert len(list(bodies)) == 1


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_however_many_bodies_are_read_at_once_each_comes_once(
    journal: Journal, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = list(journal.units.bodies(Kind.JOBS))
    monkeypatch.setattr("roar_publisher.state.units.BODIES_AT_ONCE", at_once)
    assert list(journal.units.bodies(Kind.JOBS)) == every
    assert len(every) == 2


def test_what_is_committed_is_on_the_disk(journal: Journal) -> None:
    """The pragmas that only a power failure would test; FULL is 2. With a write-ahead log, other rules would hold."""
    (synchronous,) = journal.db.execute("PRAGMA synchronous").fetchone()
    (mode,) = journal.db.execute("PRAGMA journal_mode").fetchone()
    assert (synchronous, mode) == (2, "truncate")


def test_closing_twice_is_harmless(path: Path) -> None:
    journal = Journal(path)
    journal.close()
    journal.close()


def test_readers_cannot_write(journal: Journal, path: Path) -> None:
    with Journal(path, read_only=True) as reader, pytest.raises(LocalProblem):
        reader.note(reason=Reason.DEFECT, detail="")
    assert journal.progress().reason == ""


def test_readers_do_not_alter_the_file(journal: Journal, path: Path) -> None:
    journal.close()
    before = path.read_bytes()
    with Journal(path, read_only=True) as reader:
        reader.plan(), reader.progress(), reader.units.tally(), reader.history()
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir() if p.stat().st_size] == [path.name]


def test_a_reader_between_two_looks_blocks_no_process(journal: Journal, path: Path) -> None:
    with Journal(path, read_only=True) as reader:
        for _ in range(3):
            assert reader.progress() == journal.progress()
            journal.units.acknowledge(pending(journal)[:1])
        assert reader.units.tally() == journal.units.tally()


def test_a_reader_of_a_missing_journal_creates_nothing(path: Path) -> None:
    with pytest.raises(LocalProblem):
        Journal(path, read_only=True)
    assert not path.exists()


def test_a_file_that_is_no_journal_is_a_local_problem(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(LocalProblem) as caught:
        Journal(path)
    assert caught.value.reason == "damaged journal"
    assert path.read_bytes().startswith(b"this is no database")


def test_a_body_that_does_not_unpack_is_damage(journal: Journal) -> None:
    journal.db.execute("UPDATE units SET body = x'00' WHERE seq = 1")
    with pytest.raises(LocalProblem) as caught:
        pending(journal)
    assert caught.value.reason == "damaged journal"


def test_tables_that_this_sqlite_can_not_parse_are_no_damage(journal: Journal, path: Path) -> None:
    """A newer SQLite may know how: what is damaged may be removed, this may not."""
    journal.close()
    content = path.read_bytes()
    assert b"CREATE TABLE" in content
    path.write_bytes(content.replace(b"CREATE TABLE", b"CREATE TABEL", 1))
    with pytest.raises(LocalProblem) as caught:
        Journal(path)
    assert (caught.value.reason, caught.value.conclusion) == ("journal", Conclusion.INTERRUPTED)


def test_a_journal_that_can_not_be_opened_is_kept_and_resumed_later(tmp_path: Path) -> None:
    with pytest.raises(LocalProblem) as caught:
        Journal(tmp_path)
    assert (caught.value.reason, caught.value.conclusion) == ("journal", Conclusion.INTERRUPTED)
    assert caught.value.next_step == "move that away, then: roar publish --resume"
