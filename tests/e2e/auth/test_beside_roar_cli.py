"""Real roar-cli and ours use one sign-in at the same time: its refresh tokens work once, and none of them is lost."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.auth.desk import Desk, alices_desk, recorded_hash
from tests.support.auth.front import Answer, Front, Seen, front
from tests.support.cli.roar_cli import run_roar_cli
from tests.support.lineage.captured import captured_project

SECONDS = 120
REFRESH = "/auth/refresh"
OVER = {"expires_at": "2020-01-01T00:00:00Z"}
"""A sign-in that is renewed before it is used, by both."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with alices_desk(tmp_path) as desk:
        desk.sign_in()
        desk.auth_json.write_text(json.dumps(json.loads(desk.auth_json.read_text()) | OVER))
        yield desk


@pytest.fixture
def second_project(tmp_path: Path) -> Path:
    folder = tmp_path / "roar-cli"
    folder.mkdir()
    return captured_project("linear", folder)


def roar_cli(desk: Desk, project: Path) -> subprocess.Popen[str]:
    """`roar register --private` of real roar-cli, by the same person."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "roar", "register", "--private", "-y"],
        cwd=project,
        env=desk.program.env | {"DO_NOT_TRACK": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


class Turns:
    """A rule that lets both ask for the refresh before either gets an answer.

    The registry answers the first, which has to wait for its answer until the second is refused: a spent refresh token
    is good for nothing at most registries. Ours repeats its answer for a while, as if it had been lost.
    """

    def __init__(self, fore: Front) -> None:
        self._fore = fore
        self.renewed, self.refused = threading.Event(), threading.Event()

    def __call__(self, seen: Seen) -> Answer | None:
        if not seen.path.endswith(REFRESH):
            return None
        if self.renewed.is_set():
            self.refused.set()
            return Answer(401, b'{"detail": "the refresh token was used"}')
        answer = self._fore.ask(seen)
        self.renewed.set()
        assert self.refused.wait(SECONDS)
        return answer


def test_refused_because_roar_cli_was_first_it_continues_with_the_tokens_of_roar_cli(
    desk: Desk, second_project: Path
) -> None:
    with front(desk.url) as fore:
        seat = desk.with_environment(GLAAS_URL=fore.url, ROAR_GLAAS__URL=fore.url)
        turns = fore.rule = Turns(fore)
        with roar_cli(seat, second_project) as theirs:
            assert turns.renewed.wait(SECONDS)
            done = seat.program("publish", "--private", "--json")
            said, _ = theirs.communicate(timeout=SECONDS)
    assert done.code == 0, done.out + done.err
    assert theirs.returncode == 0, said
    assert done.last["hash"] == recorded_hash("bearer")
    assert sorted(seen.status for seen in fore.seen if seen.path.endswith(REFRESH)) == [200, 401]
    goes_on(desk.with_environment(GLAAS_URL=desk.url))


def test_roar_cli_finds_the_sign_in_that_we_renewed(desk: Desk, second_project: Path) -> None:
    before = json.loads(desk.auth_json.read_text())
    desk.publish("--private")
    renewed = json.loads(desk.auth_json.read_text())
    assert renewed["refresh_token"] != before["refresh_token"]
    with roar_cli(desk, second_project) as theirs:
        said, _ = theirs.communicate(timeout=SECONDS)
    assert theirs.returncode == 0, said
    goes_on(desk)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="roar-cli signs with ssh-keygen")
@pytest.mark.parametrize("credential", ["bearer", "key"])
def test_roar_cli_edits_the_labels_of_what_we_published(desk: Desk, credential: str) -> None:
    if credential == "key":
        desk.auth_json.unlink()
        desk.make_key()
    lineage_hash = desk.publish("--private")["hash"]
    for arguments in (["label", "set", "job", "@2", "stage=shipped"], ["label", "sync", "-y"]):
        run_roar_cli(*arguments, cwd=desk.program.cwd, env=desk.program.env | {"DO_NOT_TRACK": "1"}).output()
    _, lineage = desk.read(lineage_hash, desk.token())
    assert [job["labels"].get("stage") for job in lineage["jobs"]][1] == "shipped"


def goes_on(desk: Desk) -> None:
    """Assert that what is kept now can still be renewed."""
    kept = json.loads(desk.auth_json.read_text())
    desk.auth_json.write_text(json.dumps(kept | {"access_token": "x" * 40} | OVER))
    desk.publish("--private")
    assert json.loads(desk.auth_json.read_text())["refresh_token"] != kept["refresh_token"]
