"""Real roar-cli 0.4.7 signs in to our registry by its device flow, and uses the sign-in."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from roar_publisher.registry.accounts.browser_sessions import issue_code
from roar_publisher.registry.store import projects
from roar_publisher.registry.store import users as accounts
from roar_publisher.registry.store.users import Accounts
from tests.e2e.interop.test_registry_with_roar_cli import cloned
from tests.e2e.interop.test_registry_with_roar_cli_auth import Desk, hash_in, read
from tests.support.cli.program import PATIENCE
from tests.support.registry.harness import succeeded
from tests.support.registry.processes import served

Hidden = dict[str, str]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Alice, who writes to acme/models and has no credential yet."""
    desk = Desk(cloned("linear", tmp_path), tmp_path / "home", tmp_path / "registry")
    desk.home.mkdir()
    store = Accounts.open(desk.data)
    store.write(accounts.add_user, "alice", email="alice@example.org")
    store.write(projects.add_owner, "acme")
    store.write(projects.add_project, "acme", "models", "private")
    store.write(projects.set_project_member, "acme", "models", "alice", can_write=True)
    store.close()
    return desk


@contextmanager
def logging_in(desk: Desk, url: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """`roar login`, with the page and the code that it shows, once it waits."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(desk.home),
        "XDG_CONFIG_HOME": str(desk.home / "config"),
        "XDG_STATE_HOME": str(desk.home / "state"),
        "GLAAS_URL": url,
        "ROAR_GLAAS__URL": url,
        "ROAR_DISABLE_BROWSER_OPEN": "1",
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
    }
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "roar", "login"],
        cwd=desk.project,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as popen:
        try:
            assert popen.stdout is not None
            said = ""
            for line in popen.stdout:
                said += line
                if "Waiting" in line:
                    break
            page = re.search(r"approve login: (\S+)", said)
            code = re.search(r"on the site: (\S+)", said)
            assert page, said
            assert code, said
            yield popen, page[1], code[1]
        finally:
            popen.kill()


def decide(desk: Desk, url: str, page: str, code: str, decision: str) -> None:
    """Alice opens the page, signs in, and allows or refuses the code."""
    store = Accounts.open(desk.data)
    sign_in_code = store.write(issue_code, "alice", time.time())
    store.close()
    with httpx2.Client(base_url=url, follow_redirects=True, timeout=PATIENCE) as browser:
        opened = browser.get(page)
        assert "Sign-in code" in opened.text
        opened = browser.post("/sign-in", data={**_hidden(opened), "code": sign_in_code})
        assert "Code that the program shows" in opened.text
        opened = browser.post("/device", data={**_hidden(opened), "user_code": code})
        assert "Allow this program?" in opened.text
        opened = browser.post("/device/decision", data={**_hidden(opened), "decision": decision})
        assert "Done" in opened.text


def published_by_ours(desk: Desk, url: str) -> str:
    """The hash that our own client reaches with the sign-in of roar-cli, where the repository is bound to."""
    done = subprocess.run(
        [sys.executable, "-m", "roar_publisher", "publish", "-y", "--json"],
        cwd=desk.project,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(desk.home),
            "XDG_CONFIG_HOME": str(desk.home / "config"),
            "XDG_STATE_HOME": str(desk.home / "state"),
            "GLAAS_URL": url,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    published: str = json.loads(done.stdout.splitlines()[-1])["hash"]
    return published


def _hidden(page: httpx2.Response) -> Hidden:
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', page.text))


def test_login_whoami_projects_scope_and_logout(desk: Desk) -> None:
    with served(desk.data) as url:
        with logging_in(desk, url) as (popen, page, code):
            decide(desk, url, page, code, "allow")
            said, _ = popen.communicate(timeout=PATIENCE)
        assert popen.returncode == 0, said
        assert "alice <alice@example.org>" in said
        state = json.loads((desk.home / "config" / "roar" / "auth.json").read_text())
        assert (state["issuer"], state["provider"]) == (url, "treqs-device")
        assert "alice <alice@example.org>" in desk.roar(url, "whoami")
        assert "models" in desk.roar(url, "projects", "list")
        assert "acme/models" in desk.roar(url, "scope", "list")
        desk.roar(url, "scope", "use", "acme/models")
        lineage_hash = hash_in(desk.roar(url, "register", "-y"))
        bearer = f"Bearer {state['access_token']}"
        assert succeeded(read(url, lineage_hash, bearer))["visibility"] == "private"
        assert published_by_ours(desk, url) == lineage_hash, "the sign-in is shared"
        assert "Logged out" in desk.roar(url, "logout")
        assert read(url, lineage_hash, bearer).status_code == 401, "the sign-in was ended here, too"
        desk.roar(url, "whoami", status=1)


def test_a_refused_login_stores_nothing(desk: Desk) -> None:
    with served(desk.data) as url, logging_in(desk, url) as (popen, page, code):
        decide(desk, url, page, code, "refuse")
        said, _ = popen.communicate(timeout=PATIENCE)
    assert popen.returncode == 1
    assert "refused" in said
    assert not (desk.home / "config" / "roar" / "auth.json").exists()
