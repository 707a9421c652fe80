"""What tests hold in memory: a ledger, files with known content, and how they are read back."""

import random
from collections.abc import Mapping
from json import dumps, loads
from pathlib import Path
from time import time

from msgspec.structs import asdict

from roar_publisher.storage.store import Part, Upload
from roar_publisher.storage.transfer import Ledger


class MemoryLedger(Ledger):
    """Remembers as the journal does: as JSON."""

    def __init__(self) -> None:
        self._upload = ""
        self._asked: float | None = None
        self._parts: dict[int, str] = {}

    async def upload(self) -> Upload | None:
        return Upload(**loads(self._upload)) if self._upload else None

    async def parts(self) -> Mapping[int, Part]:
        return {number: Part(**loads(part)) for number, part in self._parts.items()}

    async def requested_at(self) -> float | None:
        return self._asked

    async def record_request(self) -> None:
        self._asked = time()

    async def record_upload(self, upload: Upload) -> None:
        self._upload, self._asked = dumps(upload, default=asdict), None
        self._parts = {}

    async def record_part(self, part: Part) -> None:
        self._parts[part.number] = dumps(part, default=asdict)

    async def forget_upload(self) -> None:
        self._upload, self._parts = "", {}


def write_file(path: Path, size: int, seed: int = 1) -> str:
    """A file of `size` bytes that no two seeds share; gives its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(random.Random(seed).randbytes(size))
    return str(path)


def nothing(number: int, sent: int) -> None:
    """Ignore progress."""
