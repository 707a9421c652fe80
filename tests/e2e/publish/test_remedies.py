"""What the user is asked to do helps, and can be typed as it is printed."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from roar_publisher.__main__ import run
from roar_publisher.cli.display.live import draw
from roar_publisher.cli.display.meter import Meter
from roar_publisher.cli.publish.options import Options, PutOptions
from roar_publisher.cli.status import next_step
from roar_publisher.report import Entered, ObjectsPlanned, Planned, Report, Waiting
from roar_publisher.state.errors import ExitCode, Transient
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


def test_where_a_store_wants_a_sign_in_it_is_the_stores(put: CountedStatus) -> None:
    resume = f"roar publish --resume {put.plan.id}"
    assert _next(put) == f"sign in to the object store (aws sso login, or set AWS_PROFILE); then: {resume}"
    at_google = replace(put, plan=replace(put.plan, destination="gs://bucket/run"))
    assert _next(at_google).startswith("sign in to the object store (gcloud auth application-default login)")


def test_where_the_registry_wants_a_sign_in_it_is_roars(put: CountedStatus) -> None:
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
def test_who_is_waited_for_is_named(reports: tuple[Report, ...], reason: Reason, words: str) -> None:
    meter = Meter(HandClock())
    for report in (*reports, Waiting(reason, 3.0)):
        meter.take(report)
    assert draw(meter, _console(100))[1].plain == f"  {words}, next try in 3 s"


@pytest.mark.parametrize("url", ["foo", "", "http://vouching.example", "https://me@vouching.example"])
def test_an_address_that_may_not_vouch_is_blamed_on_its_option(program: Program, url: str) -> None:
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
def test_what_is_taken_or_unknown_is_listed_by_the_command_that_is_named(
    program: Program, tmp_path: Path, arguments: tuple[str, ...], group: str
) -> None:
    data = ("--data", str(tmp_path / "my registry"))
    assert program("registry", "user", "add", "alice", *data).code == 0
    command = shlex.split(program("registry", *arguments, *data).err.rpartition("Next: roar ")[2])
    assert command == ["registry", group, "list", *data]
    assert program(*command).code == 0


@pytest.mark.parametrize("arguments", [("user", "list"), ("user", "remove", "bob"), ("token", "issue", "bob")])
def test_a_registry_that_is_not_there_is_not_made_by_looking(
    program: Program, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    data = tmp_path / "no" / "registry"
    done = program("registry", *arguments, "--data", str(data))
    done.blames(1, f"no registry keeps accounts in {data}", "roar registry user add")
    assert not data.parent.exists()


def test_a_put_takes_the_words_that_its_job_is_recorded_with(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[Options] = []
    monkeypatch.setattr("roar_publisher.cli.publish.publishing.run", taken.append)
    ours = ("--dataset", "--name", "weights")
    for words in (ours, ("--as-dataset", "--step-name", "weights")):
        run(["put", "outputs/", "s3://bucket/run", *words, "-m", "v1"])
    assert taken[0] == taken[1]
    assert taken[0].put == PutOptions(
        sources=("outputs/",), destination="s3://bucket/run", message="v1", name="weights", dataset=True
    )


def test_where_the_registry_is_away_before_there_is_a_plan_nothing_is_left_to_resume(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def away(*_: object, **__: object) -> list[str]:
        raise Transient("the registry cannot be reached: no connection")

    monkeypatch.chdir(program.cwd)
    for name, value in (("ROAR_STATE_DIR", program.state), ("HOME", program.state)):
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr("roar_publisher.cli.publish.preparing.candidate_identities", away)
    assert run(["publish", "--public", "-y", "--json", "--registry", "http://127.0.0.1:9"]) == ExitCode.FAILED
    error = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (error["exit_code"], error["reason"]) == (ExitCode.FAILED, "offline")
    assert error["kept"].startswith("Nothing was sent or kept")
    assert error["next"].startswith("repeat the command")
    assert program.publishes == []
