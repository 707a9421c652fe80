"""Puts objects again that are missing or differ, from local files with their very digests.

Each goes through the upload of a put, with a journal of its own in the state folder: a repair that is interrupted
continues with the parts that the store has. An object whose bytes are right is never written.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256

from blake3 import blake3
from msgspec import Struct, field

from roar_publisher.blocking import RunBlocking, in_thread, one_at_a_time
from roar_publisher.checking.local_files import LocalFiles
from roar_publisher.checking.permitted import PermittedPlaces
from roar_publisher.engine.journal import AsyncFiles, AsyncJournal
from roar_publisher.engine.staging.upload_journal import UploadJournal
from roar_publisher.inspection.findings import WRONG, Finding, Inspected
from roar_publisher.net.budget import UploadBudget
from roar_publisher.state.errors import Interrupted, PublisherError
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.storage.addresses import WEB
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.ranges import RANGE_BYTES
from roar_publisher.storage.source import Content
from roar_publisher.storage.store import ObjectStore
from roar_publisher.storage.transfer import transfer

PARTS_AT_ONCE = 8
SEQ = 1
NAME_LENGTH = 32


class Repaired(Struct, frozen=True):
    """What became of one object. why: why it was not put again; empty if it was."""

    inspected: Inspected
    why: str = ""


class _Upload(Struct, frozen=True):
    """What the journal of an upload needs of a run."""

    journal: AsyncJournal
    files: AsyncFiles
    clock: Callable[[], float] = time.time


class Repair(Struct, frozen=True):
    """Repairs the objects of one lineage. patience: seconds to wait for a store."""

    folder: StateFolder
    files: LocalFiles
    places: PermittedPlaces
    limits: TransferLimits
    patience: float
    run_blocking: RunBlocking = field(default_factory=one_at_a_time)

    async def run(self, problems: Sequence[Inspected]) -> list[Repaired]:
        """Put the objects again that contradict the lineage, one after another, and return what became of each problem.

        Repeating it continues what was interrupted. Raises Interrupted; other errors concern their object.
        """
        budget = UploadBudget.of(self.limits.uploads, self.limits.limit_rate)
        done = []
        for each in problems:
            if each.finding not in WRONG:
                done.append(Repaired(each, f"it is not known to be wrong: {each.why}"))
                continue
            try:
                done.append(Repaired(each, await self._put_again(each, budget)))
            except Interrupted:
                raise
            except PublisherError as problem:
                done.append(Repaired(each, problem.what))
        return done

    async def _put_again(self, inspected: Inspected, budget: UploadBudget) -> str:
        """Put one object again. Return why not; empty if it was."""
        subject = inspected.subject
        address = subject.address
        if address.scheme == WEB:
            return "a web server's files are only read"
        if why_not := await in_thread(self.places.why_not, subject):
            return why_not
        name = sha256(f"{subject.url}\0{subject.digest}".encode()).hexdigest()[:NAME_LENGTH]
        store = await open_store(
            address.place,
            owner=f"repair {name}",
            connections=self.limits.uploads,
            budget=budget,
            patience=self.patience,
        )
        async with store:
            content = await self.files.find(subject, md5=store.needs_md5)
            if content is None:
                return f"no local file has the digest {subject.digest}"
            if await _was_written(store, address.key, inspected):
                return "it was written meanwhile; verify again"
            await self._send(store, address.key, content, name)
        return ""

    async def _send(self, store: ObjectStore, key: str, content: Content, name: str) -> None:
        folder = StateFolder(self.folder.root / "repairs" / name)
        with await in_thread(_journal, folder) as owned:
            files = AsyncFiles(owned.paths, self.run_blocking)
            ledger = UploadJournal(_Upload(AsyncJournal(owned.journal, self.run_blocking), files), SEQ, key)
            await transfer(
                store,
                key,
                content,
                ledger,
                parts_at_once=PARTS_AT_ONCE,
                advance=lambda part, sent: None,
                known_new=True,  # what is there is wrong, whatever was noted beside it
            )
        with suppress(OSError):
            await in_thread(shutil.rmtree, folder.root)


async def _was_written(store: ObjectStore, key: str, inspected: Inspected) -> bool:
    """Return whether an object may be another one than the one that was inspected, or is right by now.

    If its store names no versions, it is read.
    """
    now = await store.look(key)
    if now is None or inspected.finding is Finding.MISSING:
        return (now is None) != (inspected.finding is Finding.MISSING)
    if now.tag:
        return now.tag != inspected.tag
    digest = blake3()
    for offset in range(0, now.size, RANGE_BYTES):
        digest.update(await store.read(key, offset, min(RANGE_BYTES, now.size - offset), now))
    return inspected.tag != "" or digest.hexdigest() == inspected.subject.digest


def _journal(folder: StateFolder) -> OwnedPublish:
    """Return the journal of a repair of this object: the one that an interrupted repair left, or a new one."""
    for paths in folder.all_publishes():
        return OwnedPublish.open(paths)
    return OwnedPublish.create(folder)
