"""The agent, and a key at all, is looked at only where it may have to sign."""

import json
from pathlib import Path

import pytest

from roar_publisher.auth.agent import Agent
from roar_publisher.auth.choice import Flag, HeldCredentials, Key
from roar_publisher.auth.keyring import Keyring
from roar_publisher.auth.scope import Mode, RepoScope
from tests.support.auth.openssh import PASSPHRASE, make_key
from tests.support.auth.signed_in import NOW, STATE
from tests.support.send_policies import policy_for

NO_SCOPE = RepoScope()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a locked key, whose agent must not be asked."""
    (tmp_path / ".ssh").mkdir()
    make_key(tmp_path / ".ssh" / "id_ed25519", "ed25519", passphrase=PASSPHRASE)
    return tmp_path


@pytest.fixture(autouse=True)
def _nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked(*arguments: object) -> bytes:
        pytest.fail("the agent was asked")

    monkeypatch.setattr(Agent, "_ask", asked)


ISSUER = "https://treqs.example"
"""What `STATE` says of its registry."""


def keyring(home: Path, **environ: str) -> Keyring:
    return Keyring({"SSH_AUTH_SOCK": "/hung"} | environ, home, policy_for(ISSUER, home=home), clock=lambda: NOW)


@pytest.mark.parametrize("scope", [RepoScope(), RepoScope(Mode.PRIVATE), RepoScope(Mode.PROJECT, "u-1", "user")])
@pytest.mark.anyio
async def test_an_anonymous_publish_checks_no_credential(scope: RepoScope, home: Path) -> None:
    for environ in ({}, {"ROAR_SSH_KEY": "/nowhere"}, {"ROAR_ACCESS_TOKEN": "no token"}):
        assert await keyring(home, **environ).available(Flag.ANONYMOUS, scope) == HeldCredentials(bearer=False)


@pytest.mark.anyio
async def test_an_anonymous_scope_checks_no_credential(home: Path) -> None:
    assert await keyring(home).available(Flag.NONE, RepoScope(Mode.ANONYMOUS)) == HeldCredentials(bearer=False)


@pytest.mark.parametrize("flag", [Flag.PUBLIC, Flag.PRIVATE, Flag.NONE])
@pytest.mark.anyio
async def test_with_a_bearer_the_key_is_not_used(flag: Flag, home: Path) -> None:
    assert await keyring(home, ROAR_ACCESS_TOKEN="token").available(flag, NO_SCOPE) == HeldCredentials(bearer=True)
    path = home / ".config" / "roar" / "auth.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(STATE))
    assert await keyring(home).available(flag, NO_SCOPE) == HeldCredentials(bearer=True)


@pytest.mark.anyio
async def test_a_dry_run_counts_a_key_that_an_agent_may_hold_as_usable(home: Path) -> None:
    dry = await keyring(home).available(Flag.PUBLIC, NO_SCOPE, may_ask=False)
    assert dry == HeldCredentials(bearer=False, key=Key.USUAL)


@pytest.mark.anyio
async def test_a_dry_run_says_why_a_key_that_no_agent_holds_is_unusable(home: Path) -> None:
    without_agent = keyring(home, SSH_AUTH_SOCK="")
    dry = await without_agent.available(Flag.PUBLIC, NO_SCOPE, may_ask=False)
    assert dry == HeldCredentials(bearer=False, key=Key.UNUSABLE)
    assert "is locked, and no SSH agent holds it" in without_agent.why_unusable
