"""An agent that answers badly is an agent that does not sign; nothing it says is trusted further than that."""

from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from roar_publisher.auth import agent as agent_module
from roar_publisher.auth.agent import Agent
from roar_publisher.glaas.signature import ssh_string
from roar_publisher.state.errors import Conclusion, NeedsUser
from tests.support.auth.fake_agent import serving

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
async def test_a_bad_answer_needs_the_user(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_module, "MAX_REPLY_BYTES", LIMIT)
    async with AsyncExitStack() as stack:
        agent = Agent(await serving(str(tmp_path / "agent"), lambda _request: REPLIES[case], stack))
        assert await agent.why_unavailable(KEY)
        with pytest.raises(NeedsUser, match="does not sign with the key SHA256:") as caught:
            await agent.sign(KEY, b"data")
    assert caught.value.conclusion is Conclusion.NEEDS_USER
    assert "ssh-add" in caught.value.next_step


@pytest.mark.anyio
async def test_without_an_agent_no_key_is_held(tmp_path: Path) -> None:
    assert "cannot be asked: No such file" in await Agent(str(tmp_path / "nothing")).why_unavailable(KEY)


def test_the_environment_names_the_agent() -> None:
    assert Agent.from_environment({}) is None
    assert Agent.from_environment({"SSH_AUTH_SOCK": ""}) is None
    assert repr(Agent.from_environment({"SSH_AUTH_SOCK": "/run/agent"})) == "Agent('/run/agent')"


class Silent(AsyncExitStack):
    """An agent that takes every connection and answers none, until `answers` is set."""

    def __init__(self, folder: Path, reply: bytes = b"") -> None:
        super().__init__()
        self.socket = str(folder / "silent")
        self.answers = anyio.Event()
        self._reply = reply

    async def __aenter__(self) -> "Silent":
        async def handle(stream: SocketStream) -> None:
            async with stream:
                await self.answers.wait()
                await stream.send(self._reply)

        listener = await self.enter_async_context(await anyio.create_unix_listener(self.socket))
        group = await self.enter_async_context(anyio.create_task_group())
        self.callback(group.cancel_scope.cancel)
        group.start_soon(listener.serve, handle)
        return self


@pytest.mark.anyio
async def test_an_agent_that_hangs_is_named_after_two_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert agent_module.ANSWER_SECONDS == 2.0
    monkeypatch.setattr(agent_module, "ANSWER_SECONDS", 0.02)
    async with Silent(tmp_path) as silent:
        why = await Agent(silent.socket).why_unavailable(KEY)
    assert why == f"the SSH agent at {silent.socket} cannot be asked: no answer within 0.02 s"


@pytest.mark.anyio
async def test_a_signature_that_needs_a_touch_is_awaited_and_announced_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_module, "ANSWER_SECONDS", 0.02)
    notices: list[str] = []
    async with Silent(tmp_path, ssh_string(b"\x0e" + ssh_string(b"signature"))) as silent:

        def notify(text: str) -> None:
            notices.append(text)
            silent.answers.set()

        agent = Agent(silent.socket, notify=notify)
        assert await agent.sign(KEY, b"data") == b"signature"
        assert await agent.sign(KEY, b"more") == b"signature"
    assert len(notices) == 1
    assert "touch the security key" in notices[0]
