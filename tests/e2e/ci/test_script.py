"""`integrations/roar-publish-ci` as a runner runs it: no home, an environment of its own, a token in a variable."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.auth.desk import Desk, alices_desk, recorded_hash
from tests.support.checkout import CHECKOUT
from tests.support.cli.program import PATIENCE

SCRIPT = CHECKOUT / "integrations" / "roar-publish-ci"
HOSTILE = '"; touch pwned; $(touch pwned) `touch pwned` %0A::error::x'
"""A branch name that a shell would obey."""
SECRET = "token-that-nobody-issued"
SHELLS = ("sh", "bash")


@dataclass(frozen=True)
class Job:
    """A job of a runner: `summary` and `variables` are the files of its page and of its later steps."""

    desk: Desk
    folder: Path

    @property
    def summary(self) -> str:
        return self._read("summary.md")

    @property
    def variables(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self._read("variables").splitlines())

    def environ(self, **inputs: str) -> dict[str, str]:
        """All that the script gets. HOME is not among it."""
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(CHECKOUT / "src"),
            "RUNNER_TEMP": str(self.folder / "temp"),
            "GITHUB_ACTIONS": "true",
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md"),
            "GITHUB_OUTPUT": str(self.folder / "variables"),
            "GITHUB_SHA": "0123456",
            "ROAR_CI_REGISTRY": self.desk.url,
            "ROAR_CI_VISIBILITY": "private",
            **inputs,
        }

    def run(self, shell: str = "sh", cwd: Path | None = None, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run the script to its end. cwd: instead of the project."""
        return subprocess.run(
            [shell, str(SCRIPT)],
            cwd=cwd or self.desk.program.cwd,
            env=self.environ(**inputs),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def _read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with alices_desk(tmp_path_factory.mktemp("desk")) as desk:
        yield desk


@pytest.fixture(scope="module")
def token(desk: Desk) -> str:
    return desk.token()


@pytest.fixture
def job(desk: Desk, tmp_path: Path) -> Job:
    (tmp_path / "temp").mkdir()
    return Job(desk, tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_job_publishes_and_its_page_and_later_steps_know_it(job: Job, token: str, shell: str) -> None:
    """The second job has other journals: its effect is that of the first."""
    done = job.run(shell, ROAR_ACCESS_TOKEN=token)
    assert done.returncode == 0, done.stdout
    lineage = recorded_hash("bearer")
    assert job.variables.pop("ROAR_PUBLISH_ID")
    assert job.variables["ROAR_PUBLISH_STATE"] == "done"
    assert job.variables["ROAR_PUBLISH_HASH"] == lineage
    assert job.variables["ROAR_PUBLISH_URL"].startswith(job.desk.url)
    assert "### roar: published" in job.summary
    assert f"[{lineage}]({job.variables['ROAR_PUBLISH_URL']})" in job.summary
    assert token not in done.stdout + job.summary
    assert os.listdir(job.folder / "temp") == []
    status, read = job.desk.read(lineage, token)
    assert (status, read["visibility"]) == (200, "private")


@pytest.mark.parametrize("shell", SHELLS)
def test_relative_paths_are_those_of_the_job_and_not_of_the_project(job: Job, token: str, shell: str) -> None:
    """A runner keeps what is in its own folder: the journals, to resume, and the page."""
    workspace = job.folder / "workspace"
    workspace.mkdir()
    (workspace / "train").symlink_to(job.desk.program.cwd)
    done = job.run(
        shell,
        workspace,
        ROAR_ACCESS_TOKEN=token,
        ROAR_CI_PROJECT="train",
        ROAR_CI_SUMMARY="page.md",
        ROAR_CI_VARIABLES="results",
        ROAR_STATE_DIR=".roar-state",
    )
    assert done.returncode == 0, done.stdout
    assert {path.name for path in workspace.iterdir()} == {"train", "page.md", "results", ".roar-state"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")
@pytest.mark.parametrize("named", ["checkout", "link"])
def test_a_checkout_of_another_user_is_published(job: Job, token: str, named: str) -> None:
    """As in a container, whose checkout the runner made. Its workspace may be behind a link."""
    checkout = shutil.copytree(job.desk.program.cwd, job.folder / "checkout")
    for path in (checkout, *checkout.rglob("*")):
        os.chown(path, 1234, 1234, follow_symlinks=False)
    (job.folder / "link").symlink_to(checkout)
    done = job.run(ROAR_ACCESS_TOKEN=token, ROAR_CI_PROJECT=str(job.folder / named))
    assert done.returncode == 0, done.stdout
    assert job.variables["ROAR_PUBLISH_HASH"] == recorded_hash("bearer")


def test_values_reach_the_program_as_they_are(job: Job, token: str) -> None:
    project = job.desk.program.cwd
    (project / "a file.bin").write_bytes(b"a" * 10)
    (project / "[a]*.bin").write_bytes(b"b" * 20)
    store = job.folder / "a store"
    done = job.run(
        ROAR_ACCESS_TOKEN=token,
        ROAR_CI_FILES="a file.bin\n[a]*.bin\n",
        ROAR_CI_DESTINATION=str(store),
        ROAR_CI_MESSAGE=HOSTILE,
    )
    assert done.returncode == 0, done.stdout
    assert sorted(path.name for path in store.rglob("*") if path.is_file()) == ["[a]*.bin", "a file.bin"]
    assert not (project / "pwned").exists()
    assert "2 files, 30 B" in job.summary
    refused = job.run(ROAR_ACCESS_TOKEN=token, ROAR_CI_TARGET="--dry-run")
    assert refused.returncode != 0, refused.stdout
    assert "the target --dry-run names no" in refused.stdout


def test_what_other_tools_leave_in_the_checkout_is_no_change_of_its_code(job: Job, token: str) -> None:
    """Credentials of google-github-actions/auth and pip's cache; what the user's own git ignores stays ignored."""
    project = shutil.copytree(job.desk.program.cwd, job.folder / "project", symlinks=True)
    for name in ("gha-creds-1.json", ".cache/pip/wheel", "notes.mine"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("of a tool")
    home, files = job.folder / "home", {"ROAR_CI_FILES": "model.bin", "ROAR_CI_DESTINATION": str(job.folder / "store")}
    (home / ".config" / "git").mkdir(parents=True)
    (home / ".config" / "git" / "ignore").write_text("*.mine")  # without a line end
    (project / "model.bin").write_bytes(b"weights")
    (project / ".git" / "info" / "exclude").write_text("model.bin\n")
    done = job.run(cwd=project, ROAR_ACCESS_TOKEN=token, HOME=str(home), **files)
    assert done.returncode == 0, done.stdout
    (project / "train.py").write_text("code")
    refused = job.run(cwd=project, ROAR_ACCESS_TOKEN=token, HOME=str(home), **files)
    assert refused.returncode == 2, refused.stdout
    assert "uncommitted changes (train.py)" in refused.stdout


@pytest.mark.parametrize(
    ("inputs", "code", "says"),
    [
        ({}, 4, "ROAR_ACCESS_TOKEN is empty"),
        ({"ROAR_CI_VISIBILITY": "everyone"}, 2, "has to be public, private or anonymous"),
        ({"ROAR_CI_TARGET": "@1", "ROAR_CI_DESTINATION": "/tmp"}, 2, "ROAR_CI_FILES"),
        ({"ROAR_ACCESS_TOKEN": SECRET}, 4, "needs you"),
        ({"ROAR_ACCESS_TOKEN": SECRET, "ROAR_CI_VISIBILITY": "public"}, 4, "needs you"),
        ({"ROAR_ACCESS_TOKEN": SECRET, "ROAR_CI_REGISTRY": "nonsense"}, 2, "inputs of this job are wrong"),
    ],
    ids=["no token", "visibility", "target and files", "bad token", "bad token, public", "address"],
)
def test_each_exit_code_has_a_sentence_on_the_page(job: Job, inputs: dict[str, str], code: int, says: str) -> None:
    done = job.run("sh", None, **inputs)
    assert done.returncode == code, done.stdout
    errors = [line for line in done.stdout.splitlines() if line.startswith("::error title=roar::")]
    assert len(errors) == 1
    assert says in errors[0]
    assert SECRET not in done.stdout + job.summary
    assert os.listdir(job.folder / "temp") == []


def test_a_page_that_cannot_be_written_does_not_change_how_it_ended(job: Job, token: str) -> None:
    away = str(job.folder / "away" / "file")
    done = job.run(ROAR_ACCESS_TOKEN=token, GITHUB_STEP_SUMMARY=away, GITHUB_OUTPUT=away)
    assert done.returncode == 0, done.stdout
    assert f"::error title=roar::{away} cannot be written" in done.stdout
    assert os.listdir(job.folder / "temp") == []


@pytest.mark.parametrize("visibility", ["private", "anonymous"])
def test_a_cancelled_job_stops_cleanly(job: Job, token: str, visibility: str) -> None:
    """The runner signals the script, and nothing else. A private publish was not planned by then."""
    away = "http://127.0.0.1:9"
    environ = job.environ(ROAR_ACCESS_TOKEN=token, ROAR_CI_REGISTRY=away, ROAR_CI_VISIBILITY=visibility)
    with subprocess.Popen(
        ["sh", str(SCRIPT)], cwd=job.desk.program.cwd, env=environ, stdout=subprocess.PIPE, text=True
    ) as popen:
        assert popen.stdout is not None
        waiting = next((line for line in popen.stdout if '"reason": "offline"' in line), "")
        popen.send_signal(signal.SIGTERM)
        popen.communicate(timeout=PATIENCE)
    assert '"event": "waiting"' in waiting
    assert popen.returncode == 130
    assert "stopped, resumable" in job.summary
    assert ("run this job again" in job.summary) is (visibility == "anonymous")
    assert "resume" not in job.summary, "its journal is gone"
    assert job.variables["ROAR_PUBLISH_REASON"] == "interrupted"
    assert os.listdir(job.folder / "temp") == []


def test_what_a_server_says_is_no_command_to_the_runner(job: Job, token: str) -> None:
    lines = job.run(ROAR_ACCESS_TOKEN=token).stdout.splitlines()
    begins, stop = lines[0].split("::stop-commands::")
    assert begins == ""
    assert len(stop) == 32
    assert lines[-1] == f"::{stop}::"
