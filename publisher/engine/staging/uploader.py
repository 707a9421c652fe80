"""Stores the objects of a put: many files at once, each resumable by part (`storage.transfer`).

The journal records which objects are stored and which parts were acknowledged (`upload_journal`). The store is queried
nevertheless: an object that was deleted or overwritten there is sent again before anything links to it.

A file whose inode or time differs from the digested one (a restored copy) is read again. If its bytes are unchanged,
the journal records the file's new stamp, and later checks use that one.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress

import anyio
from msgspec.structs import asdict, replace

from roar_publisher.blocking import in_thread
from roar_publisher.engine.run import Run
from roar_publisher.engine.staging.acks import Acknowledgements
from roar_publisher.engine.staging.upload_journal import UploadJournal, uploads_in_progress
from roar_publisher.report import Noted, ObjectsPlanned, ObjectStored, Sent
from roar_publisher.state.errors import PublisherError, Rejected
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import State
from roar_publisher.state.objects import ObjectRow
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import Plan
from roar_publisher.state.status_reader import open_current, read_written_since
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.digest import confirm, digest_file
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.source import Content, FileChanged, file_stamp, shown
from roar_publisher.storage.store import ObjectStore
from roar_publisher.storage.transfer import transfer
from roar_publisher.tasks import background, for_each, until_stopped

FILES_AT_ONCE = 16
PARTS_AT_ONCE = 8
"""Concurrent parts of one file. The store's own request limit bounds the total."""
LOST = "{} of {} stored objects are missing from the store or were overwritten there; they are sent again"
ABANDON_SECONDS = 10.0
"""Maximum total time for aborting uploads, since the user may be waiting for the prompt."""


def content_of(row: ObjectRow) -> Content:
    """Return the content that an object's row describes."""
    return Content.from_json(row.content)


def owner_of(plan: Plan) -> str:
    """Return the owner of this publish's stored objects, unique across publishes and state folders (`open_store`)."""
    return f"{plan.id} {plan.created_at}"


async def abandon(paths: PublishPaths, journal: Journal, plan: Plan) -> int:
    """Abort every upload in progress of a put, so that its store keeps no parts, and return how many are left.

    Best effort, within ABANDON_SECONDS: if the store is unreachable or refuses, it keeps the parts, and the upload
    stays recorded. Does nothing for a publish without files. The caller must own the publish and have the environment
    that the put had. Repeating it tries the leftover uploads again; cancellation keeps them.
    """
    if plan.destination is None:
        return 0
    left = await in_thread(uploads_in_progress, paths, journal)

    async def abort(seq: int) -> None:
        record = left[seq]
        with suppress(PublisherError):
            if record.upload is not None:
                await store.abort(record.upload)
            else:
                await store.abort_orphans(record.key, record.requested_at)
            if record.known:
                await in_thread(paths.forget_upload, seq)
            del left[seq]

    with anyio.move_on_after(ABANDON_SECONDS), suppress(PublisherError):
        store = await open_store(plan.destination, owner=owner_of(plan))
        async with store:
            await for_each(list(left), abort, at_once=FILES_AT_ONCE)
    return sum(record.known for record in left.values())


