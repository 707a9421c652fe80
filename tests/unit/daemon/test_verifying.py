"""The checks of a daemon: only while there is nothing to publish, and never again before they are due."""

import logging
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Never

import anyio
import pytest

from roar_publisher.checking import scheduled
from roar_publisher.checking.checks import DueCheck, due_again, record_check
from roar_publisher.checking.service import VerifyOrder
from roar_publisher.daemon.service import SCAN_INTERVAL_SECONDS
from roar_publisher.daemon.verifying import PAUSE_SECONDS
from roar_publisher.exit_codes import ExitCode
from roar_publisher.state.errors import Interrupted
from roar_publisher.state.limits import DEFAULT_LIMITS
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.verification.errors import CannotCheck
from tests.support.daemon.scenarios import WORK_SECONDS, on
from tests.support.daemon.worlds import Machine
from tests.support.lineages import chain, cut, frozen

CHECK_SECONDS = 1000.0


class DefectiveChecks:
    """Checks that meet what nobody has expected."""

    looked = 0

    async def next(self, stop: anyio.Event) -> str | None:
        self.looked += 1
        raise OverflowError("a port")


class CountedChecks:
    """Three long checks. running: whether one is under way."""

    def __init__(self) -> None:
        self.left = 3
        self.running = False
        self.looked = self.interrupted = 0

    async def next(self, stop: anyio.Event) -> str | None:
        self.looked += 1
        if not self.left:
            return None
        self.running = True
        try:
            with anyio.move_on_after(CHECK_SECONDS):
                await stop.wait()
                self.interrupted += 1
                raise Interrupted
        finally:
            self.running = False
        self.left -= 1
        return "verified"


def test_a_check_gives_way_to_every_publish_and_goes_on_afterwards(tmp_path: Path) -> None:
    checks = CountedChecks()

    async def scenario(machine: Machine) -> None:
        machine.checks = checks
        machine.leave()
        async with machine.daemon():
            await anyio.sleep(0.5)
            assert checks.looked == 0, "there is something to publish"
            await machine.until(lambda: checks.running, 10 * WORK_SECONDS)
            machine.check_published()
            machine.leave()
            await anyio.sleep(SCAN_INTERVAL_SECONDS + 0.5)
            assert not checks.running
            await machine.until(lambda: not checks.left, 4 * CHECK_SECONDS)
            machine.check_published()
            await anyio.sleep(1)  # it looks once more, and finds nothing
            looked = checks.looked
            await anyio.sleep(PAUSE_SECONDS * 0.9)
            assert checks.looked <= looked + 1, "it looks again after a pause, and when it has started again"
        assert checks.interrupted == 1

    on(tmp_path, scenario)


def test_a_defect_of_a_check_ends_no_daemon(tmp_path: Path) -> None:
    checks = DefectiveChecks()

    async def scenario(machine: Machine) -> None:
        machine.checks = checks
        async with machine.daemon():
            await machine.until(lambda: checks.looked == 2, 3 * PAUSE_SECONDS)
            machine.leave()
            await anyio.sleep(SCAN_INTERVAL_SECONDS + 2 * WORK_SECONDS)
            machine.check_published()

    on(tmp_path, scenario)


def published(folder: StateFolder, *names: str) -> float:
    """Let this machine have a published lineage for each name. Return when the last was published."""
    for name in names:
        with frozen(folder, cut(chain(1))) as owned:
            journal = owned.journal
            for event in (Event.PROBED, Event.SELECTED, Event.OPENED, Event.STAGED):
                journal.checkpoint(event)
            journal.checkpoint(Event.FINALIZED, hash=name * 16)
            at = journal.progress().updated_at
    return at


def test_what_is_verified_is_due_again_after_its_age(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    at = published(folder, "aaaa", "bbbb")

    def due(now: float) -> list[PublishPaths]:
        return [each.paths for each in due_again(folder, 100.0, now)]

    assert due(at + 50) == []
    first, second = due_again(folder, 100.0, at + 200)
    record_check(folder, first, 0, at + 200)
    assert due(at + 250) == [second.paths]
    assert due(at + 300) == [second.paths, first.paths]
    record_check(folder, second, 1, at + 10_000)
    assert due(at + 350) == [second.paths, first.paths], "a time ahead does not count"


def test_a_damaged_record_costs_verifying_everything_once_more(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "state")
    now = published(folder, "aaaa") + 200
    for _ in range(2):
        (found,) = due_again(folder, 100.0, now)
        record_check(folder, found, 0, now)
        assert due_again(folder, 100.0, now) == []
        folder.inspections.write_bytes(b"damaged" * 1000)


def test_what_cannot_be_checked_waits_and_what_is_interrupted_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checks that a daemon makes itself, without a registry."""
    folder, ends = StateFolder(tmp_path / "state"), list[Exception]()
    ends += [Interrupted(), CannotCheck("it is away", reason=Reason.OFFLINE), OverflowError("a port")]
    now = published(folder, "aaaa", "bbbb") + 200

    async def verify(order: VerifyOrder, _folder: StateFolder, _stop: anyio.Event) -> Never:
        assert order.objects is not None
        assert order.objects.resume
        raise ends.pop(0)

    async def scenario() -> None:
        checks = scheduled.ScheduledChecks(folder, 100.0, DEFAULT_LIMITS, lambda: now, logging.getLogger("checks"))
        with pytest.raises(Interrupted):
            await checks.next(anyio.Event())
        assert str(await checks.next(anyio.Event())).endswith("cannot be verified: it is away")
        assert str(await checks.next(anyio.Event())).endswith("a defect of roar-publisher (OverflowError)")
        assert await checks.next(anyio.Event()) is None
        assert scans == [now, now], "not one for each check"
        soon = due_again(folder, 100.0, now + 13)
        assert len(soon) == 1, "its registry was away"
        assert len(due_again(folder, 100.0, now + 100)) == 2

    scans = scans_of(monkeypatch)
    monkeypatch.setattr(scheduled, "verify", verify)
    anyio.run(scenario)
    assert ends == []


def scans_of(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list that gets the time of every look at all journals."""
    scans: list[float] = []

    def watched(folder: StateFolder, age: float, now: float) -> list[DueCheck]:
        scans.append(now)
        return due_again(folder, age, now)

    monkeypatch.setattr(scheduled, "due_again", watched)
    return scans


def test_the_journals_are_read_once_for_all_that_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what was verified or pruned since by a command is left out."""
    folder = StateFolder(tmp_path / "state")
    now = published(folder, "aaaa", "bbbb", "cccc", "dddd") + 200
    scans, verified = scans_of(monkeypatch), list[str]()

    async def verify(order: VerifyOrder, _folder: StateFolder, _stop: anyio.Event) -> SimpleNamespace:
        verified.append(order.hash)
        return SimpleNamespace(exit_code=ExitCode.PUBLISHED)

    async def scenario() -> None:
        checks = scheduled.ScheduledChecks(folder, 100.0, DEFAULT_LIMITS, lambda: now, logging.getLogger("checks"))
        _first, elsewhere, pruned, last = due_again(folder, 100.0, now)
        await checks.next(anyio.Event())
        record_check(folder, elsewhere, 0, now)
        shutil.rmtree(pruned.paths.folder)
        assert await checks.next(anyio.Event()) == f"publish {last.paths.id} verified: proven"
        assert scans == [now]
        assert await checks.next(anyio.Event()) is None
        assert len(verified) == 2

    monkeypatch.setattr(scheduled, "verify", verify)
    anyio.run(scenario)
