"""What the user is asked to do helps, and can be typed as it is printed."""

import json
import shlex
from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher.__main__ import run
from roar_publisher.cli.display.live import draw
from roar_publisher.cli.publish.options import Options
from roar_publisher.exit_codes import ExitCode
from roar_publisher.publishing.meter import Meter
from roar_publisher.publishing.order import PutOrder
from roar_publisher.publishing.status import next_step
from roar_publisher.report import Entered, ObjectsPlanned, Planned, Report, Waiting
from roar_publisher.state.errors import Transient
from roar_publisher.state.machine import Event, State
from roar_publisher.state.objects import ObjectTally
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status import CountedStatus
from roar_publisher.state.status_reader import count_status
from roar_publisher.state.units import Kind
from tests.support.cli.program import Program
from tests.support.cli.reports import HandClock
from tests.support.lineages import chain, cut, frozen
from tests.unit.cli.test_displays import _console

STORING = (Entered(State.STAGE, Event.OPENED), ObjectsPlanned(2, 0, 200, 0))
SENDING = (*STORING, Planned({Kind.INPUTS: 10}, {}))


@pytest.fixture
def put(folder: StateFolder) -> CountedStatus:
    """A put that no process works on, with a file to store."""
    owned = frozen(folder, cut(chain(2)))
    owned._lock.release()
    seen = count_status(owned.paths)
    plan = replace(seen.plan, destination="s3://bucket/run")
    progress = replace(seen.progress, state=State.STAGE, reason=Reason.AUTH)
    return replace(seen, plan=plan, progress=progress, objects=ObjectTally(2, 1, 200, 100))


def _next(summary: CountedStatus) -> str:
    return next_step(summary)


def test_a_store_sign_in_names_the_command_of_the_store(put: CountedStatus) -> None:
    resume = f"roar publish --resume {put.plan.id}"
    assert _next(put) == f"sign in to the object store (aws login or aws sso login, or set AWS_PROFILE); then: {resume}"
    at_google = replace(put, plan=replace(put.plan, destination="gs://bucket/run"))
    assert _next(at_google).startswith("sign in to the object store (gcloud auth application-default login)")


def test_a_registry_sign_in_names_the_command_of_roar(put: CountedStatus) -> None:
    resume = f"roar publish --resume {put.plan.id}"
    stored = replace(put, objects=ObjectTally(2, 2, 200, 200))
    asked = replace(put, progress=replace(put.progress, state=State.AUTH_SELECT))
    for summary in (stored, asked):
        assert _next(summary) == f"sign in (roar login); then: {resume}"


@pytest.mark.parametrize(
    ("reports", "reason", "words"),
    [
        (STORING, Reason.OFFLINE, "the object store cannot be reached"),
        (STORING, Reason.THROTTLED, "the object store asks to wait"),
        (SENDING, Reason.OFFLINE, "the registry cannot be reached"),
        (SENDING, Reason.THROTTLED, "the registry asks to wait"),
    ],
)
def test_a_wait_names_the_server(reports: tuple[Report, ...], reason: Reason, words: str) -> None:
    meter = Meter(HandClock())
    for report in (*reports, Waiting(reason, 3.0)):
        meter.take(report)
    assert draw(meter, _console(100))[1].plain == f"  {words}, next try in 3 s"


@pytest.mark.parametrize("url", ["foo", "", "http://vouching.example", "https://me@vouching.example"])
def test_an_invalid_identity_service_is_reported_with_its_option(program: Program, url: str) -> None:
    program("registry", "serve", "--treqs-url", url).blames(2, "error: --treqs-url")


@pytest.mark.parametrize(
    ("arguments", "group"),
    [
        (("user", "add", "alice"), "user"),
        (("key", "remove", "SHA256:x"), "key"),
        (("token", "issue", "bob"), "user"),
        (("owner", "member", "acme", "alice"), "owner"),
        (("project", "member", "acme/models", "alice"), "project"),
    ],
)
def test_a_duplicate_or_unknown_name_points_to_the_list_command(
    program: Program, tmp_path: Path, arguments: tuple[str, ...], group: str
) -> None:
    data = ("--data", str(tmp_path / "my registry"))
    assert program("registry", "user", "add", "alice", *data).code == 0
    command = shlex.split(program("registry", *arguments, *data).err.rpartition("Next: roar ")[2])
    assert command == ["registry", group, "list", *data]
    assert program(*command).code == 0


@pytest.mark.parametrize("arguments", [("user", "list"), ("user", "remove", "bob"), ("token", "issue", "bob")])
def test_reading_a_missing_registry_does_not_create_it(
    program: Program, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    data = tmp_path / "no" / "registry"
    done = program("registry", *arguments, "--data", str(data))
    done.blames(1, f"no registry keeps accounts in {data}", "roar registry user add")
    assert not data.parent.exists()


def test_a_put_accepts_the_option_names_of_its_recorded_command(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Options] = []
    monkeypatch.setattr("roar_publisher.cli.publish.run.run", taken.append)
    ours = ("--dataset", "--name", "weights")
    for words in (ours, ("--as-dataset", "--step-name", "weights")):
        run(["put", "outputs/", "s3://bucket/run", *words, "-m", "v1"])
    assert taken[0] == taken[1]
    assert taken[0].put == PutOrder(
        sources=("outputs/",), destination="s3://bucket/run", message="v1", name="weights", dataset=True
    )


@pytest.mark.parametrize(
    ("arguments", "said", "next_step"),
    [
        (("put", "model.pt", "s3://bucket/x", "-m"), "requires an argument", "roar put --help"),
        (("journal", "list", "--bogus"), "No such option", "roar journal list --help"),
        (("put", "s3://bucket/x", "model.pt", "-m", "v1"), "the destination comes last", "roar put FILES DEST"),
        (("put", "model.pt", "/store", "-m", ""), "The message (-m) is empty", "give it a value"),
    ],
)
def test_the_next_step_of_a_usage_error_is_that_of_its_command(
    program: Program, arguments: tuple[str, ...], said: str, next_step: str
) -> None:
    program(*arguments).blames(2, said, f"Next: {next_step}")


def test_an_unreachable_registry_before_the_plan_leaves_nothing_to_resume(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def away(*_: object, **__: object) -> list[str]:
        raise Transient("the registry cannot be reached: no connection")

    monkeypatch.chdir(program.cwd)
    for name, value in (("ROAR_STATE_DIR", program.state), ("HOME", program.state)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("roar_publisher.publishing.preparing.candidate_identities", away)
    assert run(["publish", "--public", "-y", "--json", "--registry", "http://127.0.0.1:9"]) == ExitCode.FAILED
    error = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (error["exit_code"], error["reason"]) == (ExitCode.FAILED, "offline")
    assert error["kept"].startswith("Nothing was sent or kept")
    assert error["next"].startswith("repeat the command")
    assert program.publishes == []
