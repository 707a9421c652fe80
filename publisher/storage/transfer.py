"""Uploads one file to a store, resumable by part.

The store is asked first: an existing object is not sent again, and for an upload that was begun before, only the parts
that the store does not list are sent. A `Ledger` (the journal) stores the upload's name, and the hashes of
acknowledged parts, which some stores do not list.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import anyio

from roar_publisher.state.errors import LocalProblem, NeedsUser, Rejected
from roar_publisher.storage.checksums import checksums_of
from roar_publisher.storage.digest import confirm
from roar_publisher.storage.parts import bare_tag
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.source import Content
from roar_publisher.storage.store import ObjectStore, Part, PartsNotListed, Upload, UploadVanished
from roar_publisher.tasks import for_each

MOST_STARTS = 3
"""How often one transfer may begin an upload, after the store lost the one before."""
Advance = Callable[[int, int], None]
"""Called with a part's number and its bytes sent so far. An attempt after a failure starts again at 0."""


class Ledger(ABC):
    """The stored state of one file's upload. Each method returns once its data would survive a crash."""

    @abstractmethod
    async def upload(self) -> Upload | None:
        """Return the upload that was begun last, unless it was forgotten."""

    @abstractmethod
    async def parts(self) -> Mapping[int, Part]:
        """Return its acknowledged parts."""

    @abstractmethod
    async def requested_at(self) -> float | None:
        """Return when an upload was requested (Unix seconds), if its name is not known."""

    @abstractmethod
    async def record_request(self) -> None:
        """Store that an upload is about to be requested: from now on the store may have one whose name is not known."""

    @abstractmethod
    async def record_upload(self, upload: Upload) -> None:
        """Store the upload, which replaces an earlier one with its parts, before the first part is sent."""

    @abstractmethod
    async def record_part(self, part: Part) -> None:
        """Store that the store has acknowledged a part."""

    @abstractmethod
    async def forget_upload(self) -> None:
        """Store that the upload is gone, with its parts."""


async def transfer(
    store: ObjectStore,
    key: str,
    content: Content,
    ledger: Ledger,
    *,
    parts_at_once: int,
    advance: Advance,
    known_new: bool = False,
    duplicate: str | None = None,
) -> StoredObject:
    """Store `content` under `key`, verify it, and return the stored object.

    known_new: `ObjectStore.list_tags` found no such key, so the store is not asked for it.
    duplicate: a key that already has the same content.

    Repeating it, also after a crash, sends what is missing. Cancellation keeps the acknowledged parts. Raises what
    `ObjectStore` raises, and FileChanged before any data of a changed file is visible.
    """
    stored = None if known_new else store.recognised(await store.stat(key), content)
    if stored is not None:
        await _abort_unneeded(store, key, ledger)
        await confirm(content)
        return stored
    if duplicate is not None and (copied := await store.copy(duplicate, key, content)):
        await _abort_unneeded(store, key, ledger)
        await confirm(content)
        advance(1, content.size)
        return copied
    if content.size <= content.part_bytes:
        stored = await store.put(key, content, partial(advance, 1))
        advance(1, content.size)  # an empty file reports no bytes itself
        return stored
    for _ in range(MOST_STARTS):
        upload = await ledger.upload()
        begins = upload is None
        if upload is None:
            await store.abort_orphans(key, await ledger.requested_at())
            await ledger.record_request()
            upload = await store.begin(key, content)
            await ledger.record_upload(upload)
        try:
            recorded = await ledger.parts()
            listed: Mapping[int, Part] | None
            try:
                listed = {} if begins else await store.parts(upload)
            except PartsNotListed:
                listed = recorded  # the store compares their tags when the upload is completed
            if listed is None:
                raise UploadVanished("the store lost an upload that was begun")
            there = await usable_parts(content, listed, recorded)
            parts = await _send_missing(store, upload, content, there, ledger, parts_at_once, advance)
            await confirm(content)
            return await store.complete(upload, content, parts)
        except UploadVanished as error:
            vanished = error
            await ledger.forget_upload()
    raise vanished


async def usable_parts(content: Content, listed: Mapping[int, Part], remembered: Mapping[int, Part]) -> dict[int, Part]:
    """Return the listed parts that match this content, by the stored record or else by the listed hash.

    If a crash lost a part's acknowledgement and the store returns its SHA-256, the part is read and compared.
    """
    found = {}
    for number, blake3 in enumerate(content.part_blake3s, start=1):
        part, known, slice_ = listed.get(number), remembered.get(number), content.part(number)
        if part is None or part.size != slice_.length:
            continue
        if known is not None and bare_tag(known.tag) == bare_tag(part.tag) and part.sha256 in ("", known.sha256):
            found[number] = known
        elif part.tag == blake3 or (
            part.sha256 and part.sha256 == (await checksums_of(slice_, md5=False)).sha256.hex()
        ):
            found[number] = part
    return found


async def _abort_unneeded(store: ObjectStore, key: str, ledger: Ledger) -> None:
    """Abort the upload of an object that is already stored, which would only use space."""
    with suppress(Rejected, NeedsUser, LocalProblem):  # reading may be allowed without aborting, or a folder read-only
        if upload := await ledger.upload():
            await store.abort(upload)
        else:
            await store.abort_orphans(key, await ledger.requested_at())


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
    missing = [number for number in range(1, len(content.part_blake3s) + 1) if number not in done]

    async def send(number: int) -> None:
        part = await store.put_part(upload, number, content.part(number), partial(advance, number))
        with anyio.CancelScope(shield=True):  # another part's failure must not undo this one
            await ledger.record_part(part)
        done[number] = part

    await for_each(missing, send, at_once=parts_at_once if store.parallel_parts else 1)
    return done
