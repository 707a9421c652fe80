"""Verification of SSH signatures: of requests (`protocol.md §3`) and of receipts (`envelope`)."""

import functools
from base64 import b64decode
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from roar_publisher.glaas.signature import NAMESPACE, framed, ssh_string, sshsig

if TYPE_CHECKING:
    from asyncssh.sshsig import SSHAllowedSigners

PARSED_KEYS = 256
"""Maximum number of parsed public keys in the cache."""
ED25519_KEY_SIZE, ED25519_SIZE = 32, 64
"""Bytes of a key and of a signature (RFC 8032)."""
_ED25519 = b"ssh-ed25519"
_PRINCIPAL = "user"
_BLOB_HEAD = b"SSHSIG" + (1).to_bytes(4, "big")


def is_signature(public: str, payload: bytes, blob: bytes, namespace: bytes = NAMESPACE) -> bool:
    """Return whether `blob` is an SSHSIG of `payload` in this namespace, made by exactly this key.

    public: its type and base64, as in a `.pub` file.
    """
    known = b64decode(public.split()[1])
    # A certificate instead of the key would bring validity rules that are not checked here.
    if not blob.startswith(_BLOB_HEAD + ssh_string(known)):
        return False
    raw = blob[-ED25519_SIZE:]
    if known.startswith(ssh_string(_ED25519)) and blob == sshsig(
        known, ssh_string(_ED25519) + ssh_string(raw), namespace
    ):
        return is_ed25519_signature(known, framed(payload, namespace), raw)
    import asyncssh

    try:
        return asyncssh.validate_sshsig(payload, blob, _PRINCIPAL, _allowed_signers(public, namespace))
    except (ValueError, asyncssh.Error):  # an unknown hash or signature algorithm
        return False


def is_ed25519_signature(public: bytes, data: bytes, signature: bytes) -> bool:
    """Return whether an Ed25519 key, given as its public blob, made this raw signature. Needs no asyncssh."""
    try:
        _ed25519_key(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


@functools.lru_cache(PARSED_KEYS)
def _ed25519_key(public: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public[-ED25519_KEY_SIZE:])


@functools.lru_cache(PARSED_KEYS)
def _allowed_signers(public: str, namespace: bytes) -> "SSHAllowedSigners":
    from asyncssh.sshsig import import_allowed_signers

    # Without the namespace, a signature made for git would be accepted.
    return import_allowed_signers(f'{_PRINCIPAL} namespaces="{namespace.decode()}" {public}\n')
