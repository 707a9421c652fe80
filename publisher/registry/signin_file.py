"""roar's own sign-in file, `auth.json`, for a token that this registry has issued (`protocol.md §5`)."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from roar_publisher.registry.accounts import User
from roar_publisher.registry.grants import Tokens

PROVIDER = "treqs-device"
"""Under this name clients take the user's `sub` for the identity, as the registry does for bearers."""


def sign_in_document(user: User, tokens: Tokens) -> dict[str, object]:
    """The content of the file; it holds the tokens."""
    return {
        "version": 1,
        "provider": PROVIDER,
        "issuer": None,
        "client_id": "roar-cli",
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "refresh_expires_at": iso_time(tokens.refresh_expires_at),
        "id_token": None,
        "expires_at": iso_time(tokens.expires_at),
        "user": {"sub": user.sub, "db_user_id": user.id, "email": user.email, "username": user.name},
    }


def write_new(path: Path, document: dict[str, object]) -> None:
    """Write the file, readable for its owner alone.  Raises FileExistsError rather than replace one, and OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file, indent=2)
        file.write("\n")


def iso_time(seconds: float) -> str:
    """Unix seconds as the file and the wire have them."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
