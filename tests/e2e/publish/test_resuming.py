"""`--resume` and `--watch` with what else people type beside them, and a publish that is turned to another registry."""

import signal
from pathlib import Path

import pytest

from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status_reader import count_status
from tests.support.cli.program import Ended, Program, ended
from tests.support.cli.servers import answering, http
from tests.support.lineage.captured import recorded
from tests.support.lineages import chain, cut, frozen, plan_of

HASH = recorded("linear", "session")["finalized_hash"]
AWAY = http("503 Service Unavailable", b"{}", "Retry-After: 1800")
REFUSES = http("404 Not Found", b'{"detail": "there is no such endpoint"}')


def stopped_at(registry: str, program: Program, *arguments: str) -> str:
    """The id of a publish that stopped before a session was opened."""
    before = set(program.publishes)
    program("publish", *arguments, "--registry", registry)
    (made,) = set(program.publishes) - before
    return made


@pytest.fixture
def interrupted(program: Program) -> str:
    """Of the whole session, with --public."""
    with answering(AWAY) as server:
        return stopped_at(server.url, program, "--public", "-y")


def issuer_of(program: Program, publish_id: str) -> str:
    return count_status(StateFolder(program.state).find(publish_id)).plan.registry


def test_resume_accepts_the_options_of_the_first_command(program: Program, registry: str, interrupted: str) -> None:
    """Arrow-up, and --resume at the end."""
    with answering(AWAY, port=int(issuer_of(program, interrupted).rpartition(":")[2])) as server:
        again = program("publish", "--public", "-y", "--registry", server.url + "/", "--json", "--resume")
    assert (again.code, again.last["publish_id"]) == (3, interrupted)


@pytest.mark.parametrize(
    ("typed", "frozen_words"),
    [
        (["@1"], "the whole session, not @1"),
        (["--private"], "--public, not --private"),
        (["@1", "--anonymous"], "the whole session, not @1, and for --public, not --anonymous"),
        (["--to", "/somewhere", "-m", "v1"], "lineage only, not for a put"),
        (["--registry", "http://127.0.0.1:9"], "not http://127.0.0.1:9"),
    ],
)
@pytest.mark.parametrize("verb", ["--resume", "--watch"])
def test_a_contradiction_names_the_frozen_value_and_the_next_command(
    program: Program, interrupted: str, typed: list[str], frozen_words: str, verb: str
) -> None:
    refused = program("publish", *typed, verb)
    refused.blames(2, f"publish {interrupted} was planned for", frozen_words, f"roar publish {verb} {interrupted}")


def test_without_an_id_the_newest_matching_publish_is_resumed(program: Program, interrupted: str) -> None:
    with answering(AWAY) as server:
        newer = stopped_at(server.url, program, "@1", "--public", "-y")
    for typed, meant in (([], newer), (["@1"], newer)):
        assert _meant(program, *typed) == meant
    with answering(AWAY) as server:
        whole = stopped_at(server.url, program, "--anonymous", "-y")
    assert _meant(program, "@1") == newer
    assert _meant(program, "--anonymous") == whole
    assert _meant(program, "--public", "@1") == newer


def _meant(program: Program, *typed: str) -> str:
    """Which publish `--resume` continues. Their registries no longer answer."""
    with program.started("publish", *typed, "--resume", "--json") as process:
        assert process.stdout is not None
        planned = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        ended(process)
    return str(Ended(0, planned, "").last["publish_id"])


@pytest.mark.parametrize("option", ["--resume", "--watch"])
def test_an_empty_id_is_not_taken_for_the_newest_publish(program: Program, interrupted: str, option: str) -> None:
    program("publish", option, "").blames(2, f"'{option}': the ID is empty", "roar publish --help")


def test_without_an_interrupted_publish_the_next_command_is_named(program: Program, registry: str) -> None:
    command = ["publish", "@1", "--public", "--registry", registry]
    program(*command, "--resume").blames(2, f"next: roar publish @1 --public --registry {registry}")
    done = program(*command, "-y", "-q")
    program("publish", "--resume").blames(2, "is interrupted", "is published", done.out.splitlines()[1])


