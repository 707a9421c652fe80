"""One file into a store, resumable to the part.

Asked first is the store: an object that is there already is not sent again, and of an upload that was begun before,
only those parts are sent that the store does not list.  What a `Ledger` remembers (the journal) names the upload and
tells what is in parts that the store lists without their hash.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import anyio

from roar_publisher.state.errors import NeedsPerson, PublisherError, Rejected
from roar_publisher.storage.checksums import checksums_of
from roar_publisher.storage.digest import confirm
from roar_publisher.storage.source import Content
from roar_publisher.storage.store import ObjectStore, Part, StoredObject, Upload, UploadVanished

MOST_STARTS = 3
"""How often one transfer begins an upload anew, because the store lost the one before."""
Advance = Callable[[int, int], None]
"""Called with a part's number and how many of its bytes are sent so far; an attempt that fails starts again at 0."""


class Ledger(ABC):
    """What is remembered of one file's upload.  Each method returns when it is safe from a crash."""

    @abstractmethod
    async def upload(self) -> Upload | None:
        """The upload that was begun last, unless it was forgotten."""

    @abstractmethod
    async def parts(self) -> Mapping[int, Part]:
        """Its parts that were acknowledged."""

    @abstractmethod
    async def asked(self) -> float | None:
        """When an upload was asked for (Unix seconds), if that is all that is known of it."""

    @abstractmethod
    async def asking(self) -> None:
        """An upload is about to be asked for: the store may know one from now on that is not remembered."""

    @abstractmethod
    async def begun(self, upload: Upload) -> None: ...

    @abstractmethod
    async def acknowledged(self, part: Part) -> None: ...

    @abstractmethod
    async def forgotten(self) -> None:
        """The upload is gone, and its parts with it."""


async def transfer(
    store: ObjectStore,
    key: str,
    content: Content,
    ledger: Ledger,
    *,
    parts_at_once: int,
    advance: Advance,
    surely_new: bool = False,
    twin: str | None = None,
) -> StoredObject:
    """Have `content` stored under `key`, verified; returns what is stored.

    surely_new: `ObjectStore.glance` saw no such key, so the store is not asked for it.  twin: a key that has the same
    content already.  Repeating it, also after a crash, sends what is missing.  Cancelling leaves the parts that were
    acknowledged.  Raises what `ObjectStore` raises, and FileChanged before anything of a changed file is visible.
    """
    stored = None if surely_new else await store.stat(key)
    if stored is not None and store.holds(stored, content):
        await _give_up(store, key, ledger)
        await confirm(content)
        return stored
    if twin is not None and (copied := await store.copy(twin, key, content)):
        await _give_up(store, key, ledger)
        await confirm(content)
        advance(1, content.size)
        return copied
    if content.size <= content.part_bytes:
        stored = await store.put(key, content, partial(advance, 1))
        advance(1, content.size)  # an empty file has no byte that would tell
        return stored
    for _ in range(MOST_STARTS):
        upload = await ledger.upload()
        begins = upload is None
        if upload is None:
            await store.clear(key, await ledger.asked())
            await ledger.asking()
            upload = await store.begin(key, content)
            await ledger.begun(upload)
        try:
            listed = {} if begins else await store.parts(upload)
            if listed is None:
                raise UploadVanished("the store lost an upload that was begun")
            there = await usable(content, listed, await ledger.parts())
            parts = await _send_missing(store, upload, content, there, ledger, parts_at_once, advance)
            await confirm(content)
            return await store.complete(upload, content, parts)
        except UploadVanished as error:
            vanished = error
            await ledger.forgotten()
    raise vanished


async def usable(content: Content, listed: Mapping[int, Part], remembered: Mapping[int, Part]) -> dict[int, Part]:
    """The listed parts that are this content: by what is remembered of the upload, else by the hash that is listed.

    Reads those whose acknowledgement a crash forgot, where the store tells their SHA-256.
    """
    found = {}
    for number, blake3 in enumerate(content.part_blake3s, start=1):
        part, known, slice_ = listed.get(number), remembered.get(number), content.part(number)
        if part is None or part.size != slice_.length:
            continue
        if known is not None and known.tag == part.tag and part.sha256 in ("", known.sha256):
            found[number] = known
        elif part.tag == blake3 or (
            part.sha256 and part.sha256 == (await checksums_of(slice_, md5=False)).sha256.hex()
        ):
            found[number] = part
    return found


async def _give_up(store: ObjectStore, key: str, ledger: Ledger) -> None:
    """The object is stored without it: what is under way for it would only take room."""
    with suppress(Rejected, NeedsPerson):  # who may not give up an upload may have stored the object all the same
        if upload := await ledger.upload():
            await store.abort(upload)
        else:
            await store.clear(key, await ledger.asked())


async def _send_missing(
    store: ObjectStore,
    upload: Upload,
    content: Content,
    there: Mapping[int, Part],
    ledger: Ledger,
    parts_at_once: int,
    advance: Advance,
) -> dict[int, Part]:
    done = dict(there)
    for number, part in done.items():
        advance(number, part.size)
    missing = iter([number for number in range(1, len(content.part_blake3s) + 1) if number not in done])
    failures: list[PublisherError] = []

    async def send_next() -> None:
        try:
            for number in missing:
                part = await store.put_part(upload, number, content.part(number), partial(advance, number))
                with anyio.CancelScope(shield=True):  # another part's failure does not make this one unsent
                    await ledger.acknowledged(part)
                done[number] = part
        except PublisherError as error:  # raised below, outside of the task group
            failures.append(error)
            tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for _ in range(parts_at_once if store.parallel_parts else 1):
            tasks.start_soon(send_next)
    if failures:
        raise failures[0]
    return done
