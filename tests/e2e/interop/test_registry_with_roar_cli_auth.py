"""Real roar-cli 0.4.7 publishes as a person: by SSH key, by bearer, into a project; the recorded hashes are reached."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from roar_publisher.registry.accounts import grants, public_keys
from roar_publisher.registry.accounts.signin_file import sign_in_document, write_new
from roar_publisher.registry.store import keys, projects
from roar_publisher.registry.store import users as accounts
from roar_publisher.registry.store.users import Accounts
from tests.e2e.interop.test_registry_with_roar_cli import cloned
from tests.support.checkout import DATA
from tests.support.cli.roar_cli import run_roar_cli
from tests.support.registry.harness import Json, succeeded
from tests.support.registry.processes import PATIENCE, served

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="roar-cli signs with ssh-keygen")

CASES = json.loads((DATA / "auth-cases.json").read_text())
SUB, USER_ID = "sub-alice", "u-ssh"
"""Whom the recorded hashes name: the user by her bearer, and by her SSH key."""


def recorded_hash(credential: str) -> str:
    """What roar-cli's `--public` reached with a credential when it was recorded."""
    (case,) = [c for c in CASES if (c["credential"], c["scope"], c["flag"]) == (credential, "public", "--public")]
    found: str = case["finalized_hash"]
    return found


@dataclass
class Desk:
    """Alice's project and home, and the data of a registry that knows her."""

    project: Path
    home: Path
    data: Path

    def roar(self, url: str, *arguments: str, status: int = 0) -> str:
        """What roar-cli prints, ended with `status`."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "GLAAS_URL": url,
            "ROAR_GLAAS__URL": url,
            "DO_NOT_TRACK": "1",
        }
        return run_roar_cli(*arguments, cwd=self.project, env=environment).output(status)

    def make_key(self) -> None:
        """Give her an SSH key that the registry knows."""
        path = self.home / ".ssh" / "id_ed25519"
        path.parent.mkdir(mode=0o700)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        store = Accounts.open(self.data)
        store.write(keys.add_key, "alice", public_keys.parse_key(path.with_suffix(".pub").read_text()))
        store.close()

    def sign_in(self, *, lifetime: float = 3600.0) -> str:
        """Sign her in by the file that roar keeps; her header."""
        import time

        store = Accounts.open(self.data)
        user, tokens = store.write(grants.issue, "alice", now=time.time(), lifetime=lifetime)
        store.close()
        write_new(self.home / "config" / "roar" / "auth.json", sign_in_document(user, tokens, issuer=None))
        return f"Bearer {tokens.access_token}"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Alice, without a credential yet."""
    desk = Desk(cloned("linear", tmp_path), tmp_path / "home", tmp_path / "registry")
    desk.home.mkdir()
    store = Accounts.open(desk.data)
    store.write(accounts.add_user, "alice", email="alice@example.org", sub=SUB, user_id=USER_ID)
    store.close()
    return desk


def hash_in(output: str) -> str:
    """The hash of the address that roar printed."""
    found = re.search(r"/dag/([0-9a-f]{64})", output)
    assert found, output
    return found[1]


def read(url: str, lineage_hash: str, authorization: str | None = None) -> httpx2.Response:
    headers = {"Authorization": authorization} if authorization else {}
    return httpx2.get(f"{url}/api/v1/sessions/{lineage_hash}", headers=headers, timeout=PATIENCE)


def test_an_ssh_key_publishes_publicly_under_the_recorded_hash(desk: Desk) -> None:
    desk.make_key()
    with served(desk.data) as url:
        assert "Active method: SSH signature" in desk.roar(url, "auth", "status")
        lineage_hash = hash_in(desk.roar(url, "register", "--public", "-y"))
        assert lineage_hash == recorded_hash("ssh")
        assert succeeded(read(url, lineage_hash))["creator"] == f"glaas:user:{USER_ID}"


def test_a_bearer_publishes_publicly_under_the_recorded_hash(desk: Desk) -> None:
    desk.sign_in()
    with served(desk.data) as url:
        assert "alice" in desk.roar(url, "whoami")
        assert "Active method: bearer token" in desk.roar(url, "auth", "status")
        lineage_hash = hash_in(desk.roar(url, "register", "--public", "-y"))
        assert lineage_hash == recorded_hash("bearer")
        assert succeeded(read(url, lineage_hash))["creator"] == f"treqs:user:{SUB}"


@pytest.mark.parametrize("credential", ["ssh", "bearer"])
def test_a_private_lineage_is_there_for_its_owner_alone(desk: Desk, credential: str) -> None:
    if credential == "ssh":
        desk.make_key()
    with served(desk.data) as url:
        if credential == "bearer":
            desk.sign_in()
        lineage_hash = hash_in(desk.roar(url, "register", "--private", "-y"))
        assert lineage_hash == recorded_hash(credential)
        assert read(url, lineage_hash).status_code == 404
        assert httpx2.get(f"{url}/dag/{lineage_hash}", timeout=PATIENCE).status_code == 404
        (desk.home / "config" / "roar" / "auth.json").unlink(missing_ok=True)
        lineage = succeeded(read(url, lineage_hash, desk.sign_in()))
        assert (lineage["visibility"], lineage["jobs_count"]) == ("private", 2)


