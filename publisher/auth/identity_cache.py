"""A cache of each SSH key's owner at each registry, for planning while the registry is unreachable.

It decides nothing: before anything is sent, the registry is asked again.
"""

import json
from pathlib import Path

from roar_publisher.state.private import make_private_folder, read_private, write_private


class IdentityCache:
    """A small JSON file, `{"<registry> <fingerprint>": identity}`. An unreadable file counts as empty.

    If two processes write at once, one entry may be lost; it is stored again next time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, registry: str, fingerprint: str) -> str | None:
        """Return the key's owner at that registry, or None if it is unknown."""
        found = self._read().get(f"{registry} {fingerprint}")
        return found if isinstance(found, str) else None

    def store(self, registry: str, fingerprint: str, identity: str) -> None:
        """Store an identity. If the file cannot be written, the registry is asked again next time."""
        try:
            make_private_folder(self._path.parent)
            identities = self._read() | {f"{registry} {fingerprint}": identity}
            write_private(self._path, json.dumps(identities, indent=1, sort_keys=True).encode())
        except OSError:
            pass

    def _read(self) -> dict[str, object]:
        try:
            document = json.loads(read_private(self._path) or b"{}")
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}
