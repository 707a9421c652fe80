"""What a killed writer leaves behind, and what a full disk does."""

import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from roar_publisher.state.errors import Conclusion, LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import Event, State
from roar_publisher.state.units import Kind, Unit
from tests.support.checkout import TESTS
from tests.support.lineages import chain, cut, plan_of
from tests.support.processes import line_of, running

WRITER = str(TESTS / "support" / "state" / "writer.py")
ROOM = 256 * 1024
"""Bytes of the small disk."""


def fresh_journal(path: Path) -> Journal:
    lineage = cut(chain(40))
    journal = Journal(path)
    journal.units.add(lineage.units)
    journal.freeze(plan_of(lineage, "00c0ffee"))
    return journal


@pytest.mark.parametrize("read_only", [True, False], ids=["a reader", "the next owner"])
def test_a_transaction_of_a_killed_writer_is_rolled_back_by(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "journal.db"
    fresh_journal(path).close()
    with running(WRITER, "transaction", str(tmp_path)) as writer:
        assert line_of(writer) == "writing"
        writer.kill()
    hot = path.with_name("journal.db-journal")
    assert hot.stat().st_size > 0
    assert b"done" in path.read_bytes()  # the file itself holds what was never committed
    with Journal(path, read_only=read_only) as journal:
        assert journal.progress().state is State.PROBE
        assert all(tally.acked_units == 0 for tally in journal.units.tally().values())
        assert list(journal.units.bodies(Kind.JOBS)) == [u.body for u in cut(chain(40)).units if u.kind is Kind.JOBS]


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """`folder` is a file system of its own with little room, where this user may mount one."""
    folder.mkdir()
    options = ("-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder))
    mounted = subprocess.run(["mount", *options], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def assert_it_says_so_and_goes_on(journal: Journal, make_room: Callable[[], object]) -> None:
    before = journal.units.tally()
    with pytest.raises(LocalProblem, match="disk is full") as caught:
        journal.units.add([Unit(10_000, Kind.JOBS, None, 1, 0, random.Random(7).randbytes(ROOM))])
    assert caught.value.reason == "disk full"
    assert caught.value.conclusion is Conclusion.INTERRUPTED
    assert "--resume" in caught.value.next_step
    assert journal.units.tally() == before
    make_room()
    assert journal.checkpoint(Event.PROBED).state is State.AUTH_SELECT
    journal.units.acknowledge([(1, 0)])
    assert journal.units.tally()[Kind.COMPOSITE].acked_units == 1


def test_a_full_disk_is_said_and_the_journal_works_again_once_there_is_room(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    with small_disk(folder), fresh_journal(folder / "journal.db") as journal:
        ballast = folder / "ballast"
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        assert_it_says_so_and_goes_on(journal, ballast.unlink)


def test_a_full_database_is_treated_like_a_full_disk(tmp_path: Path) -> None:
    with fresh_journal(tmp_path / "journal.db") as journal:
        connection = journal.db
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        assert_it_says_so_and_goes_on(journal, lambda: connection.execute("PRAGMA max_page_count = 1000000"))