class ObjectUploader:
    """Sends the objects of one put to a store. Use one instance per drain."""

    def __init__(self, run: Run, store: ObjectStore) -> None:
        self._run = run
        self._store = store
        self._objects = run.journal.objects
        self._tags: dict[str, str] = {}  # of what is stored, by key; written by _store_these and _store_one
        self._acks = Acknowledgements[tuple[int, str]](run.journal.objects.acknowledge_stored)

    async def drain(self) -> None:
        """Return when every object is stored and verified and every file still matches its digest.

        Raises the first error of the store or a file. Raises Interrupted at once when the run is asked to stop; a part
        in flight is sent again later. Draining again sends only what is missing.
        """
        rows = await self._objects.all()
        await self._unless_stopped(lambda: self._store_missing(rows))
        for row in await self._objects.all():
            await self._confirm(row)

    async def recheck(self) -> None:
        """Check that the store still has every object as it was stored, because hours may have passed since.

        Objects that are missing or were changed are stored again, and this is reported. Raises as `drain` does, and
        Rejected if an object is lost again at once. Safe to repeat.
        """
        rows = await self._objects.all()
        await self._unless_stopped(lambda: self._store_lost(rows))

    async def _unless_stopped(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            async with background(self._acks.serve):
                await until_stopped(self._run.stop, work)
        finally:
            await self._acks.flush()

    async def _store_missing(self, rows: Sequence[ObjectRow]) -> None:
        await self._store_these(await self._objects.all(only_missing=True), rows)

    async def _store_lost(self, rows: Sequence[ObjectRow]) -> None:
        lost = await self._lost(rows)
        if lost:
            await self._objects.forget_stored([row.seq for row in lost])
            self._run.report(Noted(LOST.format(len(lost), len(rows))))
            await self._store_these(lost, rows)
            await self._acks.flush()
            if again := await self._lost(await self._objects.all()):
                raise _overwritten(again[0].url)

    async def _store_these(self, missing: Sequence[ObjectRow], rows: Sequence[ObjectRow]) -> None:
        """Store the missing ones of all rows."""
        done = len(rows) - len(missing)
        self._run.report(ObjectsPlanned(len(rows), done, _bytes(rows), _bytes(rows) - _bytes(missing)))
        stored_tags = await self._store.list_tags({row.key for row in missing})
        await self._check_newest([row for row in missing if stored_tags is None or row.key in stored_tags])
        self._tags = {row.key: row.tag for row in rows}
        duplicates = _find_duplicates(rows)

        async def store(row: ObjectRow) -> None:
            known_new = stored_tags is not None and row.key not in stored_tags
            await self._store_one(row, known_new=known_new, duplicate=duplicates.get(row.seq))

        originals = [row for row in missing if row.seq not in duplicates]
        await for_each(originals, store, at_once=FILES_AT_ONCE)
        await for_each([row for row in missing if row.seq in duplicates], store, at_once=FILES_AT_ONCE)

    async def _check_newest(self, rows: Sequence[ObjectRow]) -> None:
        """Raise Rejected if a put of this state folder that was planned later has stored another content under a name.

        A slow put must not end with its object in the place of a newer one, whose lineage is published already.
        """
        contents = {row.url: content_of(row).blake3 for row in rows}
        newer = await self._run.files.call(_newer_put, self._run.plan, contents) if contents else None
        if newer is not None:
            raise _replaced(*newer)

    async def _lost(self, rows: Sequence[ObjectRow]) -> list[ObjectRow]:
        """Return the rows whose object is missing from the store or was overwritten there."""
        stored_tags = await self._store.list_tags({row.key for row in rows}) or {}
        lost: list[ObjectRow] = []

        async def check(row: ObjectRow) -> None:
            if await self._store.is_lost(row.key, content_of(row), row.tag):
                lost.append(row)

        uncertain = [row for row in rows if not row.tag or stored_tags.get(row.key) != row.tag]
        await for_each(uncertain, check, at_once=FILES_AT_ONCE)
        return lost

    async def _store_one(self, row: ObjectRow, *, known_new: bool, duplicate: str | None) -> None:
        sent: dict[int, int] = {}

        def advance(part: int, so_far: int) -> None:
            self._run.report(Sent(row.key, so_far - sent.get(part, 0)))
            sent[part] = so_far

        async def send(content: Content) -> StoredObject:
            ledger = UploadJournal(self._run, row.seq, row.key)
            return await transfer(
                self._store,
                row.key,
                content,
                ledger,
                parts_at_once=PARTS_AT_ONCE,
                advance=advance,
                known_new=known_new,
                duplicate=duplicate,
            )

        try:
            stored = await send(content_of(row))
        except FileChanged:
            stored = await send(await self._restored(row))
        # Forget the name, which may be a credential, before the acknowledgement: after a crash in between, the store
        # itself reports that the object is there.
        with anyio.CancelScope(shield=True):  # another file's failure must not undo this one
            await self._run.files.forget_upload(row.seq)
        is_proven = duplicate is None or self._tags[duplicate]  # a copy is as good as what was copied
        self._tags[row.key] = stored.tag if is_proven else ""
        self._acks.add((row.seq, self._tags[row.key]))
        self._run.report(ObjectStored(row.key, row.size, sent=bool(sent)))

    async def _confirm(self, row: ObjectRow) -> None:
        try:
            await confirm(content_of(row))
        except FileChanged:
            await self._restored(row)

    async def _restored(self, row: ObjectRow) -> Content:
        """Return the updated content of a replaced file with the same bytes. Raises FileChanged if the bytes differ."""
        before = content_of(row)
        if (await in_thread(file_stamp, before.path)).size != before.size:
            raise FileChanged(before.path)
        now = await digest_file(before.path)
        if now.blake3 != before.blake3:
            raise FileChanged(before.path)
        restored = replace(before, fence=now.fence)
        await self._objects.revise(row.seq, json.dumps(restored, default=asdict))
        return restored


def _newer_put(paths: PublishPaths, plan: Plan, contents: Mapping[str, str]) -> tuple[str, str] | None:
    """Return an address and the id of the put that was planned after `plan`, and has stored another content there.

    contents: the blake3 of what is to be stored, by address. A put that has failed or was cancelled counts for nothing.
    Blocks.
    """
    for other in read_written_since(StateFolder.of(paths), plan.created_at, skip={paths.id}):
        later = other.plan.created_at > plan.created_at and other.plan.destination is not None
        if later and other.progress.state not in (State.FAILED, State.CANCELLED):
            with suppress(PublisherError), open_current(other.paths) as journal:  # it may be removed meanwhile
                missing = {row.seq for row in journal.objects.all(only_missing=True)}
                for row in journal.objects.all():
                    wanted = contents.get(row.url)
                    if wanted is not None and row.seq not in missing and wanted != content_of(row).blake3:
                        return row.url, other.paths.id
    return None


def _replaced(url: str, publish_id: str) -> Rejected:
    return Rejected(
        f"a later put, publish {publish_id}, has stored its own file at {shown(url)}",
        next_step="put this file to a different address, or put it again to replace the other one",
        reason=Reason.STORED_OBJECT_DIFFERS,
    )


def _overwritten(url: str) -> Rejected:
    return Rejected(
        f"{shown(url)} does not keep what is stored there: something else writes there at the same time, or the"
        " destination treats two names of this put as the same one, as file systems that ignore case do",
        next_step="stop whatever else writes there, or rename the file; then put again",
        reason=Reason.STORED_OBJECT_DIFFERS,
    )


def _find_duplicates(rows: Iterable[ObjectRow]) -> dict[int, str]:
    """Map each row that has the content of an earlier row to the first such row's key. Empty files are left out."""
    first: dict[str, str] = {}
    digests = [(row, content_of(row).blake3) for row in rows if row.size]
    return {row.seq: first[digest] for row, digest in digests if first.setdefault(digest, row.key) != row.key}


def _bytes(rows: Iterable[ObjectRow]) -> int:
    return sum(row.size for row in rows)