def test_a_project_that_the_repo_is_bound_to_takes_a_private_lineage(desk: Desk) -> None:
    store = Accounts.open(desk.data)
    store.write(projects.add_owner, "acme")
    store.write(projects.add_project, "acme", "models", "private")
    store.write(projects.set_project_member, "acme", "models", "alice", can_write=True)
    store.write(accounts.add_user, "bob")
    _, outsider = store.write(grants.issue, "bob", now=2e9)
    store.close()
    authorization = desk.sign_in()
    with served(desk.data) as url:
        desk.roar(url, "scope", "use", "acme/models")
        lineage_hash = hash_in(desk.roar(url, "register", "-y"))
        assert lineage_hash == recorded_hash("bearer")
        assert succeeded(read(url, lineage_hash, authorization))["visibility"] == "private"
        assert read(url, lineage_hash, f"Bearer {outsider.access_token}").status_code == 404
        store = Accounts.open(desk.data)
        store.write(projects.set_project_member, "acme", "models", "bob", can_write=False)
        store.close()
        assert read(url, lineage_hash, f"Bearer {outsider.access_token}").status_code == 200


def test_a_project_that_may_only_be_read_takes_nothing(desk: Desk) -> None:
    store = Accounts.open(desk.data)
    store.write(projects.add_owner, "acme")
    store.write(projects.add_project, "acme", "models", "private")
    store.write(projects.set_project_member, "acme", "models", "alice", can_write=True)
    store.close()
    authorization = desk.sign_in()
    with served(desk.data) as url:
        desk.roar(url, "scope", "use", "acme/models")
        store = Accounts.open(desk.data)
        store.write(projects.set_project_member, "acme", "models", "alice", can_write=False)
        store.close()
        desk.roar(url, "register", "-y", status=1)
        listed = httpx2.get(f"{url}/api/v1/sessions", headers={"Authorization": authorization}, timeout=PATIENCE)
        assert succeeded(listed) == {"sessions": []}


def test_anonymous_is_anonymous_with_a_credential_at_hand(desk: Desk) -> None:
    desk.sign_in()
    with served(desk.data) as url:
        lineage_hash = hash_in(desk.roar(url, "register", "--anonymous", "-y"))
        assert succeeded(read(url, lineage_hash))["creator"] == "anonymous"


def test_a_second_register_finds_the_first(desk: Desk) -> None:
    authorization = desk.sign_in()
    with served(desk.data) as url:
        first = hash_in(desk.roar(url, "register", "--private", "-y"))
        desk.roar(url, "register", "--private", "-y")
        listed = httpx2.get(f"{url}/api/v1/sessions", headers={"Authorization": authorization}, timeout=PATIENCE)
        assert [lineage["hash"] for lineage in succeeded(listed)["sessions"]] == [first]


def test_what_was_registered_privately_becomes_public_when_its_owner_says_so(desk: Desk) -> None:
    desk.sign_in()
    with served(desk.data) as url:
        first = hash_in(desk.roar(url, "register", "--private", "-y"))
        assert read(url, first).status_code == 404
        assert hash_in(desk.roar(url, "register", "--public", "-y")) == first
        assert succeeded(read(url, first))["visibility"] == "public"


@pytest.mark.parametrize("credential", ["ssh", "bearer"])
def test_labels_are_pushed_after_a_register(desk: Desk, credential: str) -> None:
    if credential == "ssh":
        desk.make_key()
    authorization = desk.sign_in()
    if credential == "ssh":
        (desk.home / "config" / "roar" / "auth.json").unlink()
    with served(desk.data) as url:
        lineage_hash = hash_in(desk.roar(url, "register", "--private", "-y"))
        desk.roar(url, "label", "set", "job", "@2", "stage=reviewed")
        assert "updated=1" in desk.roar(url, "label", "sync", "-y")
        labels = succeeded(read(url, lineage_hash, authorization))["jobs"][1]["labels"]
        assert labels["stage"] == "reviewed"


def test_a_bearer_close_to_its_end_is_renewed_and_the_new_one_is_kept(desk: Desk) -> None:
    desk.sign_in(lifetime=240.0)
    path = desk.home / "config" / "roar" / "auth.json"
    before: dict[str, Any] = json.loads(path.read_text())
    with served(desk.data) as url:
        desk.roar(url, "register", "--private", "-y")
    after: Json = json.loads(path.read_text())
    assert after["access_token"] != before["access_token"]
    assert after["refresh_token"] != before["refresh_token"]
