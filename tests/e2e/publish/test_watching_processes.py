"""One process publishes, and another one watches it."""

import json
import signal

from roar_publisher.state.lock import Lock
from roar_publisher.state.paths import StateFolder
from tests.support.cli.program import Program, ended


def test_one_process_publishes_and_another_watches(program: Program, registry: str) -> None:
    program("publish", "--anonymous", "--registry", registry).blames(4)
    [publish_id] = program.publishes
    with Lock(StateFolder(program.state).daemon_lock):  # as long as a daemon runs, a watch waits for an owner
        with program.started("publish", "--watch", publish_id[:4], "--json") as watching:
            assert watching.stdout is not None
            planned, entered = (json.loads(watching.stdout.readline()) for _ in range(2))
            assert program("publish", "--resume", publish_id, "-y", "-q").code == 0
            done = ended(watching)
    assert (planned["event"], entered["state"]) == ("planned", "auth-select")
    assert done.code == 0, done.err
    assert (done.last["event"], done.last["publish_id"]) == ("published", publish_id)
    assert "stage" in [event.get("state") for event in done.events]


def test_a_signal_ends_a_watch_and_nothing_else(program: Program, registry: str) -> None:
    program("publish", "--anonymous", "--registry", registry).blames(4)
    [publish_id] = program.publishes
    with Lock(StateFolder(program.state).find(publish_id).lock):
        with program.started("publish", "--watch", "-v") as watching:
            assert watching.stderr is not None
            while "auth-select" not in watching.stderr.readline():
                pass
            watching.send_signal(signal.SIGTERM)
            done = ended(watching)
    assert done.code == 130
    assert "Stopped watching." in done.err
    assert f"Publish {publish_id} continues." in done.err


def test_the_error_event_of_a_watch_names_its_publish(program: Program, registry: str) -> None:
    program("publish", "--anonymous", "--registry", registry).blames(4)
    [publish_id] = program.publishes
    halted = program("publish", "--watch", "--json")
    assert (halted.code, halted.last["event"], halted.last["publish_id"]) == (4, "error", publish_id)
    with Lock(StateFolder(program.state).find(publish_id).lock):
        with program.started("publish", "--watch", "--json") as watching:
            assert watching.stdout is not None
            watching.stdout.readline()
            watching.send_signal(signal.SIGTERM)
            stopped = ended(watching)
    assert (stopped.code, stopped.last["publish_id"]) == (130, publish_id)
    program("journal", "cancel", publish_id)
    for command in ("--watch", "--resume"):
        cancelled = program("publish", command, publish_id[:4], "--json")
        assert (cancelled.code, cancelled.last["publish_id"]) == (2, publish_id)


def test_there_is_nothing_to_watch(program: Program) -> None:
    program("publish", "--watch").blames(2, "no publish of", "is in progress")
    program("publish", "--watch", "12ab").blames(2, "there is no publish '12ab'")
    program("publish", "--resume", "12ab", "--watch", "12ab").blames(2, "--watch does not go with --resume")
