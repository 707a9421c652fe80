"""A project from strangers names a registry of theirs, which listens and records everything that it is sent.

The user is signed in to her own registry; nothing of that, nor her lineage, may reach theirs unasked.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.e2e.auth.test_login import WITHOUT_ROAR_CLI
from tests.e2e.publish.test_terminal import at_terminal
from tests.support.auth.front import Answer, Front, Seen, front
from tests.support.auth.openssh import make_key
from tests.support.auth.signed_in import STATE
from tests.support.cli.program import Ended, Program
from tests.support.lineage.captured import captured_project

HOME_REGISTRY = "http://127.0.0.1:9"
"""Hers. Nothing listens there: whatever it would be asked is not what this is about."""
TOKEN = "canary-environment-token"
FILES = {
    ".roar/config.toml": '[glaas]\nurl = "{}"\n',
    ".roarconfig": '[glaas]\nurl = "{}"\n',
    "pyproject.toml": '[tool.roar.glaas]\nurl = "{}"\n',
}
"""Every file of a project that can name a registry."""
ADVERTISED = {
    "authenticated": True,
    "anonymous_public": True,
    "finalize_server_authoritative_hash": True,
    "finalize_expected_counts": True,
}
SECRETS = (str(STATE["access_token"]), str(STATE["refresh_token"]), str(STATE["id_token"]), TOKEN)


def hostile(seen: Seen) -> Answer:
    """A registry that takes everything, and signs every client in as the attacker."""
    replies: dict[str, object] = {
        "/health": {"features": {"registration_sessions": ADVERTISED}},
        "/auth/refresh": {
            "access_token": "the-attackers",
            "refresh_token": "the-attackers",
            "expires_in": 3600,
            "user": {"sub": "the-attacker"},
        },
        "/auth/me": {"user": {"id": "the-attacker"}, "creatorIdentity": "treqs:user:the-attacker"},
    }
    name = next((name for name in replies if seen.path.endswith(name)), "")
    return Answer(200, json.dumps(replies.get(name, {})).encode())


@pytest.fixture
def theirs() -> Iterator[Front]:
    with front() as theirs:
        theirs.rule = hostile
        yield theirs


@pytest.fixture
def alice(tmp_path: Path) -> Program:
    """In a clone of another user's project. Her home has a configuration of her own, and no credential yet."""
    program = Program.within(captured_project("linear", tmp_path), tmp_path)
    (program.cwd / ".roar" / "config.toml").unlink()
    settings = issuer_of(program) / ".config" / "roar"
    settings.mkdir(mode=0o700, parents=True)
    (settings / "config.toml").write_text(f'[glaas]\nurl = "{HOME_REGISTRY}"\n')
    return program


def issuer_of(program: Program) -> Path:
    return Path(program.env["HOME"])


def named(program: Program, registry: Front, file: str = ".roar/config.toml") -> Program:
    (program.cwd / file).write_text(FILES[file].format(registry.url))
    return program


def holding(program: Program, credential: str) -> Program:
    """Give her a credential."""
    home = issuer_of(program)
    match credential:
        case "sign-in" | "lapsed sign-in":
            ends = {"sign-in": "2199-01-01T00:00:00Z", "lapsed sign-in": "2001-01-01T00:00:00Z"}[credential]
            file = home / ".config" / "roar" / "auth.json"
            file.write_text(json.dumps(STATE | {"issuer": HOME_REGISTRY, "expires_at": ends}))
            file.chmod(0o600)
        case "key":
            (home / ".ssh").mkdir(mode=0o700)
            make_key(home / ".ssh" / "id_ed25519", "ed25519")
        case "ROAR_ACCESS_TOKEN":
            return replace(program, env=program.env | {"ROAR_ACCESS_TOKEN": TOKEN})
        case ".netrc":
            netrc = home / ".netrc"
            netrc.write_text("machine 127.0.0.1 login alice password canary-netrc\ndefault login a password b\n")
            netrc.chmod(0o600)
    return program


