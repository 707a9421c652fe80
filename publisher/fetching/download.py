"""Fetches files from their stores into a folder: looked for, compared with what is there, read in ranges, verified."""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TypeVar

import anyio
from msgspec import Struct, field
from msgspec.structs import replace

from roar_publisher.blocking import RunBlocking, in_thread, one_at_a_time
from roar_publisher.fetching.folder import MOVE, REPLACE, Present, TargetFolder, local_problem
from roar_publisher.fetching.journal import FetchJournal
from roar_publisher.fetching.partial import PartialFile, WrongBytes, keep_small
from roar_publisher.fetching.stored import StoredFile, Unsafe
from roar_publisher.report import ObjectsPlanned, ObjectStored, Reporter, Sent
from roar_publisher.state.errors import LocalProblem, PublisherError, Rejected, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.ranges import RANGE_BYTES, ObjectChanged
from roar_publisher.storage.readable import ReadableStore, StoredObject
from roar_publisher.storage.source import shown
from roar_publisher.tasks import for_each
from roar_publisher.text import size

FILES_AT_ONCE = 16
RANGES_AT_ONCE = 10
"""Of all files together. Those in flight are in memory."""

T = TypeVar("T")
OpenStore = Callable[[str], Awaitable[ReadableStore]]
"""Opens the store of a place (`Destination.place`)."""


class Arrived(Struct, frozen=True):
    """A file that is there now. was_there: it was there before, with this very content."""

    file: StoredFile
    size: int
    was_there: bool


class NotFetched(Struct, frozen=True):
    """A file that is not there, and why."""

    file: StoredFile | Unsafe
    problem: PublisherError


Outcome = Arrived | NotFetched


class _Found(Struct, frozen=True):
    file: StoredFile
    store: ReadableStore
    key: str
    stored: StoredObject


