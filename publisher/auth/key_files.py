"""What the files of an SSH key reveal without its passphrase: the private and public half, and whether it is locked."""

import struct
from base64 import b64decode
from pathlib import Path

from msgspec import Struct

from roar_publisher.auth.secret import Secret
from roar_publisher.state.errors import NeedsUser
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import read_bounded
from roar_publisher.state.shell import shell_word
from roar_publisher.state.system_errors import exhausted

MAX_BYTES = 1024 * 1024
"""Maximum size of a key file, which usually has some kilobytes."""
_OPENSSH_BEGIN = "-----BEGIN OPENSSH PRIVATE KEY-----"
_OPENSSH_MAGIC = b"openssh-key-v1\0"


class KeyFiles(Struct, frozen=True):
    """private: the text of the private file. public: the public blob. encrypted: whether it needs a passphrase."""

    private: Secret | None
    public: bytes | None
    encrypted: bool

    @property
    def in_hardware(self) -> bool:
        """Whether the private file is only a handle to a security key."""
        return self.public is not None and self.public[4:].startswith(b"sk-")

    @property
    def locked(self) -> bool:
        """Whether the private file alone cannot sign."""
        return self.encrypted or self.in_hardware

    @property
    def why_not_alone(self) -> str:
        """Why the files alone cannot sign."""
        if self.in_hardware:
            return "is a security key"
        return "is locked" if self.encrypted else "has no private file here"


def read_key_files(path: Path) -> KeyFiles:
    """Read a key's private file and its `.pub`, as far as they exist.

    path: of the private file.
    Raises `NeedsUser` if one cannot be read.
    """
    try:
        private = Secret(_head(path).decode("ascii", errors="replace")) if path.is_file() else None
        line = _head(public_file(path)).decode("utf-8", errors="replace") if public_file(path).is_file() else ""
    except OSError as failure:
        raise exhausted(failure) or NeedsUser(
            f"the SSH key {path} cannot be read: {failure.strerror}",
            next_step=f"make it readable (`ls -l {shell_word(str(path))}` shows its permissions)",
            reason=Reason.SSH_KEY,
        ) from None
    public, encrypted = _public_half(line), False
    if private is not None:
        inner, encrypted = _openssh_header(private)
        public = inner or public
        encrypted = encrypted or "ENCRYPTED" in private.reveal()
    return KeyFiles(private, public, encrypted)


def public_file(private: Path) -> Path:
    """Return the path of a key's public half."""
    return private.with_name(f"{private.name}.pub")


def _head(path: Path) -> bytes:
    return read_bounded(path, MAX_BYTES)


def _public_half(line: str) -> bytes | None:
    """Return the blob of a `.pub` line, or None if the line is invalid."""
    match line.split():
        case [kind, text, *_]:
            try:
                blob = b64decode(text, validate=True)
            except ValueError:
                return None
            return blob if blob[4 : 4 + len(kind)] == kind.encode() else None
    return None


def _openssh_header(private: Secret) -> tuple[bytes | None, bool]:
    """Return the public blob and whether the key is encrypted. OpenSSH's own format stores both unencrypted."""
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
