"""The wheel, installed into an environment of its own by a person without the checkout."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.checkout import CHECKOUT
from tests.support.cli.servers import answering, http
from tests.support.lineage.captured import captured_project, recorded
from tests.support.put.projects import put_project
from tests.support.shared import made_once

TIMEOUT_SECONDS = 300
"""Generous: the first install on a machine downloads the dependencies."""


class Installed:
    """A virtual environment with the wheel and its dependencies, nothing else, and a home without the checkout."""

    def __init__(self, venv: Path, home: Path) -> None:
        self.venv = venv
        self.home = home
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ROAR_"))}
        self.environ |= {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self.venv / "bin" / name)

    def run(self, program: str, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, away from the checkout."""
        return subprocess.run(
            [self.program(program), *arguments],
            cwd=cwd or self.home,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )


@pytest.fixture(scope="session")
def venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment, installed once."""
    return made_once(tmp_path_factory, "packaging", _install) / "venv"


@pytest.fixture
def installed(venv: Path, tmp_path: Path) -> Installed:
    return Installed(venv, tmp_path)


@pytest.mark.parametrize("program", ["roar", "roar-publish"])
def test_both_console_scripts_are_the_program(installed: Installed, program: str) -> None:
    done = installed.run(program, "--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"roar-publisher \d+\.\d+\.\d+\n", done.stdout)


def test_python_dash_m_publisher_is_the_program(installed: Installed) -> None:
    done = installed.run("python", "-m", "roar_publisher", "publish", "--help")

    assert done.returncode == 0
    assert "--resume" in done.stdout


def test_the_wheel_says_that_it_is_typed_and_brings_its_licence(installed: Installed) -> None:
    code = (
        "import importlib.metadata as m, importlib.resources as r;"
        "print(*(r.files(name).joinpath('py.typed').is_file() for name in ('roar_publisher', 'roar_publisher.state')));"
        "print(any(path.name == 'LICENSE' for path in m.files('roar-publisher')))"
    )

    assert installed.run("python", "-c", code).stdout.split() == ["True", "True", "True"]


def test_nothing_comes_from_the_checkout(installed: Installed) -> None:
    code = "import roar_publisher as p, roar_publisher.state as s; print(p.__file__, s.__file__)"
    done = installed.run("python", "-c", code)

    assert str(CHECKOUT) not in done.stdout
    assert done.stdout.count(str(installed.venv)) == 2


def test_a_captured_project_is_published_to_the_registry_of_the_wheel(installed: Installed) -> None:
    project = captured_project("linear", installed.home)
    with registry_of(installed) as address:
        done = installed.run("roar", "publish", "--public", "-y", "--json", "--registry", address, cwd=project)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["hash"] == recorded("linear", "session")["finalized_hash"]


def test_a_put_to_google_without_credentials_says_what_is_missing(installed: Installed) -> None:
    project = put_project(installed.home)
    installed.environ |= {"NO_GCE_CHECK": "true"}  # asking this machine for its metadata server takes a while
    with registry_of(installed) as address:
        typed = ["put", "out0.txt", "gs://bucket/x", "-m", "x", "--public", "-y", "--no-tag", "--json"]
        done = installed.run("roar", *typed, "--registry", address, cwd=project)

    report = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, report["reason"]) == (4, "auth"), done.stdout + done.stderr
    assert "Google credentials are unavailable" in report["what"]
    assert "gcloud auth application-default login" in report["next"]


def test_the_metadata_server_of_google_gives_out_credentials(installed: Installed) -> None:
    def metadata(request: bytes) -> bytes:
        answer = {"access_token": "a-token", "expires_in": 3600, "token_type": "Bearer"}
        body = json.dumps(answer if b"/token" in request.split(b" ")[1] else {"email": "default"}).encode()
        return http("200 OK", body, "Metadata-Flavor: Google", "Content-Type: application/json")

    code = (
        "import anyio; from roar_publisher.storage.gcs_account import open_account;"
        "print(anyio.run(open_account({}).headers))"
    )
    with answering(metadata) as server:
        host = server.url.removeprefix("http://")
        installed.environ |= {"GCE_METADATA_HOST": host, "GCE_METADATA_IP": host}
        done = installed.run("python", "-c", code)

    assert done.stdout == "{'Authorization': 'Bearer a-token'}\n", done.stderr


def test_without_roar_cli_its_commands_say_how_to_install_it(installed: Installed) -> None:
    done = installed.run("roar", "status")

    assert done.returncode == 2
    assert "pip install roar-cli" in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def registry_of(installed: Installed) -> Iterator[str]:
    """The registry of the wheel, on loopback; its address."""
    serve = [installed.program("roar"), "registry", "serve", "--data", str(installed.home / "registry")]
    with subprocess.Popen(
        serve, cwd=installed.home, env=installed.environ, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().split()[-1]
        finally:
            server.send_signal(signal.SIGTERM)


def _install(folder: Path) -> None:
    """Install what is run here: without pip, and without compiling the modules that nothing imports."""
    venv = folder / "venv"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _must([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), str(CHECKOUT)])
    _must([sys.executable, "-m", "venv", "--clear", "--without-pip", str(venv)])
    (wheel,) = folder.glob("*.whl")
    _must([*pip, "--python", str(venv / "bin" / "python"), "install", "--no-compile", f"{wheel}[all]"])


def _must(command: list[str]) -> None:
    subprocess.run(command, check=True, timeout=TIMEOUT_SECONDS)
