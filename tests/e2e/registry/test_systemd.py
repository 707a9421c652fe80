"""The unit of docs/registry.md: systemd accepts it, and what it starts can be watched and stopped as systemd does."""

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import httpx2
import pytest

from roar_publisher.registry.server.process import DRAIN_SECONDS
from tests.support.checkout import CHECKOUT
from tests.support.cli.program import PATIENCE
from tests.support.interop.clients import TIMEOUT_SECONDS
from tests.support.ports import reserved_port

ANALYZE = shutil.which("systemd-analyze")
PROGRAM, DATA = "/opt/roar/bin/roar", "/var/lib/roar-registry"


@pytest.fixture(scope="module")
def unit() -> str:
    """The text of the unit."""
    page = (CHECKOUT / "docs" / "registry.md").read_text().partition("**Under systemd.**")[2]
    block = re.search(r"\n((?:    .*\n|\n)+)", page)
    assert block is not None
    return textwrap.dedent(block[1])


def service(unit: str) -> configparser.SectionProxy:
    """Its section `[Service]`."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(unit.replace("\\\n", " "))
    return parser["Service"]


@pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit(unit: str, tmp_path: Path) -> None:
    assert ANALYZE is not None
    program = tmp_path / "roar"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    file = tmp_path / "roar-registry.service"
    file.write_text(unit.replace(PROGRAM, str(program)).replace("User=roar-registry", "User=root"))
    command = [ANALYZE, "verify", "--man=no", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    assert (done.returncode, [line for line in done.stderr.splitlines() if file.name in line]) == (0, [])


def test_what_it_starts_is_ready_answers_and_ends_with_0_within_the_time_that_it_gets(
    unit: str, tmp_path: Path
) -> None:
    settings = service(unit)
    assert int(settings["TimeoutStopSec"]) > DRAIN_SECONDS
    assert settings["StateDirectory"] == Path(DATA).name
    data, port, figures = tmp_path / "data", reserved_port(), reserved_port()
    data.mkdir(mode=int(settings["StateDirectoryMode"], 8))
    program, *words = shlex.split(settings["ExecStart"])
    assert program == PROGRAM
    own = {DATA: str(data), "8123": str(port), "127.0.0.1:9100": f"127.0.0.1:{figures}"}
    popen = subprocess.Popen(
        [sys.executable, "-m", "roar_publisher", *(own.get(word, word) for word in words)],
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with popen:
        try:
            assert popen.stdout is not None
            assert popen.stdout.readline() == f"http://127.0.0.1:{port}\n"
            url = f"http://127.0.0.1:{port}"
            assert httpx2.get(f"{url}/readyz", timeout=PATIENCE).json() == {"status": "ready"}
            reply = httpx2.get(f"{url}/api/v1/health", headers={"Host": "registry.example"}, timeout=PATIENCE)
            assert reply.status_code == 200, "the name of --public-url"
            assert (
                "roar_registry_requests_total"
                in httpx2.get(f"http://127.0.0.1:{figures}/metrics", timeout=PATIENCE).text
            )
            popen.send_signal(signal.SIGTERM)
            _, said = popen.communicate(timeout=int(settings["TimeoutStopSec"]))
        finally:
            popen.kill()
    assert popen.returncode == 0, said
    assert '"route": "/readyz"' in said, "--access-log"
    assert "Traceback" not in said
    assert {path.name for path in tmp_path.iterdir()} == {data.name}
