"""roar's own sign-in file, `auth.json`, for a token that this registry has issued (`protocol.md §5`)."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from roar_publisher.registry.accounts.grants import Tokens
from roar_publisher.registry.accounts.users import User

ADDRESS = "address"
"""In the folder of a registry's data: the file that says where it served last."""
PROVIDER = "treqs-device"
"""Under this name clients take the user's `sub` for the identity, as the registry does for bearers."""


def remember_address(data: Path, url: str) -> None:
    """Note where the registry in `data` serves, for the sign-ins that are issued from now on.  Raises OSError."""
    with open(os.open(data / ADDRESS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(url)


def last_address(data: Path) -> str | None:
    """Where the registry in `data` served last; None where that is not known."""
    try:
        return (data / ADDRESS).read_text().strip() or None
    except OSError:
        return None


def sign_in_document(user: User, tokens: Tokens, *, issuer: str | None) -> dict[str, object]:
    """The content of the file; it holds the tokens.

    issuer: the registry's address.  Clients send the sign-in nowhere else; None: it does not say.
    """
    return {
        "version": 1,
        "provider": PROVIDER,
        "issuer": issuer,
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
