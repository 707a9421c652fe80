"""Puts of objects by a process that dies at a chosen point."""

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import ParamSpec, TypeVar, cast

import anyio
from msgspec.structs import asdict, replace

from roar_publisher.blocking import RunBlocking
from roar_publisher.engine.journal import AsyncFiles, AsyncJournal
from roar_publisher.engine.run import Run
from roar_publisher.engine.staging.uploader import ObjectUploader, owner_of
from roar_publisher.report import Report
from roar_publisher.state.objects import ObjectRow
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.slices import OnSent
from roar_publisher.storage.source import Content, Slice
from roar_publisher.storage.store import ObjectStore, Part, Upload
from tests.support.blocking import inline
from tests.support.lineages import cut, plan_of
from tests.unit.storage.conftest import Place

P = ParamSpec("P")
T = TypeVar("T")
LARGE_KEY, SMALL_KEY = "in/large", "small"


class Crash(BaseException):
    """The process is gone: nothing that it would do afterwards happens."""


class Mortal:
    """Counts what a process does to its disk and its store, and ends it before or after the chosen one."""

    def __init__(self, last: int | None = None) -> None:
        self._last = last
        self.points = 0
        self.parts_sent = 0

    async def does(self, deed: Callable[[], Awaitable[T]]) -> T:
        self._point()
        result = await deed()
        self._point()
        return result

    async def on_disk(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self.does(lambda: inline(call, *args, **kwargs))

    def _point(self) -> None:
        self.points += 1
        if self._last is not None and self.points > self._last:
            raise Crash


class MortalStore(ObjectStore):
    """A store that is reached by a mortal."""

    def __init__(self, store: ObjectStore, mortal: Mortal) -> None:
        super().__init__(store.destination)
        self._store = store
        self._mortal = mortal

    async def stat(self, key: str) -> StoredObject | None:
        return await self._mortal.does(lambda: self._store.stat(key))

    async def look(self, key: str) -> StoredObject | None:
        return await self._mortal.does(lambda: self._store.look(key))

    async def read(self, key: str, offset: int, length: int, stored: StoredObject) -> bytes:
        return await self._mortal.does(lambda: self._store.read(key, offset, length, stored))

    async def is_lost(self, key: str, content: Content, tag: str) -> bool:
        return await self._mortal.does(lambda: self._store.is_lost(key, content, tag))

    async def put(self, key: str, content: Content, sent: OnSent) -> StoredObject:
        return await self._mortal.does(lambda: self._store.put(key, content, sent))

    async def begin(self, key: str, content: Content) -> Upload:
        return await self._mortal.does(lambda: self._store.begin(key, content))

    async def parts(self, upload: Upload) -> dict[int, Part] | None:
        return await self._mortal.does(lambda: self._store.parts(upload))

    async def put_part(self, upload: Upload, number: int, slice_: Slice, sent: OnSent) -> Part:
        self._mortal.parts_sent += 1
        return await self._mortal.does(lambda: self._store.put_part(upload, number, slice_, sent))

    async def complete(self, upload: Upload, content: Content, parts: Mapping[int, Part]) -> StoredObject:
        return await self._mortal.does(lambda: self._store.complete(upload, content, parts))

    async def copy(self, source: str, key: str, content: Content) -> StoredObject | None:
        return await self._mortal.does(lambda: self._store.copy(source, key, content))

    async def abort_orphans(self, key: str, requested_at: float | None) -> None:
        await self._mortal.does(lambda: self._store.abort_orphans(key, requested_at))

    async def abort(self, upload: Upload) -> None:
        await self._mortal.does(lambda: self._store.abort(upload))

    def checksum_of(self, content: Content) -> str:
        return self._store.checksum_of(content)


class Put:
    """A publish with objects, drained as often as a test likes.  on_report: what a watcher does at each report."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.place = place
        self.owned = OwnedPublish.create(StateFolder(folder))
        self.owned.journal.db.execute("PRAGMA synchronous = OFF")
        self.plan = replace(plan_of(cut([]), self.owned.paths.id), destination=place.url)
        self.reports: list[Report] = []
        self.stop = anyio.Event()
        self.on_report: Callable[[Report], None] = lambda report: None

    async def add(self, paths: Mapping[str, str]) -> None:
        async with self.place.store() as store:
            contents = {key: await digest_file(path, md5=store.needs_md5) for key, path in paths.items()}
            rows = [
                ObjectRow(seq, key, store.url(key), content.size, json.dumps(content, default=asdict))
                for seq, (key, content) in enumerate(contents.items(), start=1)
            ]
        self.owned.journal.objects.add(rows)
        self.owned.journal.freeze(self.plan)

    async def drain(self, mortal: Mortal | None = None) -> None:
        await self._with_objects(ObjectUploader.drain, mortal)

    async def recheck(self) -> None:
        await self._with_objects(ObjectUploader.recheck)

    async def _with_objects(
        self, work: Callable[[ObjectUploader], Awaitable[None]], mortal: Mortal | None = None
    ) -> None:
        run_blocking: RunBlocking = mortal.on_disk if mortal else inline
        run = SimpleNamespace(
            plan=self.plan,
            journal=AsyncJournal(self.owned.journal, run_blocking),
            files=AsyncFiles(self.owned.paths, run_blocking),
            report=self._report,
            clock=time.time,
            stop=self.stop,
        )
        async with self.place.store(owner_of(self.plan)) as store:
            await work(ObjectUploader(cast(Run, run), MortalStore(store, mortal) if mortal else store))

    @property
    def uploads(self) -> list[int]:
        """The seq of each object whose upload is known."""
        folder = self.owned.paths.folder / "uploads"
        return sorted(int(path.name) for path in folder.iterdir()) if folder.exists() else []

    def acknowledged_parts(self, seq: int) -> set[int]:
        return {part.number for part in self.owned.journal.objects.parts(seq)}

    def _report(self, report: Report) -> None:
        self.reports.append(report)
        self.on_report(report)
