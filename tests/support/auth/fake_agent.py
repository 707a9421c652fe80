"""Agents that a test controls: one that holds a security key made of software, and ones that misbehave."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType

import anyio
from anyio.abc import SocketStream
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from roar_publisher.glaas.signature import ssh_string

Sign = Callable[[bytes], bytes]


class SoftwareSecurityKey:
    """What a FIDO token does for `sk-ssh-ed25519@openssh.com` (OpenSSH's PROTOCOL.u2f), without the token."""

    TYPE, APPLICATION = b"sk-ssh-ed25519@openssh.com", b"ssh:"
    TOUCHED = b"\x01"

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        fields = (self.TYPE, self._key.public_key().public_bytes_raw(), self.APPLICATION)
        self.public = b"".join(map(ssh_string, fields))

    def handle_file(self) -> str:
        """The private file of the key, up to the handle, which only a token can use."""
        none = ssh_string(b"none")
        content = b"openssh-key-v1\0" + none + none + ssh_string(b"") + (1).to_bytes(4, "big") + ssh_string(self.public)
        body = b64encode(content + ssh_string(b"handle")).decode()
        return f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n"

    def sign(self, data: bytes) -> bytes:
        counter = self.TOUCHED + (7).to_bytes(4, "big")
        signed = hashlib.sha256(self.APPLICATION).digest() + counter + hashlib.sha256(data).digest()
        return ssh_string(self.TYPE) + ssh_string(self._key.sign(signed)) + counter


class FakeAgent:
    """An agent for one key, as an async context manager that gives its socket. `sign` gets the data to sign."""

    def __init__(self, folder: Path, public: bytes, sign: Sign) -> None:
        self._socket = str(folder / "fake-agent")
        self._public, self._sign = public, sign
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> str:
        return await serving(self._socket, self._reply, self._stack)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def _reply(self, request: bytes) -> bytes:
        if request[0] == 11:
            return ssh_string(b"\x0c" + (1).to_bytes(4, "big") + ssh_string(self._public) + ssh_string(b"comment"))
        rest = request[1 + 4 + len(self._public) :]
        data, flags = rest[4:-4], rest[-4:]
        assert (request[0], flags) == (13, bytes(4))
        return ssh_string(b"\x0e" + ssh_string(self._sign(data)))


async def serving(socket: str, reply: Callable[[bytes], bytes], stack: AsyncExitStack) -> str:
    """Answers every message at `socket` with the raw bytes that `reply` gives, until the stack closes."""

    async def handle(stream: SocketStream) -> None:
        async with stream:
            received = b""
            while len(received) < 4 or len(received) < 4 + int.from_bytes(received[:4], "big"):
                received += await stream.receive()
            with suppress(anyio.BrokenResourceError):  # who asked may hang up before it has heard it all
                await stream.send(reply(received[4:]))

    listener = await stack.enter_async_context(await anyio.create_unix_listener(socket))
    group = await stack.enter_async_context(anyio.create_task_group())
    stack.callback(group.cancel_scope.cancel)
    group.start_soon(listener.serve, handle)
    return socket
