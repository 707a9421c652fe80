"""What real roar-cli shows if a registry has no room for its publish, and that it publishes once there is."""

import subprocess
import sys
from pathlib import Path

import httpx2

from tests.support.cli.program import PATIENCE, serving
from tests.support.interop.clients import TIMEOUT_SECONDS, Workplace
from tests.support.processes import environment
from tests.support.registry.harness import GIT, job, succeeded

OPEN = "/api/v1/registration-sessions"


def test_roar_cli_says_what_the_registry_says(tmp_path: Path) -> None:
    place = Workplace(tmp_path / "home", "linear")
    with serving("registry", "serve", "--data", str(tmp_path / "data"), "--open-sessions", "1") as line:
        url = line.split()[-1]
        session = succeeded(httpx2.post(f"{url}{OPEN}", json={"mode": "anonymous_public"}, timeout=PATIENCE))
        refused = subprocess.run(
            [sys.executable, "-m", "roar", "register", "--public", "-y"],
            cwd=place.root,
            env=environment(HOME=str(tmp_path / "home"), DO_NOT_TRACK="1", GLAAS_URL=url),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        said = " ".join((refused.stdout + refused.stderr).split())
        assert refused.returncode != 0, said
        assert "your address has 1 open registration sessions" in said, said
        assert "Traceback" not in said
        root = f"{url}{OPEN}/{session['registration_session_id']}"
        token = {"Authorization": f"RegistrationSession {session['registration_session_token']}"}
        succeeded(httpx2.post(f"{root}/jobs/batch", json={"jobs": [job(1)]}, headers=token, timeout=PATIENCE))
        succeeded(httpx2.post(f"{root}/finalize", json=GIT, headers=token, timeout=PATIENCE))
        place.publish_by_roar_cli(url, [])