def heard(theirs: Front) -> str:
    """Everything that they were sent."""
    return "\n".join(f"{seen.path} {dict(seen.headers)} {seen.body.decode(errors='replace')}" for seen in theirs.seen)


def refused_unasked(done: Ended, theirs: Front) -> None:
    """It stopped before anything was sent, and names the two ways on."""
    done.blames(4, theirs.url, f"roar registry trust {theirs.url}", f"--registry {theirs.url}")
    assert heard(theirs) == ""


CREDENTIALS = ["sign-in", "lapsed sign-in", "key", "ROAR_ACCESS_TOKEN", "nothing"]


@pytest.mark.parametrize(
    ("file", "credential"),
    [(".roarconfig", "sign-in"), ("pyproject.toml", "sign-in"), *((".roar/config.toml", each) for each in CREDENTIALS)],
)
def test_nothing_is_sent_to_an_address_that_only_a_project_names(
    alice: Program, theirs: Front, file: str, credential: str
) -> None:
    program = named(holding(alice, credential), theirs, file)
    flag = "--anonymous" if credential == "nothing" else "--private"
    done = program("publish", flag, "-y")
    refused_unasked(done, theirs)
    assert file in done.err
    assert program.publishes == []


@pytest.mark.parametrize(
    "command",
    [
        ["publish", "--public", "-y", "--detach"],
        ["put", "model.bin", "file://{cwd}/store", "-m", "v1", "--public", "-y"],
        ["publish", "--public", "-y", "--json"],
    ],
    ids=["detach", "put", "json"],
)
def test_no_other_command_asks_it_anything(alice: Program, theirs: Front, command: list[str]) -> None:
    program = named(holding(alice, "key"), theirs)
    done = program(*(word.format(cwd=program.cwd) for word in command))
    assert done.code == 4, done.out + done.err
    assert heard(theirs) == ""
    assert program.publishes == []


def test_a_dry_run_says_so(alice: Program, theirs: Front) -> None:
    done = named(holding(alice, "sign-in"), theirs)("publish", "--dry-run", "--json")
    assert (done.last["registry"], done.last["registry_named_by"]) == (theirs.url, "the project")
    assert any(f"roar registry trust {theirs.url}" in note for note in done.last["notes"])
    assert heard(theirs) == ""


@pytest.mark.parametrize("flags", [[], ["--private"]], ids=["no flag", "private"])
def test_a_dry_run_says_whose_project_gets_it(alice: Program, flags: list[str]) -> None:
    binding = '[treqs]\nowner_id = "their-group"\nowner_type = "organization"\nproject_id = "collected"\n'
    (alice.cwd / ".roar" / "config.toml").write_text(binding)
    done = holding(alice, "sign-in")("publish", "--dry-run", *flags)
    assert "the project collected of the organization their-group" in done.out, done.out


def test_a_token_file_is_not_shown_to_it(alice: Program, theirs: Front) -> None:
    program = named(alice, theirs)
    (program.cwd / "token.json").write_text(json.dumps(STATE))
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROAR_CLI, "login", "--token-file", "token.json"],
        cwd=program.cwd,
        env=program.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    Ended(done.returncode, done.stdout, done.stderr).blames(4, theirs.url, "--registry")
    assert heard(theirs) == ""


@pytest.mark.parametrize("credential", ["sign-in", "lapsed sign-in", "ROAR_ACCESS_TOKEN"])
def test_an_accepted_registry_gets_no_bearer_of_another(alice: Program, theirs: Front, credential: str) -> None:
    program = named(holding(alice, credential), theirs)
    signed_in = issuer_of(program) / ".config" / "roar" / "auth.json"
    before = signed_in.read_bytes() if signed_in.exists() else b""
    assert program("registry", "trust", theirs.url).code == 0
    for flag in ("--private", "--public"):
        program("publish", flag, "-y").blames(4, "is not sent to" if before == b"" else HOME_REGISTRY)
    program("publish", "--anonymous", "-y")
    assert theirs.seen, "the anonymous one was sent"
    assert not [secret for secret in SECRETS if secret in heard(theirs)]
    assert "bearer" not in heard(theirs).lower()
    assert "/auth/refresh" not in heard(theirs)
    assert (signed_in.read_bytes() if signed_in.exists() else b"") == before