class Download(Struct, frozen=True):
    """One download into an open folder.

    on_outcome: receives what became of each file, in the order in which that is known.

    Everything runs again without harm: what is complete is found, and of what is incomplete the missing ranges are
    fetched, if the object is still the same. Cancelling keeps both.
    """

    target: TargetFolder
    journal: FetchJournal
    open_store: OpenStore
    force: bool
    on_outcome: Callable[[Outcome], None]
    report: Reporter
    _stores: dict[str, ReadableStore | UsageProblem] = field(default_factory=dict)
    _listed: dict[str, StoredObject] = field(default_factory=dict)  # by address, as far as listings know
    _record: RunBlocking = field(default_factory=one_at_a_time)

    async def run(self, files: Sequence[StoredFile]) -> None:
        """Fetch the files. One that cannot be fetched does not stop the others.

        Raises LocalProblem if there is no room for all of them, before any is fetched, or if the disk is full;
        Transient if a store stays away; and UsageProblem if none of the stores can be used here.
        """
        found: list[_Found] = []
        slots = anyio.Semaphore(RANGES_AT_ONCE)

        async def prepare(file: StoredFile) -> None:
            one = await self._attempt(file, lambda: self._look(file))
            if one is not None:
                found.append(one)

        async def fetch(one: _Found) -> None:
            if await self._attempt(one.file, lambda: self._fetch(one, slots)):
                self.report(ObjectStored(one.file.name, one.stored.size, sent=True))
                self.on_outcome(Arrived(one.file, one.stored.size, was_there=False))

        async with AsyncExitStack() as opened:
            for place, urls in _by_place(files).items():
                try:
                    store = await opened.enter_async_context(await self.open_store(place))
                except UsageProblem as problem:
                    self._stores[place] = problem
                    continue
                self._stores[place] = store
                await self._list(store, urls)
            problems = [found for found in self._stores.values() if isinstance(found, UsageProblem)]
            if problems and len(problems) == len(self._stores):
                raise problems[0]
            await for_each(files, prepare, at_once=FILES_AT_ONCE)
            await self._plan(found)
            await for_each(found, fetch, at_once=FILES_AT_ONCE)

    async def _list(self, store: ReadableStore, urls: Mapping[str, str]) -> None:
        """Look for many objects at once, if the store lists them in few requests. urls: their addresses, by key."""
        prefix = os.path.commonprefix(list(urls))  # noqa: RUF071  # keys begin alike, whatever their segments are
        listed = await store.list_objects(prefix, urls) or {}
        self._listed.update((urls[key], stored) for key, stored in listed.items() if stored.tag)

    async def _attempt(self, file: StoredFile, work: Callable[[], Awaitable[T]]) -> T | None:
        """Return the result of `work`, or tell of the problem of this file alone and return None."""
        try:
            return await work()
        except OSError as error:
            problem: PublisherError = local_problem(file.name, error)
        except (Rejected, LocalProblem) as error:
            problem = error
        if problem.reason is Reason.DISK_FULL:  # the others would not fit either
            raise problem
        self.on_outcome(NotFetched(file, problem))
        return None

    async def _look(self, file: StoredFile) -> _Found | None:
        """Return the object to fetch, or None if the file is there. Raises Rejected, LocalProblem, OSError."""
        verified = await self._record(self.journal.tag_of_complete, file)
        present, tag = await in_thread(self.target.present, file.name, file.digest, verified)
        if present is Present.SAME:
            await in_thread(self.target.discard, file.digest)
            await self._record(self.journal.complete_file, file, tag)
            self.on_outcome(Arrived(file, 0, was_there=True))
            return None
        if present is Present.FOLDER:
            raise LocalProblem("a folder has this name", next_step=MOVE)
        if present is Present.OTHER and not self.force:
            raise LocalProblem("a file with different content is there", next_step=REPLACE)
        address = file.address
        store, key = self._stores[address.place], address.key
        if isinstance(store, UsageProblem):
            raise Rejected(store.what, next_step=store.next_step) from store
        stored = self._listed.get(file.url) or await store.look(key)
        if stored is None:
            raise Rejected("it is no longer in its store", reason=Reason.STORED_OBJECT_DIFFERS)
        return _Found(file, store, key, stored)

    async def _plan(self, found: Sequence[_Found]) -> None:
        """Report what is to be fetched. Raises LocalProblem if there is no room for it."""
        there = sum([await in_thread(self.target.allocated_bytes, one.file.digest) for one in found if _is_large(one)])
        needed = sum(one.stored.size for one in found)
        free = await in_thread(self.target.free_bytes)
        if needed - there > free:
            room = f"has room for {size(free)}, and {size(needed - there)} are to be fetched"
            raise LocalProblem(
                f"the folder {shown(str(self.target.path))} {room}",
                kept="What was fetched before is kept.",
                next_step="free some space, or choose another folder (--to)",
                reason=Reason.DISK_FULL,
                resumable=True,
            )
        self.report(ObjectsPlanned(len(found), 0, needed, 0))

    async def _fetch(self, one: _Found, slots: anyio.Semaphore) -> bool:
        """Fetch one file. Raises Rejected, LocalProblem, OSError; then what is under its name is as it was."""
        try:
            await self._fetch_object(one, slots)
        except ObjectChanged:
            stored = await one.store.look(one.key) if one.file.url in self._listed else None
            if stored is None or stored == self._listed[one.file.url]:
                raise
            await self._fetch_object(replace(one, stored=stored), slots)  # the listing was outdated
        return True

    async def _fetch_object(self, one: _Found, slots: anyio.Semaphore) -> None:
        if not _is_large(one):
            size = one.stored.size
            async with slots:
                content = await one.store.read(one.key, 0, size, one.stored) if size else b""
                self.report(Sent(one.file.name, size))
                tag = await in_thread(keep_small, self.target, one.file, content, force=self.force)
            await self._record(self.journal.complete_file, one.file, tag)
            return
        try:
            try:
                await self._fetch_ranges(one, slots)
            except WrongBytes as problem:
                if not problem.resumed:
                    raise
                await self._discard(one.file.digest)  # what an earlier process had written was lost: once more
                await self._fetch_ranges(one, slots)
        except (ObjectChanged, WrongBytes):
            await self._discard(one.file.digest)
            raise

    async def _fetch_ranges(self, one: _Found, slots: anyio.Semaphore) -> None:
        digest, size = one.file.digest, one.stored.size
        there, range_bytes = await self._record(self.journal.begin_file, digest, size, one.stored.tag, RANGE_BYTES)
        with PartialFile.opened(self.target, one.file, size, anew=not there) as partial:

            async def read(number: int) -> None:
                offset = number * range_bytes
                async with slots:
                    content = await one.store.read(one.key, offset, min(range_bytes, size - offset), one.stored)
                    with anyio.CancelScope(shield=True):  # what has arrived is kept also if the fetch is stopped
                        await in_thread(partial.write, content, offset)
                        await self._record(self.journal.add_range, digest, number)
                self.report(Sent(one.file.name, len(content)))

            self.report(Sent(one.file.name, sum(min(range_bytes, size - number * range_bytes) for number in there)))
            missing = [number for number in range(-(-size // range_bytes)) if number not in there]
            await for_each(missing, read, at_once=RANGES_AT_ONCE)
            tag = await in_thread(partial.finish, resumed=bool(there), force=self.force)
        await self._record(self.journal.complete_file, one.file, tag)

    async def _discard(self, digest: str) -> None:
        await in_thread(self.target.discard, digest)
        await self._record(self.journal.forget_file, digest)


def _by_place(files: Sequence[StoredFile]) -> dict[str, dict[str, str]]:
    """Return the addresses of files by place and key."""
    found: dict[str, dict[str, str]] = {}
    for file in files:
        address = file.address
        found.setdefault(address.place, {})[address.key] = file.url
    return found


def _is_large(one: _Found) -> bool:
    """Return whether a file is fetched in several ranges, which are recorded."""
    return one.stored.size > RANGE_BYTES
