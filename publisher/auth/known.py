"""Whom each SSH key names at each registry, as the registry said last: for planning where it can't be asked.

Nothing is decided by it: before anything is sent, the registry is asked again.
"""

import json
from pathlib import Path

from roar_publisher.state.private import read_private, write_private


class KnownKeys:
    """A small JSON file, `{"<registry> <fingerprint>": identity}`.  What can't be read is unknown.

    Two processes that note something at once may lose one of the notes; it is noted again the next time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def identity(self, registry: str, fingerprint: str) -> str | None:
        """Whom the key names there, None if it never named anybody."""
        found = self._read().get(f"{registry} {fingerprint}")
        return found if isinstance(found, str) else None

    def note(self, registry: str, fingerprint: str, identity: str) -> None:
        """Remember it.  A file that can't be written is none: the registry is asked the next time."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            noted = self._read() | {f"{registry} {fingerprint}": identity}
            write_private(self._path, json.dumps(noted, indent=1, sort_keys=True).encode())
        except OSError:
            pass

    def _read(self) -> dict[str, object]:
        try:
            document = json.loads(read_private(self._path) or b"{}")
        except (OSError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}
