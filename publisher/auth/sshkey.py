"""The SSH key that signs: which one (protocol.md §3), where its private half is, and the signatures it gives.

A key whose file is readable signs in this process.  Security keys, and files that are encrypted, sign through the agent
that holds them; an encrypted file can also be unlocked with its passphrase.  asyncssh reads every kind of file there
is, but loading it costs 0.2 s: it is not loaded for the most usual one, an Ed25519 key without a passphrase.
"""

import struct
from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import anyio.to_thread

from roar_publisher.auth.agent import Agent
from roar_publisher.auth.secret import Secret
from roar_publisher.glaas.signature import authorization, fingerprint, framed, signing_payload, ssh_string, sshsig
from roar_publisher.state.errors import NeedsPerson

DEFAULT_NAMES = ("id_ed25519", "id_rsa", "id_ecdsa")
PASSPHRASE_ATTEMPTS = 3
_OPENSSH_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
_ED25519 = b"ssh-ed25519"
_OPENSSH_MAGIC = b"openssh-key-v1\0"

Ask = Callable[[str], Secret | None]
"""Asks a person for a passphrase, with the prompt to show; None: the person gives up.  Called in a worker thread."""
_Sign = Callable[[bytes], Awaitable[bytes]]


class SshSigner:
    """Signs requests with one key.  Each signature is made when it is asked for: a retry must ask again.

    keyid: the fingerprint that the server knows the key by.
    """

    __slots__ = ("_public", "_sign", "keyid")

    def __init__(self, public: bytes, sign: _Sign) -> None:
        self.keyid = fingerprint(public)
        self._public = public
        self._sign = sign

    async def sign(self, method: str, path_with_query: str, body: bytes | None, ts: int) -> str:
        """The `Authorization` header for one request, signed at `ts` (Unix seconds).

        Raises `NeedsPerson` when the agent no longer signs.
        """
        payload = signing_payload(ts, method, path_with_query, body)
        return authorization(self.keyid, ts, sshsig(self._public, await self._sign(framed(payload))))

    def __repr__(self) -> str:
        return f"SshSigner({self.keyid})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer holds a key, and is neither pickled nor copied")


def find_key(environ: Mapping[str, str], configured: str, home: Path) -> Path | None:
    """The key file to sign with, if there is any: ROAR_SSH_KEY, else `[glaas] key`, else the usual names in `~/.ssh`.

    A file that is named counts when it or its `.pub` exists (its private half may live in the agent alone); naming one
    that does not exist raises `NeedsPerson`, for signing with another key would be to publish as somebody else.
    """
    for source, named in (("ROAR_SSH_KEY", environ.get("ROAR_SSH_KEY", "")), ("`[glaas] key`", configured)):
        if named.strip():
            path = _expanded(named.strip(), home)
            private = path.with_suffix("") if path.suffix == ".pub" else path
            if private.is_file() or _public_file(private).is_file():
                return private
            raise NeedsPerson(
                f"The SSH key {path}, named by {source}, does not exist.",
                next_step=f"Correct {source}, or remove it to use the keys in ~/.ssh.",
                reason="ssh key",
            )
    candidates = (home / ".ssh" / name for name in DEFAULT_NAMES)
    return next((path for path in candidates if path.is_file()), None)


async def load_signer(path: Path, *, agent: Agent | None, ask: Ask | None) -> SshSigner:
    """The signer for a key that `find_key` found.

    ask: how to get a passphrase from a person; None where there is nobody to ask (the daemon, a pipe).
    Raises `NeedsPerson` when the key is locked and nobody unlocks it, and when its file is no key.
    """
    files = _read(path)
    if files.private is not None and not files.locked:
        return _ed25519_signer(files) or _local_signer(path, files.private, None)
    if files.public is not None and agent is not None and await agent.holds(files.public):
        return _agent_signer(files.public, agent)
    if files.private is not None and not files.in_hardware and ask is not None:
        return await anyio.to_thread.run_sync(_unlock, path, files.private, ask, abandon_on_cancel=True)
    raise NeedsPerson(
        f"The SSH key {path} {files.why_not_alone}, and no SSH agent holds it.",
        next_step=f"Start an agent if there is none (`eval $(ssh-agent)`), then `ssh-add {path}`.",
        reason="auth",
    )


@dataclass(frozen=True, slots=True)
class _KeyFiles:
    """What the files of a key show without a passphrase."""

    private: Secret | None
    public: bytes | None
    encrypted: bool

    @property
    def in_hardware(self) -> bool:
        """Whether the private file is but a handle to a security key."""
        return self.public is not None and self.public[4:].startswith(b"sk-")

    @property
    def why_not_alone(self) -> str:
        """Why the files do not suffice to sign."""
        if self.in_hardware:
            return "is a security key"
        return "is locked" if self.encrypted else "has no private file here"

    @property
    def locked(self) -> bool:
        """Whether the private file alone cannot sign."""
        return self.encrypted or self.in_hardware