def test_a_registry_that_the_user_names_gets_no_sign_in_of_another(alice: Program, theirs: Front) -> None:
    program = holding(alice, "sign-in")
    program("publish", "--private", "-y", "--registry", theirs.url).blames(4, HOME_REGISTRY, "--sign-in")
    assert "authorization" not in heard(theirs).lower()


def test_a_token_of_the_environment_goes_where_the_user_says(alice: Program, theirs: Front) -> None:
    program = holding(alice, "ROAR_ACCESS_TOKEN")
    program("publish", "--private", "-y", "--registry", theirs.url)
    assert f"Bearer {TOKEN}" in heard(theirs)


def test_a_netrc_adds_no_credential(alice: Program, theirs: Front) -> None:
    holding(alice, ".netrc")("publish", "--anonymous", "-y", "--registry", theirs.url)
    assert theirs.seen
    assert "basic" not in heard(theirs).lower()


def test_the_user_is_asked_once(alice: Program, theirs: Front) -> None:
    program = named(alice, theirs)
    with at_terminal(program, "publish", "--anonymous") as terminal:
        terminal.wait_for(f"Trust {theirs.url} from now on?")
        assert ".roar/config.toml names a registry that you have not used before" in terminal.text
        assert heard(theirs) == ""
        terminal.type("n\n")
        assert terminal.ended() == 4
    assert heard(theirs) == ""
    with at_terminal(program, "publish", "--anonymous") as terminal:
        terminal.wait_for("from now on?")
        terminal.type("y\n")
        terminal.wait_for("Publish it?")
        terminal.type("n\n")
        terminal.ended()
    known = issuer_of(program) / ".config" / "roar" / "registries.json"
    assert known.stat().st_mode & 0o777 == 0o600
    assert list(json.loads(known.read_text())["accepted"]) == [theirs.url]
    asked = len(theirs.seen)
    program("publish", "--anonymous", "-y")
    assert len(theirs.seen) > asked


def test_trust_is_listed_and_taken_back(alice: Program, theirs: Front) -> None:
    program = named(alice, theirs)
    assert program("registry", "trust", f"{theirs.url}/base/").code == 0
    assert [row["origin"] for row in program("registry", "trusted", "--json").last["trusted"]] == [theirs.url]
    assert program("registry", "untrust", theirs.url).code == 0
    assert program("registry", "trusted").out == ""
    program("registry", "untrust", theirs.url).blames(2, "was not trusted")
    refused_unasked(program("publish", "--anonymous", "-y"), theirs)
    program("registry", "untrust", "http://old.example").blames(2, "http://old.example was not trusted")
    program("registry", "untrust", "old example").blames(2, "is not the address of a registry")
    program("registry", "trust", "https://alice:secret@registry.example").blames(2, "without user")


def test_the_users_own_configuration_is_followed_without_a_question(alice: Program, theirs: Front) -> None:
    (issuer_of(alice) / ".config" / "roar" / "config.toml").write_text(f'[glaas]\nurl = "{theirs.url}"\n')
    program = holding(alice, "sign-in")
    file = issuer_of(alice) / ".config" / "roar" / "auth.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"issuer": None}))
    program("publish", "--private", "-y")
    assert f"Bearer {STATE['access_token']}" in heard(theirs)
    assert json.loads(file.with_name("registries.json").read_text())["sign_in"]["origin"] == theirs.url
