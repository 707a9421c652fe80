"""Several at once: daemons, people and onlookers at the same publishes, as processes."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from roar_publisher.state.paths import StateFolder
from tests.support.cli.program import Program, ended
from tests.support.daemon.daemons import daemons_of, pid_of, program_with_daemons
from tests.support.daemon.surroundings import (
    Link,
    Registry,
    kill_daemon,
    link_to,
    publishes_of,
    registry_at,
    wait_until,
)
from tests.support.lineage.captured import captured_project, recorded
from tests.support.processes import line_of

HASH = str(recorded("diamond", "session")["finalized_hash"])
PUBLISH = ("publish", "--public", "-y", "--json")
DAEMONS = 4
PEOPLE = 3

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at processes through /proc")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with registry_at(tmp_path / "data") as registry:
        yield registry


@pytest.fixture
def link(registry: Registry) -> Iterator[Link]:
    with link_to(registry, seed=1) as link:
        yield link


@pytest.fixture
def program(tmp_path: Path, link: Link) -> Iterator[Program]:
    with program_with_daemons(captured_project("diamond", tmp_path), tmp_path, GLAAS_URL=link.url) as program:
        yield program


def check_published_once(program: Program, registry: Registry) -> None:
    wait_until(lambda: not any(found.live for found in publishes_of(program)))
    registry.kill()
    assert [row[0] for row in registry.published()] == [HASH]


def last_event(out: str) -> dict[str, object]:
    return dict(json.loads(out.splitlines()[-1]))


def test_of_daemons_started_at_the_same_time_one_survives(program: Program) -> None:
    with ExitStack() as stack:
        daemons = [stack.enter_context(program.started("daemon", "run")) for _ in range(DAEMONS)]
        wait_until(lambda: sum(daemon.poll() is None for daemon in daemons) == 1)
        (living,) = (daemon for daemon in daemons if daemon.poll() is None)
        for daemon in daemons:
            if daemon is not living:
                lost = ended(daemon)
                assert lost.code == 5
                assert f"A daemon is already running for {program.state}" in lost.err
        assert pid_of(program) == living.pid
        wait_until((program.state / "daemon.sock").exists)  # until then, a signal may end it at once
        living.send_signal(signal.SIGTERM)
        assert ended(living).code == 0
    assert pid_of(program) is None
    assert not (program.state / "daemon.sock").exists()


def test_a_daemon_and_several_users_publish_the_same_lineage(program: Program, registry: Registry) -> None:
    assert program("daemon", "start").code == 0
    with ExitStack() as stack:
        typed = [(*PUBLISH, "--detach"), *[PUBLISH] * PEOPLE, (*PUBLISH, "--detach")]
        people = [stack.enter_context(program.started(*words)) for words in typed]
        for person in people:
            done = ended(person)
            assert done.code in (0, 5), done.err
            assert "Traceback" not in done.err
    check_published_once(program, registry)
    assert len(daemons_of(program)) == 1


def test_watchers_see_the_end_of_a_publish_whichever_process_works_on_it(
    program: Program, registry: Registry, link: Link
) -> None:
    """First a person, who is killed; then a daemon, which is killed; then the next daemon."""
    link.order("stall /links/batch")
    with ExitStack() as stack:
        person = stack.enter_context(program.started(*PUBLISH))
        wait_until(lambda: any(found.progress.remote_session for found in publishes_of(program)))
        (publish_id,) = program.publishes
        assert program("daemon", "start").code == 0
        watchers = [stack.enter_context(program.started("publish", "--watch", publish_id, "--json")) for _ in range(2)]
        person.kill()
        person.wait()
        wait_until(lambda: publishes_of(program)[0].owner == pid_of(program) is not None)
        for watcher in watchers:  # on a busy machine the next daemon may take longer to come than they would wait
            watcher.send_signal(signal.SIGSTOP)
        assert kill_daemon(program) is not None
        assert program("daemon", "start").code == 0
        wait_until(lambda: publishes_of(program)[0].owner == pid_of(program) is not None)
        link.order("calm")
        for watcher in watchers:  # one that was stopped while it read would keep the journal from being written
            watcher.send_signal(signal.SIGCONT)
        for watcher in watchers:
            done = ended(watcher)
            assert (done.code, last_event(done.out)["hash"]) == (0, HASH), done.err
    check_published_once(program, registry)


def test_a_resume_while_the_daemon_works_watches(program: Program, registry: Registry, link: Link) -> None:
    link.order("stall /links/batch")
    assert program(*PUBLISH, "--detach").code == 0
    wait_until(lambda: publishes_of(program)[0].owner == pid_of(program) is not None)
    with program.started("publish", "--resume", "--json", "-y") as person:
        assert json.loads(line_of(person))["event"] == "planned"
        link.order("calm")
        done = ended(person)
    assert (done.code, last_event(done.out)["hash"]) == (0, HASH), done.err
    check_published_once(program, registry)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_publish_that_the_user_stopped_waits_for_the_user(
    program: Program, registry: Registry, link: Link, number: signal.Signals
) -> None:
    """A publish that is left to the daemon afterwards shows that the daemon has looked, and left the other alone."""
    assert program("daemon", "start").code == 0
    link.order("stall /links/batch")
    with program.started(*PUBLISH) as person:
        wait_until(lambda: any(found.progress.remote_session for found in publishes_of(program)))
        (publish_id,) = program.publishes
        person.send_signal(number)
        stopped = ended(person)
    assert stopped.code == 130, stopped.err
    event = last_event(stopped.out)
    resume, cancel = f"roar publish --resume {publish_id}", f"roar journal cancel {publish_id}"
    assert event["next"] == f"{resume} (or cancel it: {cancel})"
    assert "daemon" not in str(event["kept"])
    link.order("calm")
    other = program("publish", "@2", "--public", "-y", "-q", "--detach")
    assert other.code == 0, other.err
    assert program("publish", "--watch", other.out.strip(), "-q").code == 0
    answer = program("journal", "show", publish_id, "--why", "--json").last
    assert (answer["reason"], answer["parked"], answer["turn"]) == ("interrupted", True, "person")
    assert answer["next"] == resume
    assert "stopped" in program("journal", "list").out
    assert program("journal", "retry", publish_id).code == 0
    wait_until(lambda: not any(found.live for found in publishes_of(program)))
    registry.kill()
    assert (HASH,) in {(row[0],) for row in registry.published()}


def test_the_same_publish_left_to_the_daemon_continues_there(program: Program, registry: Registry, link: Link) -> None:
    link.order("stall /links/batch")
    with program.started(*PUBLISH) as person:
        wait_until(lambda: any(found.progress.remote_session for found in publishes_of(program)))
        person.send_signal(signal.SIGINT)
        assert ended(person).code == 130
    link.order("calm")
    assert last_event(program(*PUBLISH, "--detach").out)["resumed"] is True
    check_published_once(program, registry)


def test_a_publish_cancelled_while_the_daemon_works_on_it(program: Program, registry: Registry, link: Link) -> None:
    link.order("stall /finalize")
    assert program(*PUBLISH, "--detach").code == 0
    wait_until(lambda: publishes_of(program)[0].progress.state == "finalize")
    (publish_id,) = program.publishes
    cancelled = program("journal", "cancel", publish_id)
    assert cancelled.code == 0, cancelled.err
    assert publishes_of(program)[0].progress.state == "cancelled"
    link.order("calm")
    assert pid_of(program) is not None


def test_a_stopped_daemon_releases_everything(program: Program, registry: Registry, link: Link) -> None:
    link.order("stall /links/batch")
    assert program(*PUBLISH, "--detach").code == 0
    wait_until(lambda: bool(publishes_of(program)[0].progress.remote_session))
    pid = pid_of(program)
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: pid_of(program) is None)
    found = publishes_of(program)[0]
    assert (found.owner, found.live) == (None, True)
    assert found.reason == "interrupted"
    link.order("calm")
    assert program("daemon", "start").code == 0
    check_published_once(program, registry)


def test_its_folder_is_private(program: Program, tmp_path: Path, link: Link) -> None:
    """Two state folders have a daemon each, and neither touches what is the other's."""
    (tmp_path / "other").mkdir()
    with program_with_daemons(program.cwd, tmp_path / "other", GLAAS_URL=link.url) as other:
        assert program("daemon", "start").code == other("daemon", "start").code == 0
        assert pid_of(program) != pid_of(other)
        link.order("stall /health")
        assert other(*PUBLISH, "--detach").code == 0
        assert not list(StateFolder(program.state).all_publishes())
        link.order("calm")
        wait_until(lambda: not publishes_of(other)[0].live)
