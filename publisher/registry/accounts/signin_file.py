"""roar's own sign-in file, `auth.json`, for a token that this registry has issued (`protocol.md §5`)."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from roar_publisher.registry.store.private_data import replace_private_file

if TYPE_CHECKING:  # the commands that only need the address do without the registry extra
    from roar_publisher.registry.accounts.grants import Tokens
    from roar_publisher.registry.store.users import User

ADDRESS = "address"
"""Name of the file in the registry's data folder that holds its last address."""
PROVIDER = "treqs-device"
"""With this provider, clients use the user's `sub` as the identity, as the registry does for bearers."""


def remember_address(data: Path, url: str) -> None:
    """Store the address of the registry in `data`, for later sign-ins. Raises OSError."""
    replace_private_file(data / ADDRESS, url.encode())


def forget_address(data: Path) -> None:
    """Forget the address of an earlier start, because that of the registry is not known. Raises OSError."""
    (data / ADDRESS).unlink(missing_ok=True)


def last_address(data: Path) -> str | None:
    """Return the last address of the registry in `data`; None if it is unknown."""
    try:
        return (data / ADDRESS).read_text().strip() or None
    except OSError:
        return None


def sign_in_document(user: "User", tokens: "Tokens", *, issuer: str | None) -> dict[str, object]:
    """Return the content of the file, including the tokens.

    `issuer` is the registry's address; clients send the sign-in nowhere else. None leaves it open.
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
    """Write the file, readable only by its owner. If that fails, there is none.

    Raises FileExistsError if the file exists, and OSError.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w") as file:
            json.dump(document, file, indent=2)
            file.write("\n")
    except BaseException:
        path.unlink(missing_ok=True)  # half a file would be taken for a sign-in
        raise


def iso_time(seconds: float) -> str:
    """Format Unix seconds as in the file and in replies."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
