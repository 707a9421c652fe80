"""The SSH agent, as far as signing needs it: which keys it holds, and a signature by one of them.

Spoken over anyio, so that it works on either of its backends (draft-miller-ssh-agent; two requests of it).
"""

from collections.abc import Mapping
from enum import IntEnum

import anyio
from anyio.abc import ByteReceiveStream
from anyio.streams.buffered import BufferedByteReceiveStream

from roar_publisher.glaas.signature import fingerprint, ssh_string
from roar_publisher.state.errors import NeedsPerson

PATIENCE_S = 60.0
"""How long the agent may take: it may be waiting for a finger on a security key, or for its owner to agree."""
MAX_REPLY_BYTES = 256 * 1024
"""OpenSSH's own limit on an agent's message."""
_RSA_SHA2_512 = 4


class _Message(IntEnum):
    REQUEST_IDENTITIES = 11
    IDENTITIES_ANSWER = 12
    SIGN_REQUEST = 13
    SIGN_RESPONSE = 14


class _AgentFailed(Exception):
    """The agent cannot be reached, does not answer in its protocol, or says no."""


class Agent:
    """The agent that listens at a socket.  Each call opens a connection of its own; cancelling closes it."""

    def __init__(self, socket: str) -> None:
        self._socket = socket

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> "Agent | None":
        """The agent that `SSH_AUTH_SOCK` names, if it names any."""
        socket = environ.get("SSH_AUTH_SOCK")
        return cls(socket) if socket else None

    def __repr__(self) -> str:
        return f"Agent({self._socket!r})"

    async def holds(self, public: bytes) -> bool:
        """Whether the agent can sign for this public blob; an agent that is gone or broken cannot."""
        try:
            reply = await self._ask(_Message.REQUEST_IDENTITIES, b"", _Message.IDENTITIES_ANSWER)
            count, rest = _uint32(reply)
            for _ in range(count):
                held, rest = _string(rest)
                _comment, rest = _string(rest)
                if held == public:
                    return True
        except _AgentFailed:
            pass
        return False

    async def sign(self, public: bytes, data: bytes) -> bytes:
        """The signature of `data`, in SSH's encoding.  Raises `NeedsPerson` when the agent does not give one."""
        flags = _RSA_SHA2_512 if public.startswith(ssh_string(b"ssh-rsa")) else 0
        request = ssh_string(public) + ssh_string(data) + flags.to_bytes(4, "big")
        try:
            signature, _rest = _string(await self._ask(_Message.SIGN_REQUEST, request, _Message.SIGN_RESPONSE))
        except _AgentFailed as failure:
            raise NeedsPerson(
                f"The SSH agent does not sign with the key {fingerprint(public)}: {failure}.",
                next_step="Unlock the agent, or add the key to it again with `ssh-add`.",
                reason="auth",
            ) from None
        return signature

    async def _ask(self, kind: _Message, payload: bytes, wanted: _Message) -> bytes:
        """The payload of the agent's answer to one request."""
        try:
            with anyio.fail_after(PATIENCE_S):
                async with await anyio.connect_unix(self._socket) as stream:
                    await stream.send(ssh_string(bytes([kind]) + payload))
                    reply = await _receive(stream)
        except TimeoutError:
            raise _AgentFailed(f"no answer within {PATIENCE_S:.0f} s") from None
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead) as failure:
            raise _AgentFailed(str(failure) or "it closed the connection") from None
        if reply[:1] != bytes([wanted]):
            raise _AgentFailed("it refuses")
        return reply[1:]


async def _receive(stream: ByteReceiveStream) -> bytes:
    buffered = BufferedByteReceiveStream(stream)
    length = int.from_bytes(await buffered.receive_exactly(4), "big")
    if length > MAX_REPLY_BYTES:
        raise _AgentFailed("its answer is too long")
    return await buffered.receive_exactly(length)


def _uint32(data: bytes) -> tuple[int, bytes]:
    if len(data) < 4:
        raise _AgentFailed("its answer is cut short")
    return int.from_bytes(data[:4], "big"), data[4:]


def _string(data: bytes) -> tuple[bytes, bytes]:
    length, rest = _uint32(data)
    if len(rest) < length:
        raise _AgentFailed("its answer is cut short")
    return rest[:length], rest[length:]
