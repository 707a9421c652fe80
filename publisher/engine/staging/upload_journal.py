"""The stored state of a put's uploads: parts in the journal, names in private files.

An upload's name is a credential for some stores, so it is kept in a private file. Until the store has returned the
name, the file holds the time of the request. With it, an upload whose name was never received can be distinguished from
uploads of others.
"""

import json
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Struct
from msgspec.structs import asdict

from roar_publisher.engine.journal import AsyncFiles, AsyncJournal
from roar_publisher.state.journal import Journal
from roar_publisher.state.objects import PartRow
from roar_publisher.state.paths import PublishPaths
from roar_publisher.storage.store import Part, Upload
from roar_publisher.storage.transfer import Ledger

REQUESTED_AT = "asked"
"""Key of the time of the request in a private file."""


class UploadRecord(Struct, frozen=True):
    """The stored state of an object's upload: its name, or the time of its request (Unix seconds), or nothing."""

    key: str
    upload: Upload | None = None
    requested_at: float | None = None

    @property
    def known(self) -> bool:
        """Whether the store has an upload, or may have one whose name is not known."""
        return self.upload is not None or self.requested_at is not None


def uploads_in_progress(paths: PublishPaths, journal: Journal) -> dict[int, UploadRecord]:
    """Return the uploads that may be in progress, by the seq of each object that is not known to be stored."""
    return {row.seq: _read_record(paths, row.seq, row.key) for row in journal.objects.all(only_missing=True)}


class UploadContext(Protocol):
    """What an upload's state is kept with."""

    @property
    def journal(self) -> AsyncJournal: ...
    @property
    def files(self) -> AsyncFiles: ...
    @property
    def clock(self) -> Callable[[], float]: ...


class UploadJournal(Ledger):
    """The `Ledger` of one object's upload, in the journal and a private file."""

    def __init__(self, run: UploadContext, seq: int, key: str) -> None:
        self._run = run
        self._seq = seq
        self._key = key

    async def upload(self) -> Upload | None:
        return (await self._read_record()).upload

    async def requested_at(self) -> float | None:
        return (await self._read_record()).requested_at

    async def parts(self) -> Mapping[int, Part]:
        rows = await self._run.journal.objects.parts(self._seq)
        return {row.number: Part(row.number, row.size, row.tag, row.sha256) for row in rows}

    async def record_request(self) -> None:
        await self._write({REQUESTED_AT: self._run.clock()})

    async def record_upload(self, upload: Upload) -> None:
        await self._run.journal.objects.forget_parts(self._seq)
        await self._write(asdict(upload))

    async def record_part(self, part: Part) -> None:
        row = PartRow(part.number, part.size, part.tag, part.sha256)
        await self._run.journal.objects.acknowledge_part(self._seq, row)

    async def forget_upload(self) -> None:
        await self._run.files.forget_upload(self._seq)
        await self._run.journal.objects.forget_parts(self._seq)

    async def _read_record(self) -> UploadRecord:
        return await self._run.files.call(_read_record, self._seq, self._key)

    async def _write(self, fields: Mapping[str, object]) -> None:
        await self._run.files.write_upload(self._seq, json.dumps(fields))


def _read_record(paths: PublishPaths, seq: int, key: str) -> UploadRecord:
    fields = json.loads(paths.read_upload(seq) or "{}")
    if not fields:
        return UploadRecord(key)
    if REQUESTED_AT in fields:
        return UploadRecord(key, requested_at=fields[REQUESTED_AT])
    return UploadRecord(key, Upload(**fields))