def _read(path: Path) -> _KeyFiles:
    try:
        private = Secret(path.read_text("ascii", errors="replace")) if path.is_file() else None
        line = _public_file(path).read_text("utf-8", errors="replace") if _public_file(path).is_file() else ""
    except OSError as failure:
        raise NeedsPerson(
            f"The SSH key {path} cannot be read: {failure.strerror}.", next_step=f"ls -l {path}", reason="ssh key"
        ) from None
    public, encrypted = _public_half(line), False
    if private is not None:
        inner, encrypted = _openssh_header(private)
        public = inner or public
        encrypted = encrypted or "ENCRYPTED" in private.reveal()
    return _KeyFiles(private, public, encrypted)


def _public_half(line: str) -> bytes | None:
    """The blob of a `.pub` line; None where it is none."""
    match line.split():
        case [kind, text, *_]:
            try:
                blob = b64decode(text, validate=True)
            except ValueError:
                return None
            return blob if blob[4 : 4 + len(kind)] == kind.encode() else None
    return None


def _openssh_header(private: Secret) -> tuple[bytes | None, bool]:
    """The public blob and whether the key is encrypted, of OpenSSH's own format, which tells both in the clear."""
    text = private.reveal().strip()
    if not text.startswith(_OPENSSH_BEGIN):
        return None, False
    try:
        rest = b64decode("".join(text.splitlines()[1:-1])).removeprefix(_OPENSSH_MAGIC)
        cipher, rest = _take(rest)
        _kdf, rest = _take(rest)
        _options, rest = _take(rest)
        public, _rest = _take(rest[4:])
    except (ValueError, struct.error):
        return None, False
    return public, cipher != b"none"


def _take(data: bytes) -> tuple[bytes, bytes]:
    (length,) = struct.unpack_from(">I", data)
    return data[4 : 4 + length], data[4 + length :]


def _unlock(path: Path, private: Secret, ask: Ask) -> SshSigner:
    """Asks for the passphrase until it fits, a few times at most."""
    for _ in range(PASSPHRASE_ATTEMPTS):
        passphrase = ask(f"Passphrase of {path}: ")
        if passphrase is None:
            break
        try:
            return _local_signer(path, private, passphrase)
        except NeedsPerson:
            continue
    raise NeedsPerson(
        f"The SSH key {path} was not unlocked.", next_step=f"Try again, or `ssh-add {path}` first.", reason="auth"
    )


def _ed25519_signer(files: _KeyFiles) -> SshSigner | None:
    """A signer in this process for an Ed25519 key in OpenSSH's own format; None for another key, and for a bad one."""
    if files.private is None or files.public is None or not files.public.startswith(ssh_string(_ED25519)):
        return None
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        key = load_ssh_private_key(files.private.reveal().encode("ascii"), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, Ed25519PrivateKey):
        return None
    public = ssh_string(_ED25519) + ssh_string(key.public_key().public_bytes_raw())

    async def sign(data: bytes) -> bytes:
        return ssh_string(_ED25519) + ssh_string(key.sign(data))

    return SshSigner(public, sign)


def _local_signer(path: Path, private: Secret, passphrase: Secret | None) -> SshSigner:
    """A signer in this process.  Raises `NeedsPerson` for what is no key, or not with this passphrase."""
    import asyncssh

    key: asyncssh.SSHKey | None = None
    try:
        key = asyncssh.import_private_key(private.reveal(), passphrase.reveal() if passphrase else None)
    except ValueError:
        pass  # raised again below, out of sight of the frames that hold the key and its passphrase
    if key is None:
        raise NeedsPerson(
            f"{path} holds no private SSH key that can be used.", next_step=f"ssh-keygen -y -f {path}", reason="ssh key"
        )
    algorithm = b"rsa-sha2-512" if key.algorithm == b"ssh-rsa" else key.algorithm

    async def sign(data: bytes) -> bytes:
        return key.sign(data, algorithm)

    return SshSigner(key.public_data, sign)


def _agent_signer(public: bytes, agent: Agent) -> SshSigner:
    async def sign(data: bytes) -> bytes:
        return await agent.sign(public, data)

    return SshSigner(public, sign)


def _public_file(private: Path) -> Path:
    return private.with_name(f"{private.name}.pub")


def _expanded(text: str, home: Path) -> Path:
    return home / text[2:] if text.startswith("~/") else Path(text)
