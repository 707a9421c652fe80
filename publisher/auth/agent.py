"""A client of the SSH agent for signing: lists the agent's keys and requests a signature by one of them.

Uses anyio, so that it works on both of its backends. Implements two requests of draft-miller-ssh-agent.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum

import anyio
from anyio.abc import ByteReceiveStream
from anyio.streams.buffered import BufferedByteReceiveStream

from roar_publisher.glaas.signature import fingerprint, ssh_string
from roar_publisher.state.errors import NeedsUser
from roar_publisher.state.reasons import Reason
from roar_publisher.state.system_errors import exhausted
from roar_publisher.tasks import background

ANSWER_SECONDS = 2.0
"""How long the agent may take to list its keys, which needs no user, and to sign before the user is notified."""
SIGNATURE_SECONDS = 60.0
"""How long a signature may take. The agent may wait for a touch of a security key, or for the user's confirmation."""
MAX_REPLY_BYTES = 256 * 1024
"""OpenSSH's own limit for a message of the agent."""
_RSA_SHA2_512 = 4


class _Message(IntEnum):
    REQUEST_IDENTITIES = 11
    IDENTITIES_ANSWER = 12
    SIGN_REQUEST = 13
    SIGN_RESPONSE = 14


class _AgentFailed(Exception):
    """The agent is unreachable, breaks its protocol, or refuses."""


class Agent:
    """The agent that listens at a socket. Each call opens its own connection; cancellation closes it.

    notify: receives one notice for the user if the agent does not sign promptly.
    """

    def __init__(self, socket: str, *, notify: Callable[[str], None] = lambda text: None) -> None:
        self._socket = socket
        self._notify = notify
        self._notified = False

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, notify: Callable[[str], None] = lambda text: None
    ) -> "Agent | None":
        """Return the agent that `SSH_AUTH_SOCK` names, or None. Does not connect yet."""
        socket = environ.get("SSH_AUTH_SOCK")
        return cls(socket, notify=notify) if socket else None

    def __repr__(self) -> str:
        return f"Agent({self._socket!r})"

    async def why_unavailable(self, public: bytes) -> str:
        """Return why the agent cannot sign for this public blob, as the rest of a sentence; empty if it can."""
        request = self._ask(_Message.REQUEST_IDENTITIES, b"", _Message.IDENTITIES_ANSWER)
        try:
            with _within(ANSWER_SECONDS):
                count, rest = _uint32(await request)
            for _ in range(count):
                held, rest = _string(rest)
                _comment, rest = _string(rest)
                if held == public:
                    return ""
        except _AgentFailed as failure:
            return f"the SSH agent at {self._socket} cannot be asked: {failure}"
        return "the SSH agent does not hold it"

    async def sign(self, public: bytes, data: bytes) -> bytes:
        """Return the signature of `data`, in SSH's encoding. Raises `NeedsUser` if the agent does not give one."""
        flags = _RSA_SHA2_512 if public.startswith(ssh_string(b"ssh-rsa")) else 0
        request = ssh_string(public) + ssh_string(data) + flags.to_bytes(4, "big")
        try:
            signature, _rest = _string(await self._signature(request))
        except _AgentFailed as failure:
            raise NeedsUser(
                f"the SSH agent does not sign with the key {fingerprint(public)}: {failure}",
                next_step="unlock the agent, or add the key to it again with `ssh-add`",
                reason=Reason.SSH_KEY,
            ) from None
        return signature

    async def _signature(self, request: bytes) -> bytes:
        """Return the agent's reply to a signing request, and notify the user if it takes long."""
        async with background(self._notify_if_slow):
            with _within(SIGNATURE_SECONDS):
                return await self._ask(_Message.SIGN_REQUEST, request, _Message.SIGN_RESPONSE)

    async def _notify_if_slow(self) -> None:
        await anyio.sleep(ANSWER_SECONDS)
        if not self._notified:
            self._notified = True
            self._notify("the SSH agent has not signed yet: touch the security key, or confirm in the agent's window")

    async def _ask(self, kind: _Message, payload: bytes, wanted: _Message) -> bytes:
        """Return the payload of the agent's reply to one request."""
        try:
            async with await anyio.connect_unix(self._socket) as stream:
                await stream.send(ssh_string(bytes([kind]) + payload))
                reply = await _receive(stream)
        except (OSError, anyio.BrokenResourceError, anyio.EndOfStream, anyio.IncompleteRead) as failure:
            raise exhausted(failure) or _AgentFailed(_describe(failure)) from None
        if reply[:1] != bytes([wanted]):
            raise _AgentFailed("it refuses")
        return reply[1:]


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Raise `_AgentFailed` if the block takes longer."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError:
        raise _AgentFailed(f"no answer within {seconds:g} s") from None


def _describe(failure: Exception) -> str:
    if isinstance(failure, OSError):
        return failure.strerror or "no connection"
    return "it closed the connection"


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
