"""A sign-in state as roar-cli writes it, and a server that renews it."""

import json
from collections.abc import Mapping
from pathlib import Path

from roar_publisher.auth.bearer_store import BearerStore
from roar_publisher.auth.signin import Document
from roar_publisher.state.errors import Rejected

NOW = 1_700_000_000.0
EXPIRED = "2023-11-14T22:13:19Z"
ACCESS, REFRESH = "canary-access-0", "canary-refresh-0"
STATE: dict[str, object] = {
    "version": 1,
    "provider": "treqs-device",
    "issuer": "https://treqs.example",
    "client_id": "roar-cli",
    "access_token": ACCESS,
    "refresh_token": REFRESH,
    "refresh_expires_at": None,
    "id_token": "canary-id-0",
    "expires_at": EXPIRED,
    "user": {"sub": "user-1", "db_user_id": "db-1", "email": "someone@example.org", "username": "someone"},
    "a_field_of_tomorrow": {"kept": [1, 2]},
}


def auth_json(folder: Path, **changes: object) -> Path:
    """`auth.json` with `changes`; a change to None stands as null."""
    path = folder / "roar" / "auth.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**STATE, **changes}, indent=2))
    path.chmod(0o600)
    return path


def store(folder: Path, **changes: object) -> BearerStore:
    return BearerStore(auth_json(folder, **changes))


def saved(folder: Path) -> dict[str, object]:
    document = json.loads((folder / "roar" / "auth.json").read_text())
    assert isinstance(document, dict)
    return document


class Renewing:
    """The server's side: every refresh token works once, and a new pair comes back."""

    def __init__(self, *, rotates: bool = True) -> None:
        self.asked: list[Mapping[str, object]] = []
        self._rotates = rotates
        self._good = REFRESH

    async def __call__(self, body: Document) -> dict[str, object]:
        self.asked.append(dict(body))
        if body["refresh_token"] != self._good:
            raise Rejected("invalid_grant.")
        answer: dict[str, object] = {"access_token": f"canary-access-{len(self.asked)}", "expires_in": 3600}
        if self._rotates:
            self._good = f"canary-refresh-{len(self.asked)}"
            answer["refresh_token"] = self._good
        return answer
