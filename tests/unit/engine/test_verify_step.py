"""VERIFY: what is published is read back, after a death at any moment too; a difference is kept and undoes nothing."""

from pathlib import Path

import httpx2
import pytest

from roar_publisher.auth.choice import Flag
from roar_publisher.engine.steps import verify as step
from roar_publisher.inspection.findings import Finding, Inspected, Inspection
from roar_publisher.inspection.subjects import Subject
from roar_publisher.registry.store.database import Connection
from roar_publisher.state.debts import Debt, DebtKind
from roar_publisher.state.errors import Transient
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import Event, State
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import DIFFERS, PROVEN, UNCHECKED
from roar_publisher.verification.check import Verification
from roar_publisher.verification.reading import Envelope
from tests.support.auth.worlds import World
from tests.support.engine.receipt_worlds import live, make_world, one_life, without_receipts
from tests.support.faults.mortal import Crash, Life
from tests.support.sampling import sample


def verified_world(folder: Path, flag: Flag = Flag.PUBLIC, *, key: bool = True) -> World:
    world = make_world(folder, flag=flag, key=key)
    with Journal(world.paths.journal) as journal:
        journal.remember(verify=True)
    return world


def events(world: World) -> list[tuple[str, str]]:
    with Journal(world.paths.journal) as journal:
        return [(row.event, row.target) for row in journal.history()]


@pytest.mark.parametrize("flag", [Flag.PUBLIC, Flag.PRIVATE, Flag.ANONYMOUS])
def test_what_is_published_is_proven(tmp_path: Path, flag: Flag) -> None:
    world = verified_world(tmp_path, flag, key=flag is not Flag.ANONYMOUS)
    progress = live(world)
    assert (progress.state, progress.verification) == (State.DONE, {"outcome": PROVEN, "why": ""})
    assert progress.differs == ""
    assert events(world)[-2:] == [("finalized", "verify"), ("verified", "done")]
    assert world.calls("/readback")


def test_a_check_that_is_taken_back_is_not_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By `--resume ID --no-verify`, while it takes too long."""
    world = verified_world(tmp_path)

    async def interrupted(*_: object) -> Verification:
        raise Transient("the network is gone", reason=Reason.OFFLINE)

    monkeypatch.setattr(step, "verify_lineage", interrupted)
    assert isinstance(one_life(world, None), Transient)
    with Journal(world.paths.journal) as journal:
        journal.remember(verify=False)
    progress = live(world)
    assert (progress.state, progress.verification) == (State.DONE, {"outcome": UNCHECKED, "why": "it was given up"})
    assert not world.calls("/readback")


def test_what_is_not_to_be_verified_is_not_read(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    progress = live(world)
    assert (progress.verification, events(world)[-1], world.calls("/readback")) == (None, ("finalized", "done"), [])


def test_a_difference_is_kept_and_undoes_nothing(tmp_path: Path) -> None:
    world = verified_world(tmp_path)

    def damage(connection: Connection) -> None:
        connection.execute("UPDATE jobs SET command = 'other'")

    def change(path: str) -> None:
        if path.endswith("/readback"):
            world.store.write(damage)

    world.instead = change
    progress = live(world)
    assert (progress.state, progress.hash is not None) == (State.DONE, True)
    assert progress.verification is not None
    assert progress.verification["outcome"] == DIFFERS
    assert progress.verification["differences"][0][:3] == ["lineage", "hash", progress.hash]
    assert "1 difference" in progress.differs


def test_what_cannot_be_reached_is_verified_later(tmp_path: Path) -> None:
    world = verified_world(tmp_path)
    world.instead = lambda path: httpx2.Response(503) if path.endswith("/readback") else None
    problem = one_life(world)
    assert isinstance(problem, Transient)
    assert events(world)[-1] == ("finalized", "verify")
    world.instead = lambda path: None
    with Journal(world.paths.journal) as journal:  # what is owed does not take its place
        journal.remember(owed=(Debt(DebtKind.MARKS, "it was locked", Reason.DATABASE),))
    progress = live(world)
    assert (progress.state, progress.verification) == (State.DONE, {"outcome": PROVEN, "why": ""})
    assert len(world.calls("/finalize")) == 1


def test_giving_the_check_up_leaves_what_is_published(tmp_path: Path) -> None:
    world = verified_world(tmp_path)
    world.instead = lambda path: httpx2.Response(503) if path.endswith("/readback") else None
    one_life(world)
    with Journal(world.paths.journal) as journal:
        assert journal.checkpoint(Event.CANCELLED).state is State.DONE


def test_a_registry_that_cannot_be_read_back_is_noted(tmp_path: Path) -> None:
    world = verified_world(tmp_path)
    world.instead = without_receipts
    progress = live(world)
    assert progress.state is State.DONE
    assert progress.verification is not None
    assert progress.verification["outcome"] == UNCHECKED
    assert "lineage_readback" in progress.verification["why"]
    assert (progress.differs, progress.hash is not None) == ("", True)


def test_a_process_that_dies_at_any_moment_verifies_in_its_next_life(tmp_path: Path) -> None:
    reference, life = verified_world(tmp_path / "reference"), Life()
    live(reference, life)
    late = next(number for number, what in enumerate(life.moments, 1) if "finalize" in what)
    for moment in sample("moments of verifying", range(late, len(life.moments) + 1), 8):
        world = verified_world(tmp_path / str(moment))
        assert isinstance(one_life(world, Life(moment)), Crash), life.moments[moment - 1]
        progress = live(world)
        assert (progress.state, progress.verification) == (State.DONE, {"outcome": PROVEN, "why": ""})
        assert events(world).count(("verified", "done")) == 1


@pytest.mark.parametrize(
    ("findings", "outcome", "why"),
    [
        ([Finding.PROVEN], PROVEN, ""),
        ([Finding.PROVEN, Finding.UNREADABLE], UNCHECKED, "1 object could not be read"),
        ([Finding.MISSING, Finding.UNREADABLE], DIFFERS, "1 object missing, truncated or changed, 1 object could not"),
    ],
)
def test_the_journal_keeps_what_the_objects_of_a_put_are(findings: list[Finding], outcome: str, why: str) -> None:
    inspection = Inspection()
    for finding in findings:
        inspection.add(Inspected(Subject(f"s3://bucket/{finding}", "0" * 64), finding, "so"), by_reading=False)
    served = Envelope("a" * 64, True, "anonymous", {}, 1, 0, 0)
    kept = step._kept(Verification("a" * 64, "a" * 64, served, ()), inspection)
    assert (kept["outcome"], kept["why"][: len(why)], bool(kept["why"])) == (outcome, why, bool(why))
    wrong = [[f"s3://bucket/{finding}", finding, "so"] for finding in findings if finding is not Finding.PROVEN]
    assert kept.get("objects", []) == wrong
