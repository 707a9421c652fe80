"""The program itself against a real registry, through a network that breaks: killed in every state, and resumed.

Nothing is simulated here: `roar publish` is a process, it is killed from outside, and its lineage is read over HTTP.
"""

import json
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli.program import Program
from tests.support.lineage.captured import captured_project, recorded
from tests.support.processes import line_of, running
from tests.support.registry.processes import served

PROJECT = "diamond"
PUBLISH = ("publish", "--public", "-y", "--json")
RESUME = ("publish", "--resume", "-y", "--json")
PLACES = {
    "probe": "/api/v1/health",
    "open": "/registration-sessions ",
    "stage, jobs": "/jobs/batch",
    "stage, links": "/links/batch",
    "finalize": "/finalize",
    "labels": "/labels/batch",
}
"""Where a publish can be held: a piece of the request line."""
STORM = "0.2"
MOST_RUNS = 12


@dataclass(frozen=True)
class Weather:
    """The proxy in front of the registry."""

    url: str
    process: "subprocess.Popen[str]"

    def order(self, order: str) -> None:
        """Put an order in force and wait until it is."""
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()
        while (line := line_of(self.process)) != "ready":
            assert line == "stalled"

    def wait_until_stalled(self) -> None:
        assert line_of(self.process) == "stalled"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with served(tmp_path / "data") as url:
        yield url


@pytest.fixture
def weather(registry: str, request: pytest.FixtureRequest) -> Iterator[Weather]:
    seed = getattr(request, "param", 1)
    with running("-m", "tests.support.faults.proxy", registry, str(seed)) as process:
        yield Weather(line_of(process), process)


@pytest.fixture
def program(tmp_path: Path, weather: Weather) -> Program:
    return Program.within(captured_project(PROJECT, tmp_path), tmp_path, GLAAS_URL=weather.url)


def recorded_hash() -> str:
    return str(recorded(PROJECT, "session")["finalized_hash"])


def published(registry: str) -> Any:
    with urllib.request.urlopen(f"{registry}/api/v1/sessions/{recorded_hash()}") as reply:
        return json.load(reply)


def check_published(registry: str) -> None:
    staged = recorded(PROJECT, "session")["staged"]
    lineage = published(registry)
    assert (lineage["jobs_count"], lineage["artifacts_count"]) == (staged["jobs"], staged["n_artifacts"])
    assert sum(job["inputs_count"] for job in lineage["jobs"]) == staged["inputs"]
    assert sum(job["outputs_count"] for job in lineage["jobs"]) == staged["outputs"]


def session_tokens(program: Program) -> list[bytes]:
    return [path.read_bytes() for path in program.state.rglob("session-token")]


def wait_until_planned(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    events = (json.loads(line)["event"] for line in process.stdout)
    assert any(event == "state" for event in events)


@pytest.mark.parametrize("how", ["stall", "withhold"])
@pytest.mark.parametrize("place", PLACES)
def test_killed_in_every_state_and_resumed(
    place: str, how: str, registry: str, weather: Weather, program: Program
) -> None:
    weather.order(f"{how} {PLACES[place]}")
    with program.started(*PUBLISH) as process:
        weather.wait_until_stalled()
        wait_until_planned(process)  # the first request is sent before that
        tokens = session_tokens(program)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    weather.order("calm")
    ended = program(*RESUME)
    assert ended.code == 0, ended.err
    assert (ended.last["event"], ended.last["hash"]) == ("published", recorded_hash())
    check_published(registry)
    assert len(tokens) == (place not in ("probe", "open"))
    left = [path for path in program.state.rglob("*") if path.is_file() and path.name != "key"]
    for token in tokens:
        assert not [path for path in left if token in path.read_bytes()]
        assert token.decode() not in ended.out + ended.err


@pytest.mark.parametrize("weather", range(1, 5), indirect=True)
def test_through_a_storm(registry: str, weather: Weather, program: Program) -> None:
    """Connections are reset, closed and cut all the time; what one run does not finish, the next one does."""
    weather.order(f"storm {STORM}")
    ended = program(*PUBLISH)
    for _ in range(MOST_RUNS):
        if ended.code == 0:
            break
        assert ended.code == 3, ended.err
        ended = program(*RESUME)
    assert ended.last["hash"] == recorded_hash()
    check_published(registry)
