"""An agent that answers badly is an agent that does not sign; nothing it says is trusted further than that."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from roar_publisher.auth import agent as agent_module
from roar_publisher.auth.agent import Agent
from roar_publisher.glaas.signature import ssh_string
from roar_publisher.state.errors import ExitCode, NeedsPerson
from tests.auth.fake_agent import serving

LIMIT = 1000  # bytes; small, so that an answer beyond it is sent in one go
KEY = ssh_string(b"ssh-ed25519") + ssh_string(bytes(32))
REPLIES = {
    "refuses": ssh_string(b"\x05"),
    "says nothing and hangs up": b"",
    "is cut short": (10).to_bytes(4, "big") + b"\x0e",
    "is empty": ssh_string(b""),
    "is too long": ssh_string(b"\x0e" + ssh_string(b"signature") + bytes(LIMIT)),
    "counts more keys than it lists": ssh_string(b"\x0c" + (9).to_bytes(4, "big")),
    "has a field longer than itself": ssh_string(b"\x0e" + (99).to_bytes(4, "big") + b"x"),
}


@pytest.mark.parametrize("case", REPLIES)
@pytest.mark.anyio
async def test_a_bad_answer_needs_a_person(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "MAX_REPLY_BYTES", LIMIT)
    async with AsyncExitStack() as stack:
        agent = Agent(await serving(str(tmp_path / "agent"), lambda _request: REPLIES[case], stack))
        assert await agent.why_not(KEY)
        with pytest.raises(NeedsPerson, match="does not sign with the key SHA256:") as caught:
            await agent.sign(KEY, b"data")
    assert caught.value.exit_code is ExitCode.NEEDS_PERSON
    assert "ssh-add" in caught.value.next_step


@pytest.mark.anyio
async def test_no_agent_holds_nothing(tmp_path: Path) -> None:
    assert "can't be asked: No such file" in await Agent(str(tmp_path / "nothing")).why_not(KEY)


def test_the_environment_names_the_agent() -> None:
    assert Agent.from_environment({}) is None
    assert Agent.from_environment({"SSH_AUTH_SOCK": ""}) is None
    assert repr(Agent.from_environment({"SSH_AUTH_SOCK": "/run/agent"})) == "Agent('/run/agent')"
