"""The SSH key that signs: its choice (protocol.md §3), the location of its private half, and its signatures.

A key with a readable file signs in this process. Security keys and encrypted files sign through the agent that holds
them; an encrypted file can also be unlocked with its passphrase. asyncssh reads every file format, but loading it takes
0.2 s, so it is not loaded for the most common key, an Ed25519 key without a passphrase.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from roar_publisher.auth.agent import Agent
from roar_publisher.auth.key_files import KeyFiles, public_file, read_key_files
from roar_publisher.auth.secret import Secret
from roar_publisher.blocking import RunBlocking, in_thread
from roar_publisher.glaas.signature import (
    NAMESPACE,
    authorization,
    fingerprint,
    framed,
    signing_payload,
    ssh_string,
    sshsig,
)
from roar_publisher.state.errors import NeedsUser
from roar_publisher.state.reasons import Reason
from roar_publisher.state.shell import shell_word

DEFAULT_NAMES = ("id_ed25519", "id_rsa", "id_ecdsa")
CONFIGURED = "`[glaas] key`"
PASSPHRASE_ATTEMPTS = 3
NO_AGENT = "no SSH agent holds it"
_ED25519 = b"ssh-ed25519"

AskPassphrase = Callable[[str], Secret | None]
"""Asks the user for a passphrase with the given prompt; returns None if the user gives up. Runs in a worker thread."""
_Sign = Callable[[bytes], Awaitable[bytes]]


class SshSigner:
    """Signs requests with one key. Each signature is made on demand: a retry must request a new one.

    keyid: the fingerprint by which the server knows the key.
    """

    __slots__ = ("_public", "_sign", "keyid")

    def __init__(self, public: bytes, sign: _Sign) -> None:
        self.keyid = fingerprint(public)
        self._public = public
        self._sign = sign

    async def sign(
        self, method: str, path_with_query: str, body: bytes | None, ts: int, host: str | None = None
    ) -> str:
        """Return the `Authorization` header for one request, signed at `ts` (Unix seconds).

        host: the registry's host if the registry checks it (`glaas.signature`), otherwise None.
        Raises `NeedsUser` if the agent no longer signs.
        """
        payload = signing_payload(ts, method, path_with_query, body, host)
        return authorization(self.keyid, ts, await self.sshsig(payload, NAMESPACE), host)

    async def sshsig(self, payload: bytes, namespace: bytes) -> bytes:
        """Return the SSHSIG blob of a payload for one purpose. Raises `NeedsUser` if the agent no longer signs."""
        return sshsig(self._public, await self._sign(framed(payload, namespace)), namespace)

    def __repr__(self) -> str:
        return f"SshSigner({self.keyid})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer holds a key, and is neither pickled nor copied")


class KeyLocation(Struct, frozen=True):
    """The location of the key that signs.

    path: of its private file.
    source: what names it; empty for the default names. A named key is the user's explicit choice: it is used, or
    nothing is.
    """

    path: Path
    source: str = ""


def find_key(environ: Mapping[str, str], configured: str, home: Path) -> KeyLocation | None:
    """Return the key to sign with: ROAR_SSH_KEY, else `[glaas] key`, else a default name in `~/.ssh`, else None.

    A named key counts if it or its `.pub` exists, because its private half may be in the agent only. Raises `NeedsUser`
    if a named key does not exist, because another key would publish as another user, and if a configured one is outside
    of `~/.ssh`, because it may come with the project, and its owner would get access to what is private.
    """
    for source, named in (("ROAR_SSH_KEY", environ.get("ROAR_SSH_KEY", "")), (CONFIGURED, configured)):
        if named.strip():
            path = _expanded(named.strip(), home)
            private = path.with_suffix("") if path.suffix == ".pub" else path
            if _is_there(private):
                return KeyLocation(_in_ssh_folder(private, home) if source == CONFIGURED else private, source)
            raise NeedsUser(
                f"the SSH key {path}, named by {source}, is not a file that can be read",
                next_step=f"correct {source}, or remove it to use the keys in ~/.ssh",
                reason=Reason.SSH_KEY,
            )
    return next((KeyLocation(path) for name in DEFAULT_NAMES if _is_file(path := home / ".ssh" / name)), None)


def _in_ssh_folder(path: Path, home: Path) -> Path:
    """Return the path of a key that is in `~/.ssh`, without links to that folder that a project may exchange.

    HOME may be a link, so that the folder has two names. Raises NeedsUser if the key is not there.
    """
    spelled, folder = Path(os.path.abspath(path)), home / ".ssh"
    if spelled.is_relative_to(folder):
        return path
    real = Path(os.path.realpath(spelled.parent)) / spelled.name
    if real.is_relative_to(os.path.realpath(folder)):
        return real
    raise NeedsUser(
        f"the SSH key {path}, named by {CONFIGURED} of the project, is not in ~/.ssh: "
        "it may have come with the project, and then its owner would sign",
        next_step=f"if it is yours, set ROAR_SSH_KEY={shell_word(str(path))}, or make a link to it in ~/.ssh",
        reason=Reason.SSH_KEY,
    )


async def load_signer(
    path: Path, *, agent: Agent | None, ask: AskPassphrase | None, run_blocking: RunBlocking = in_thread
) -> SshSigner:
    """Return the signer for a key that `find_key` found.

    The agent is asked only if the files alone cannot sign.
    ask: asks the user for a passphrase; None if no user is present (the daemon, a pipe).
    run_blocking: reads the files.
    Raises `NeedsUser` if the key stays locked or its file is not a key.
    """
    files = await run_blocking(read_key_files, path)
    if files.private is not None and not files.locked:
        return _ed25519_signer(files) or _local_signer(path, files.private, None)
    why = NO_AGENT
    if files.public is not None and agent is not None:
        why = await agent.why_unavailable(files.public)
        if not why:
            return _agent_signer(files.public, agent)
    if files.private is not None and not files.in_hardware and ask is not None:
        # The prompt ends when the program is asked to stop, and has to restore the terminal's echo first.
        return await in_thread(_unlock, path, files.private, ask)
    raise _cannot_sign(path, files, why)


def check_files(path: Path, *, agent: Agent | None, ask: AskPassphrase | None) -> None:
    """Raise what `load_signer` would raise, judging by the files alone. Asks neither the agent nor the user."""
    files = read_key_files(path)
    by_itself = files.private is not None and not files.locked
    by_agent = files.public is not None and agent is not None
    by_user = files.private is not None and not files.in_hardware and ask is not None
    if not (by_itself or by_agent or by_user):
        raise _cannot_sign(path, files, NO_AGENT)


def _cannot_sign(path: Path, files: KeyFiles, why: str) -> NeedsUser:
    return NeedsUser(
        f"the SSH key {path} {files.why_not_alone}, and {why}",
        next_step=f"start an agent if there is none (`eval $(ssh-agent)`), then `ssh-add {shell_word(str(path))}`",
        reason=Reason.SSH_KEY,
    )


def _unlock(path: Path, private: Secret, ask: AskPassphrase) -> SshSigner:
    """Ask for the passphrase until it is correct, at most `PASSPHRASE_ATTEMPTS` times."""
    for _ in range(PASSPHRASE_ATTEMPTS):
        passphrase = ask(f"Passphrase of {path}: ")
        if passphrase is None:
            break
        try:
            return _local_signer(path, private, passphrase)
        except NeedsUser:
            continue
    raise NeedsUser(
        f"the SSH key {path} was not unlocked",
        next_step=f"try again, or `ssh-add {shell_word(str(path))}` first",
        reason=Reason.SSH_KEY,
    )


def _ed25519_signer(files: KeyFiles) -> SshSigner | None:
    """Return an in-process signer for a valid Ed25519 key in OpenSSH's own format, or None for any other key."""
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
    """Return an in-process signer. Raises `NeedsUser` if the file is not a key or the passphrase is wrong."""
    import asyncssh

    key: asyncssh.SSHKey | None = None
    try:
        key = asyncssh.import_private_key(private.reveal(), passphrase.reveal() if passphrase else None)
    except ValueError:
        pass  # raised again below, where no frame of the traceback holds the key or its passphrase
    if key is None:
        raise NeedsUser(
            f"{path} holds no private SSH key that can be used",
            next_step=f"ssh-keygen -y -f {shell_word(str(path))}",
            reason=Reason.SSH_KEY,
        )
    algorithm = b"rsa-sha2-512" if key.algorithm == b"ssh-rsa" else key.algorithm

    async def sign(data: bytes) -> bytes:
        return key.sign(data, algorithm)

    return SshSigner(key.public_data, sign)


def _agent_signer(public: bytes, agent: Agent) -> SshSigner:
    async def sign(data: bytes) -> bytes:
        return await agent.sign(public, data)

    return SshSigner(public, sign)


def _is_there(private: Path) -> bool:
    """Return whether either half of a key is a file here."""
    return bool(private.name) and (_is_file(private) or _is_file(public_file(private)))


def _is_file(path: Path) -> bool:
    """Return whether a path is a file; False also if this user may not access it."""
    try:
        return path.is_file()
    except OSError:
        return False


def _expanded(text: str, home: Path) -> Path:
    return home / text[2:] if text.startswith("~/") else Path(text)