def test_a_failed_newest_publish_names_retry(program: Program) -> None:
    with answering(http("400 Bad Request", b'{"detail": "not today"}')) as server:
        failed = stopped_at(server.url, program, "--public", "-y")
    program("publish", "--resume").blames(2, "has failed", f"roar journal retry {failed}")


def test_a_put_is_resumed_by_the_command_that_was_typed(program: Program, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("notes")
    put = ["put", str(notes), str(tmp_path / "stored"), "-m", "v1", "--public"]
    with answering(AWAY) as server:
        assert program(*put, "-y", "--registry", server.url).code == 3
        [publish_id] = program.publishes
        again = program(*put, "--resume", "--json")
        assert (again.code, again.last["publish_id"]) == (3, publish_id)
    other = [word if word != "v1" else "v2" for word in put]
    program(*other, "--resume").blames(2, "-m v1, not -m v2", f"roar publish --resume {publish_id}")
    program("put", str(notes), "/elsewhere", "-m", "v1", "--resume").blames(2, "not /elsewhere")


# ---------------------------------------------------------------- consent


def test_consent_on_the_command_line_is_part_of_the_plan(folder: StateFolder) -> None:
    lineage = cut(chain(1))
    for agreed in (True, False):
        with OwnedPublish.create(folder) as made:
            made.journal.freeze(plan_of(lineage, made.paths.id), agreed=agreed)
            assert made.journal.queue.read().agreed is agreed


def test_consent_survives_a_kill(program: Program, registry: str) -> None:
    with answering(AWAY) as server:
        with program.started("publish", "--anonymous", "-y", "--json", "--registry", server.url) as process:
            assert process.stdout is not None
            assert '"state"' in process.stdout.readline() + process.stdout.readline()
            process.kill()
        [publish_id] = program.publishes
    done = program("publish", "--resume", publish_id, "--registry", registry, "-q")
    assert (done.code, done.out.splitlines()[0]) == (0, HASH), done.err


# ---------------------------------------------------------------- a wrong registry


@pytest.mark.parametrize("answer", [AWAY, REFUSES])
def test_another_registry_can_be_named_before_a_session_is_opened(
    program: Program, registry: str, answer: bytes
) -> None:
    with answering(answer) as server:
        publish_id = stopped_at(server.url, program, "--public", "-y")
    done = program("publish", "--resume", publish_id, "--registry", registry, "--json")
    assert (done.code, done.last["hash"], done.last["publish_id"]) == (0, HASH, publish_id)
    history = program("journal", "show", publish_id, "--json").last["history"]
    assert "readdressed" in [row["event"] for row in history]


def test_the_hint_names_the_option_for_another_registry(program: Program) -> None:
    with answering(http("404 Not Found", b"<html>nginx</html>")) as server:
        stopped = program("publish", "--public", "-y", "--json", "--registry", server.url)
    [publish_id] = program.publishes
    resume = f"roar publish --resume {publish_id}"
    assert stopped.last["next"].endswith(f"{resume}; if the address is wrong: {resume} --registry URL")


def test_an_opened_publish_keeps_its_registry(folder: StateFolder) -> None:
    with frozen(folder, cut(chain(1))) as made:
        for event in (Event.PROBED, Event.SELECTED, Event.OPENED):
            made.journal.checkpoint(event)
        before = made.journal.plan().registry
        with pytest.raises(UsageProblem) as refused:
            made.journal.readdress("https://elsewhere.example")
        assert made.journal.plan().registry == before
    assert f"roar journal cancel {made.paths.id}" in refused.value.next_step


def test_answers_of_the_old_registry_are_forgotten(folder: StateFolder) -> None:
    with frozen(folder, cut(chain(1))) as made:
        made.journal.checkpoint(Event.PROBED, capabilities={"authenticated": True})
        made.journal.checkpoint(Event.SELECTED, identity="glaas:user:7", credential="ssh")
        made.journal.park(reason=Reason.OFFLINE, detail="away")
        made.journal.readdress("https://elsewhere.example")
    with Journal(made.paths.journal, read_only=True) as journal:
        progress = journal.progress()
        assert (progress.state, progress.identity, progress.credential) == ("probe", None, None)
        assert (progress.capabilities, progress.reason) == ({}, "")
        assert journal.plan().registry == "https://elsewhere.example"
        assert not journal.queue.read().parked
