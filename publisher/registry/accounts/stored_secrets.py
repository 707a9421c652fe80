"""What is stored in the place of tokens, codes and cookies."""

import hashlib


def stored_hash(secret: str) -> bytes:
    """Return the hash that is stored in the place of a secret. Secrets are random, so it needs no salt."""
    return hashlib.sha256(secret.encode()).digest()
