"""`roar login --token-file`, where roar-cli is not installed, against a registry that really runs."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.auth.desk import BY_BEARER, SUB, USER_ID, Desk, alices_desk, recorded_hash, registry
from tests.support.cli.program import PATIENCE, Ended

WITHOUT_ROAR_CLI = """
import sys
sys.modules["roar"] = None
from roar_publisher.__main__ import main
from roar_publisher.net import gate
gate.FIRST_CONTACT_SECONDS = 1.0
main()
"""
"""It does not wait long for a registry that never answered."""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with alices_desk(tmp_path) as desk:
        yield desk


def login(desk: Desk, token_file: Path, *arguments: str) -> Ended:
    """`roar login --token-file` in an environment without roar-cli."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROAR_CLI, "login", "--token-file", str(token_file), *arguments],
        cwd=desk.program.cwd,
        env=desk.program.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def token_file(desk: Desk, name: str = "alice") -> Path:
    """A sign-in that the registry issues, in a file that the user received."""
    path = desk.home / f"{name}.json"
    path.unlink(missing_ok=True)
    desk.admin("token", "issue", name, "--auth-json", str(path))
    return path


def test_a_good_token_signs_in_and_publishes(desk: Desk) -> None:
    file = token_file(desk)
    done = login(desk, file)
    assert done.code == 0, done.err
    assert "Signed in as alice" in done.out
    assert desk.auth_json.stat().st_mode & 0o777 == 0o600
    assert desk.auth_json.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(desk.auth_json.read_text()) == json.loads(file.read_text())
    assert desk.publish("--private")["hash"] == recorded_hash("bearer")


def test_the_registry_names_the_user_of_a_bare_token(desk: Desk) -> None:
    file = desk.home / "bare.json"
    file.write_text(json.dumps({"access_token": desk.token()}))
    assert login(desk, file).code == 0
    user = json.loads(desk.auth_json.read_text())["user"]
    assert (user["sub"], user["db_user_id"], user["username"]) == (SUB, USER_ID, "alice")
    assert desk.publish("--private")["hash"] == recorded_hash("bearer")
    shown = desk.roar("publish", "--dry-run", "--json", "--private").last["provisional"]
    assert shown == {BY_BEARER: recorded_hash("bearer")}


def test_a_new_sign_in_replaces_the_present_one(desk: Desk) -> None:
    desk.admin("user", "add", "bob")
    desk.sign_in("bob")
    assert "Signed in as alice" in login(desk, token_file(desk)).out
    assert json.loads(desk.auth_json.read_text())["user"]["username"] == "alice"


def test_a_token_of_the_environment_is_not_stored(desk: Desk) -> None:
    file = token_file(desk)
    seat = desk.with_environment(ROAR_ACCESS_TOKEN="another")
    assert "Signed in as alice" in login(seat, file).out
    assert json.loads(desk.auth_json.read_text()) == json.loads(file.read_text())


# ---------------------------------------------------------------- the present sign-in stays


@pytest.fixture
def present(desk: Desk) -> Iterator[bytes]:
    """Alice is signed in, and still is afterwards, just as before."""
    desk.sign_in()
    before = desk.auth_json.read_bytes()
    yield before
    assert desk.auth_json.read_bytes() == before
    assert desk.auth_json.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in desk.auth_json.parent.iterdir()} <= {"auth.json", "auth.json.lock"}


@pytest.mark.usefixtures("present")
def test_a_token_that_the_registry_refuses(desk: Desk) -> None:
    file = token_file(desk)
    grants = json.loads(desk.admin("token", "list", "--json"))
    desk.admin("token", "revoke", max(grants, key=lambda grant: float(grant["issued_at"]))["id"])
    done = login(desk, file)
    done.blames(4, "does not accept this token", "the current sign-in is kept")
    assert json.loads(file.read_text())["access_token"] not in done.err


@pytest.mark.usefixtures("present")
def test_a_token_of_another_registry(desk: Desk, tmp_path: Path) -> None:
    file = token_file(desk)
    with registry(tmp_path / "another") as url:
        login(desk, file, "--registry", url).blames(4, "does not accept this token")


@pytest.mark.usefixtures("present")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("no json", "does not contain a JSON object"),
        ("[1]", "does not contain a JSON object"),
        ("", "does not contain a JSON object"),
        ('{"access_token": ', "does not contain a JSON object"),
        ("{}", "access_token is missing"),
        ('{"access_token": "two words"}', "access_token is not a token"),
        ('{"access_token": "a\\nb"}', "access_token is not a token"),
        ('{"access_token": "a", "expires_at": "soon"}', "expires_at is not a time"),
        ('{"access_token": "a", "user": 7}', "user is not an object"),
    ],
)
def test_a_file_without_a_token(desk: Desk, content: str, words: str) -> None:
    file = desk.home / "bad.json"
    file.write_text(content)
    done = login(desk, file)
    done.blames(1, words, "request a new token file")
    assert "canary" not in done.err


@pytest.mark.usefixtures("present")
def test_a_file_that_cannot_be_read(desk: Desk) -> None:
    login(desk, desk.home / "missing.json").blames(1, "cannot be read: No such file")
    login(desk, desk.home).blames(1, "cannot be read: it is not a regular file")
    large = desk.home / "large.json"
    large.write_text(json.dumps({"access_token": "a" * 2_000_000}))
    login(desk, large).blames(1, "cannot be read: it is larger than 1024 kB")


@pytest.mark.usefixtures("present")
def test_an_unreachable_registry(desk: Desk) -> None:
    login(desk, token_file(desk), "--registry", "http://127.0.0.1:9").blames(3, "cannot be reached")


@pytest.mark.usefixtures("present")
def test_a_registry_that_is_not_an_address(desk: Desk) -> None:
    login(desk, token_file(desk), "--registry", "ftp://x").blames(2, "not an http(s) URL")


def test_with_roar_cli_the_command_belongs_to_roar_cli(desk: Desk) -> None:
    done = desk.roar("login", "--help")
    assert done.code == 0
    assert "--glaas-api-url" in done.out
