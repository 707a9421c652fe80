"""`roar publish` and `roar register` as processes, against a real registry."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from roar_publisher.state.lock import Lock
from roar_publisher.state.reasons import Reason
from tests.support.cli.program import PATIENCE, Program, ended, read_until_it_waits
from tests.support.cli.servers import answering, http
from tests.support.lineage.captured import captured_project, recorded

HASH = recorded("linear", "session")["finalized_hash"]
SECRET = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
NOT_UP = http("503 Service Unavailable", b"{}", "Retry-After: 30")


def test_the_result_on_stdout_is_the_hash_and_the_url(program: Program, registry: str) -> None:
    done = program("publish", "--public", "-y", "--registry", registry)
    assert done.code == 0
    assert done.out.splitlines() == [HASH, f"{registry}/dag/{HASH}"]
    assert "Published 2 jobs, 6 inputs and 6 outputs" in done.err
    assert "Public, published anonymously." in done.err


def test_quiet_prints_nothing_else(program: Program, registry: str) -> None:
    done = program("publish", "--public", "-y", "-q", "--registry", registry)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(HASH)


def test_register_is_the_same_command(program: Program, registry: str) -> None:
    done = program("register", "--public", "-y", "-q", "--registry", registry)
    assert (done.code, done.out.splitlines()[0]) == (0, HASH)


def test_json_is_one_documented_object_a_line_and_published_is_the_last(program: Program, registry: str) -> None:
    done = program("publish", "--public", "-y", "--json", "--registry", registry)
    assert done.code == 0
    names = [event["event"] for event in done.events]
    assert names[0] == "planned"
    assert set(names) == {"planned", "state", "progress", "published"}
    states = [event["state"] for event in done.events if event["event"] == "state"]
    assert states == ["probe", "auth-select", "open", "stage", "finalize", "done"]
    url = f"{registry}/dag/{HASH}"
    counts = {"jobs": 2, "inputs": 6, "outputs": 6, "publish_id": program.publishes[0]}
    whom = {"visibility": "public", "identity": "anonymous", "owner": None, "project": None}
    more = {"verification": None, "receipt": str(program.state / "receipts" / f"{HASH}.{program.publishes[0]}.json")}
    assert done.last == {"event": "published", "hash": HASH, "url": url} | counts | whom | more


def test_only_the_target_is_published(program: Program, registry: str) -> None:
    done = program("publish", "@1", "--public", "-y", "--json", "--registry", registry)
    assert done.code == 0
    assert done.last["jobs"] == 1


def test_without_a_terminal_and_yes_it_stops_with_the_next_command(program: Program, registry: str) -> None:
    stopped = program("publish", "--anonymous", "--registry", registry)
    [publish_id] = program.publishes
    stopped.blames(4, "needs your consent", f"roar publish --resume {publish_id} --yes")
    done = program("publish", "--resume", publish_id, "--yes", "-q")
    assert (done.code, done.out.splitlines()[0]) == (0, HASH)


def test_publishing_the_same_lineage_again_resumes_and_says_so(program: Program, registry: str) -> None:
    program("publish", "--anonymous", "--registry", registry).blames(4)
    [publish_id] = program.publishes
    done = program("publish", "--anonymous", "-y", "--registry", registry)
    assert done.code == 0
    assert f"Resuming {publish_id}" in done.err
    assert program.publishes == [publish_id]


def test_resume_alone_takes_the_newest_interrupted_publish_of_this_project(
    program: Program, registry: str, tmp_path: Path
) -> None:
    other = Program(captured_project("diamond", tmp_path), program.state, program.env)
    program("publish", "@1", "--anonymous", "--registry", registry).blames(4)
    older = set(program.publishes)
    program("publish", "--anonymous", "--registry", registry).blames(4)
    [newer] = set(program.publishes) - older
    other("publish", "--anonymous", "--registry", registry).blames(4)
    done = program("publish", "--resume", "-y", "--json")
    assert done.code == 0
    assert done.last["publish_id"] == newer


def test_resume_without_anything_interrupted_is_a_usage_error(program: Program) -> None:
    program("publish", "--resume").blames(2, "no publish of", "is interrupted", "roar journal list --all")


def test_resuming_a_finished_publish_shows_its_result(program: Program, registry: str) -> None:
    first = program("publish", "--public", "-y", "-q", "--registry", registry)
    again = program("publish", "--resume", program.publishes[0][:4])
    assert (again.code, again.out) == (0, first.out)
    assert "Published earlier" in again.err


def test_a_final_refusal_fails_and_resume_names_retry(program: Program) -> None:
    with answering(http("400 Bad Request", b'{"detail": "not today"}')) as server:
        failed = program("publish", "--public", "-y", "--json", "--registry", server.url)
    [publish_id] = program.publishes
    assert failed.code == 1
    assert "not today" in failed.last["what"]
    assert failed.last["next"] == f"fix the cause, then: roar journal retry {publish_id}"
    program("publish", "--resume", publish_id).blames(1, "not today", f"roar journal retry {publish_id}")


def test_a_cancelled_publish_is_not_resumed(program: Program, registry: str) -> None:
    program("publish", "--anonymous", "--registry", registry).blames(4)
    [publish_id] = program.publishes
    assert program("journal", "cancel", publish_id).code == 0
    program("publish", "--resume", publish_id).blames(2, "was cancelled")


def test_a_publish_of_another_process_is_left_alone(program: Program, registry: str) -> None:
    program("publish", "--anonymous", "--registry", registry).blames(4)
    [publish_id] = program.publishes
    with Lock(program.state / "publishes" / publish_id / "lock"):
        program("publish", "--resume", publish_id, "-y").blames(5, "another process is working on this publish")
        program("publish", "--resume").blames(5, "is being worked on")
        program("publish", "--anonymous", "-y", "--registry", registry).blames(5)
    assert program.publishes == [publish_id]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_with_the_command_that_resumes(program: Program, number: signal.Signals) -> None:
    with (
        answering(NOT_UP) as server,
        program.started("publish", "--public", "-y", "--json", "--registry", server.url) as p,
    ):
        read_until_it_waits(p, Reason.THROTTLED)
        p.send_signal(number)
        p.send_signal(number)
        rest = ended(p)
    [publish_id] = program.publishes
    assert rest.code == 130, rest.err
    assert rest.err == ""
    assert rest.last["publish_id"] == publish_id
    cancel = f"roar journal cancel {publish_id}"
    assert rest.last["next"] == f"roar publish --resume {publish_id} (or cancel it: {cancel})"


def test_secrets_stop_an_unattended_run_before_anything_is_kept(program: Program, registry: str) -> None:
    _put_secret_into_a_command(program)
    stopped = program("publish", "--public", "--registry", registry)
    stopped.blames(4, "1 secret", "--yes")
    assert SECRET not in stopped.out + stopped.err
    assert program.publishes == []
    assert program("publish", "--public", "-y", "-q", "--registry", registry).code == 0


def test_without_flag_scope_and_sign_in_nothing_is_started(program: Program) -> None:
    program("publish").blames(4, "you are not signed in", "rerun with --public")
    assert program.publishes == []


def test_a_dry_run_shows_everything_and_touches_nothing(program: Program) -> None:
    _put_secret_into_a_command(program)
    before = _contents(program.cwd)
    with answering(NOT_UP) as server:
        done = program("publish", "--dry-run", "--public", "--json", "--registry", server.url)
        shown = program("publish", "--dry-run", "--public", "--registry", server.url)
        assert server.requests == []
    assert (done.code, shown.code) == (0, 0)
    [plan] = done.events
    assert [plan[name] for name in ("jobs", "inputs", "outputs", "artifacts", "labels")] == [2, 6, 6, 6, 2]
    assert [route["decision"] for route in plan["routes"]] == ["anonymous session", "legacy"]
    assert [job["step"] for job in plan["job_list"]] == [1, 2]
    assert plan["redactions"] == {"github-token": 1}
    assert plan["hashes"]["anonymous"] in shown.out
    assert plan["hashes"] != plan["provisional"]
    assert "of the redacted lineage" in shown.out
    assert SECRET not in done.out + shown.out
    assert not program.state.exists()
    assert _contents(program.cwd) == before


@pytest.mark.parametrize("redacted", [False, True])
def test_the_hash_of_a_dry_run_is_the_one_that_is_published(program: Program, registry: str, redacted: bool) -> None:
    if redacted:
        _put_secret_into_a_command(program)
    dry_run = program("publish", "--dry-run", "-q", "--public", "--registry", registry).out.strip()
    done = program("publish", "--public", "-y", "-q", "--registry", registry)
    assert done.out.split()[0] == dry_run


def test_only_the_user_can_allow_secrets(program: Program, registry: str) -> None:
    _put_secret_into_a_command(program)
    (program.cwd / ".roar" / "config.toml").write_text("[registration.omit]\nenabled = false\n")
    dry_run = program("publish", "--dry-run", "--json", "--public").events[0]
    assert dry_run["redactions"] == {"github-token": 1}
    assert ["enabled = false" in note and "--no-redact" in note for note in dry_run["notes"]] == [True]
    assert "enabled = false" in program("publish", "--dry-run", "--public").out
    program("publish", "--public", "--registry", registry).blames(4, "1 secret", "--yes")
    done = program("publish", "--public", "-y", "--json", "--registry", registry)
    assert [event for event in done.events if event["event"] == "note" and "enabled = false" in event["text"]]
    bare = program("publish", "--dry-run", "--json", "--public", "--no-redact").events[0]
    assert bare["redactions"] == {}
    assert "redaction is off" in bare["notes"][0]
    assert SECRET in bare["job_list"][0]["command"]


def test_a_dry_run_says_where_the_publish_would_stop(program: Program) -> None:
    done = program("publish", "--dry-run")
    assert done.code == 0
    assert "stop: no flag, and there is no scope" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--private", "--anonymous"], "--private contradicts"),
        (["--private", "--public"], "--private contradicts"),
        (["-q", "-v"], "contradict"),
        (["--resume", "12ab", "--dry-run"], "--resume does not go with --dry-run"),
        (["--resume", "12ab"], "there is no publish '12ab'"),
        (["--nonsense"], "No such option"),
        (["one", "two"], "unexpected extra argument"),
    ],
)
def test_contradicting_options_are_a_usage_error(program: Program, arguments: list[str], words: str) -> None:
    done = program("publish", *arguments)
    assert done.code == 2
    assert words.lower() in " ".join(done.err.lower().split())


@pytest.mark.parametrize(
    "arguments", [["--as-blake3", "model.bin"], ["--bind", "model.bin"], ["--no-bind", "model.bin"]]
)
def test_an_option_of_roar_cli_is_refused_with_its_command(program: Program, arguments: list[str]) -> None:
    done = program("register", *arguments)
    done.blames(2, f"-m roar register {' '.join(arguments)}")


def test_a_closed_pipe_does_not_stop_the_publish(program: Program, registry: str) -> None:
    with program.started("publish", "--public", "-y", "--json", "--registry", registry) as p:
        assert p.stdout is not None
        p.stdout.close()
        assert p.stderr is not None
        assert p.stderr.read() == ""
        assert p.wait(PATIENCE) == 0
    [publish] = program("journal", "list", "--json").events
    assert publish["status"] == "done"


def _put_secret_into_a_command(program: Program) -> None:
    with closing(sqlite3.connect(program.cwd / ".roar" / "roar.db")) as connection, connection:
        connection.execute("UPDATE jobs SET command = command || ' ' || ? WHERE step_number = 1", [SECRET])


def _contents(folder: Path) -> dict[Path, bytes]:
    """Every file, but for what SQLite puts beside a database to read it: an index, and a log with nothing in it."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".db-shm"]
    return {path: content for path in files if (content := path.read_bytes())}


def test_a_project_without_git_is_published_with_a_note(program: Program, registry: str, tmp_path: Path) -> None:
    (program.cwd / ".git").rename(tmp_path / "git")
    shown = program("publish", "--public", "--dry-run", "--registry", registry)
    assert "git       the lineage names no git commit" in shown.out
    done = program("publish", "--public", "-y", "--registry", registry)
    assert done.code == 0, done.err
    assert "the lineage names no git commit" in done.err
