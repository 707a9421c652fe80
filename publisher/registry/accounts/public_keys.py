"""The SSH public keys that are accepted (`protocol.md §3`)."""

import re
from base64 import b64decode

from roar_publisher.glaas.signature import fingerprint
from roar_publisher.registry.store.keys import PublicKey

KEY_TYPES = re.compile(r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com")
SMALLEST_RSA = 2048
"""Bits."""


class InvalidKey(Exception):
    """The text is not an acceptable public key. The exception's text says why, as a sentence without a full stop."""


def parse_key(text: str) -> PublicKey:
    """Parse the text of a `.pub` file. Raises `InvalidKey`."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    fields = lines[0].split(maxsplit=2) if len(lines) == 1 else []
    if len(fields) < 2:
        raise InvalidKey("the file is not one line with a public key (name the .pub file)")
    kind, encoded, comment = [*fields, ""][:3]
    if not KEY_TYPES.fullmatch(kind):
        raise InvalidKey("this kind of key is not supported: use ed25519, ECDSA or RSA")
    try:
        blob = b64decode(encoded, validate=True)
    except ValueError:
        raise InvalidKey("the key is damaged") from None
    _check(f"{kind} {encoded}")
    return PublicKey(fingerprint(blob), f"{kind} {encoded}", comment.strip())


def _check(public: str) -> None:
    import asyncssh

    try:
        key = asyncssh.import_public_key(public)
    except (ValueError, asyncssh.Error):
        raise InvalidKey("the key is damaged") from None
    size: int = getattr(key.pyca_key, "key_size", 0)
    if key.algorithm == b"ssh-rsa" and size < SMALLEST_RSA:
        raise InvalidKey(f"an RSA key of {size} bits is too weak: use at least {SMALLEST_RSA}")
