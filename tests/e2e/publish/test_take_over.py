"""Taking a publish over from the daemon only."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from roar_publisher.publishing.ownership import RELEASE_SECONDS, take_over
from roar_publisher.state.errors import Owned
from roar_publisher.state.lock import Lock, owner
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.status_reader import count_status
from tests.support.cli.program import Program
from tests.support.cli.reports import HandClock
from tests.support.cli.servers import holding_up
from tests.support.daemon.daemons import pid_of, program_with_daemons, until
from tests.support.lineage.captured import captured_project
from tests.support.lineages import chain, cut, frozen

LINEAGE = cut(chain(2))


def test_an_unowned_publish_is_taken_at_once_without_a_claim(folder: StateFolder) -> None:
    with frozen(folder, LINEAGE) as owned:
        paths = owned.paths
    with take_over(paths, folder) as owned:
        assert owner(paths.lock) == os.getpid()
        assert not paths.claim.exists()
    assert owner(paths.lock) is None


def test_the_claim_lasts_until_the_end(folder: StateFolder) -> None:
    """Here, the daemon is this process, which holds its lock and the publish."""
    clock = HandClock()
    held = frozen(folder, LINEAGE)
    paths = held.paths

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        assert owner(paths.claim) is not None
        if clock.now > 105:
            held.release()

    with Lock(folder.daemon_lock):
        with take_over(paths, folder, clock=clock, sleep=sleep) as owned:
            assert owned.journal.progress().state is State.PROBE
            assert owner(paths.claim) is not None
        assert owner(paths.claim) is None


def test_waiting_for_the_daemon_is_bounded(folder: StateFolder) -> None:
    clock = HandClock()
    began = clock.now
    with frozen(folder, LINEAGE) as held, Lock(folder.daemon_lock):
        with pytest.raises(Owned), take_over(held.paths, folder, clock=clock, sleep=clock.sleep):
            pass
        assert owner(held.paths.claim) is None
    assert RELEASE_SECONDS <= clock.now - began < RELEASE_SECONDS + 1


def test_a_publish_of_another_terminal_is_not_taken(folder: StateFolder) -> None:
    with frozen(folder, LINEAGE) as held:
        with pytest.raises(Owned, match=f"pid {os.getpid()}"), take_over(held.paths, folder):
            pass
        assert not held.paths.claim.exists()


# ------------------------------------------------------------------------------------------------- with a real daemon


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with program_with_daemons(captured_project("linear", tmp_path), tmp_path) as program:
        yield program


@pytest.fixture
def held_up(program: Program) -> Iterator[str]:
    """The id of a publish that the daemon works on: its registry does not answer before the test ends."""
    with holding_up() as registry:
        assert program("publish", "--public", "-y", "--detach", "--registry", registry).code == 0
        [publish_id] = program.publishes
        lock = StateFolder(program.state).find(publish_id).lock
        until(lambda: owner(lock) == pid_of(program) is not None)
        yield publish_id


def test_a_publish_of_the_daemon_can_be_cancelled(program: Program, held_up: str) -> None:
    cancelled = program("journal", "cancel", held_up)
    assert cancelled.code == 0, cancelled.err
    assert count_status(StateFolder(program.state).find(held_up)).progress.state is State.CANCELLED
    paths = StateFolder(program.state).find(held_up)
    assert (owner(paths.lock), owner(paths.claim)) == (None, None)


def test_a_publish_of_the_daemon_can_be_exported(program: Program, held_up: str) -> None:
    file = program.state.parent / "moved.tar"
    exported = program("journal", "export", held_up, str(file))
    assert exported.code == 0, exported.err
    assert file.exists()
    [answer] = program("journal", "show", held_up, "--why", "--json").events
    assert (answer["reason"], answer["parked"], answer["owner"]) == ("exported", True, None)


def test_the_list_names_the_daemon_as_owner(program: Program, held_up: str) -> None:
    [facts] = program("journal", "list", "--json").events
    assert facts["status"] == "running"
    line = program("journal", "list").out.splitlines()[1]
    assert f"owned by the daemon, pid {facts['owner']}" in line
