"""Real roar-cli publishes to a real registry, over both routes, as its users do."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.support.checkout import PROJECTS
from tests.support.cli.program import Ended
from tests.support.cli.roar_cli import run_roar_cli
from tests.support.registry.harness import RECORDINGS, Json, recording, recording_name, succeeded
from tests.support.registry.processes import PATIENCE, PROGRAM, served, serving

LEGACY_PROGRAM = PROGRAM.replace(
    "from roar_publisher.registry.server.serve import serve",
    """from roar_publisher.registry.api import app
from roar_publisher.registry.server import serve as module
from roar_publisher.registry.server.serve import serve

module.create_app = lambda store, **options: app.create_app(store, features=None, **options)""",
)
"""The registry with registration sessions switched off."""
ONE_SESSION_PROGRAM = PROGRAM.replace(
    "import serve\n",
    """import ServeOptions, serve
from roar_publisher.registry.accounts.quotas import Amount
""",
).replace("flush=True))", "flush=True), options=ServeOptions(quota=Amount(1, 100, 10**9)))", 1)
"""The registry, which takes one publish a day without a sign-in."""


@pytest.fixture(params=["linear", "diamond"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A captured project in a clone of its repository."""
    return cloned(str(request.param), tmp_path)


def cloned(name: str, tmp_path: Path) -> Path:
    source = PROJECTS / name
    clone = tmp_path / "work" / name
    subprocess.run(["git", "clone", "-q", source / "repo.bundle", clone], check=True)
    remote = f"https://github.com/acme/{name}.git"
    subprocess.run(["git", "-C", clone, "remote", "set-url", "origin", remote], check=True)
    shutil.copytree(source / "roar", clone / ".roar")
    return clone


def register(project: Path, url: str, *target: str) -> str:
    """What `roar register --public -y` prints."""
    return try_to_register(project, url, *target).output()


def try_to_register(project: Path, url: str, *target: str) -> Ended:
    home = project.parent / "home"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_STATE_HOME": str(home / "state"),
        "GLAAS_URL": url,
        "DO_NOT_TRACK": "1",
    }
    return run_roar_cli("register", "--public", "-y", *target, cwd=project, env=environment)


def published(url: str, output: str) -> Json:
    """The lineage whose address roar printed."""
    found = re.search(r"/dag/([0-9a-f]{64})", output)
    assert found, output
    return succeeded(httpx2.get(f"{url}/api/v1/sessions/{found[1]}", timeout=PATIENCE))


# The files that the projects' jobs wrote are not kept, so targets that are paths cannot be asked for again.
@pytest.mark.parametrize("path", [path for path in RECORDINGS if path.stem != "model.bin"], ids=recording_name)
def test_register_reaches_the_recorded_hash(tmp_path: Path, path: Path) -> None:
    expected = recording(path)
    project = cloned(path.parent.parent.name, tmp_path)
    with served(tmp_path / "registry") as url:
        lineage = published(url, register(project, url, *expected["command"][4:]))
    counts = {kind: sum(job[f"{kind}_count"] for job in lineage["jobs"]) for kind in ("inputs", "outputs")}
    assert lineage["hash"] == expected["finalized_hash"]
    assert {"jobs": lineage["jobs_count"], **counts}.items() <= expected["staged"].items()
    assert all(job["labels"] for job in lineage["jobs"])


def test_register_twice_publishes_once(project: Path, tmp_path: Path) -> None:
    with served(tmp_path / "registry") as url:
        first = published(url, register(project, url))
        assert published(url, register(project, url)) == first


def test_register_takes_the_legacy_route_where_there_is_no_other(project: Path, tmp_path: Path) -> None:
    expected = recording(PROJECTS / project.name / "expected" / "session.json")
    with serving(tmp_path / "registry", program=LEGACY_PROGRAM) as process:
        first = published(process.url, register(project, process.url))
        again = published(process.url, register(project, process.url))
    counts = {kind: sum(job[f"{kind}_count"] for job in first["jobs"]) for kind in ("inputs", "outputs")}
    assert {"jobs": first["jobs_count"], **counts}.items() <= expected["staged"].items()
    assert first["artifacts_count"] == expected["staged"]["n_artifacts"]
    assert again == first


def test_register_says_why_it_is_refused_where_too_much_was_published(tmp_path: Path) -> None:
    project = cloned("linear", tmp_path)
    with serving(tmp_path / "registry", program=ONE_SESSION_PROGRAM) as process:
        succeeded(
            httpx2.post(
                f"{process.url}/api/v1/registration-sessions", json={"mode": "anonymous_public"}, timeout=PATIENCE
            )
        )
        done = try_to_register(project, process.url)
    assert done.code == 1
    assert "sign in or try again" in done.out + done.err
    assert "Traceback" not in done.out + done.err
