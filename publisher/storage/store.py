"""The port: what `roar put` asks of an object store, and the words for what is stored.

Everything here may be repeated.  What a reply that got lost has done is always recognised: an object by its size and
checksum (`holds`), an upload by the parts that the store itself lists.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, Self

from roar_publisher.state.errors import LocalProblem, Rejected, Transient, UsageProblem
from roar_publisher.storage.slices import Sent
from roar_publisher.storage.source import Content, Slice, shown

QUESTIONS_PER_PAGE = 16
"""What may be asked at once takes as long as one page of a listing."""
MOST_PAGES = 100
"""Of 1,000 keys: a bound on what `glance` has in memory."""
LONGEST_KEY_BYTES = 1024
"""S3's and GCS's limit, in UTF-8."""


class UploadVanished(Transient):
    """The store does not know the upload any more (expired, aborted, or completed): begin again."""

    reason = "upload vanished"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in a store.

    checksum: the store's own, as `<kind>:<value>`; empty if it tells none.  blake3: hex, as it was written beside the
    object when it was uploaded; empty if somebody else uploaded it.  tag: the store's name for the object as it is now:
    whoever writes there changes it; empty if it tells none.
    """

    size: int
    checksum: str
    blake3: str = ""
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload under way: what the journal keeps to resume it.  JSON-serialisable with `dataclasses.asdict`.

    id: the store's name for it.  GCS's is a URL that lets its bearer write this object for a week; it is never shown.
    checksum: how parts are verified (`s3`), empty elsewhere.
    """

    key: str
    id: str = field(repr=False)
    size: int
    part_bytes: int
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A part that the store has.  JSON-serialisable.

    tag: what the store calls it (S3's ETag), needed to complete; where it is the part's blake3, it tells what is in it.
    sha256: hex; empty where the store verifies none, or lists a part without it, so that only somebody who remembers
    its tag can tell what is in it.
    """

    number: int
    size: int
    tag: str
    sha256: str


class ObjectStore(ABC):
    """One destination: a place where objects have keys.  An async context manager; any number of tasks may use it.

    Errors of every method: Transient when the store stays away or fails for too long, Rejected for its final no,
    NeedsPerson for credentials, LocalProblem for this machine.  Cancelling stops waiting; what was asked for may have
    happened all the same, and repeating it is harmless.
    """

    parallel_parts: ClassVar[bool] = True
    """Whether the parts of one upload may be sent in any order, several at once."""
    wants_md5: ClassVar[bool] = False
    """Whether `Content.md5` must be there."""

    def __init__(self, destination: str, prefix: str = "") -> None:
        """prefix: what comes before every key in the bucket, without slashes at its ends."""
        self.destination = destination  # as a URL without a trailing slash; shown to people and recorded
        self.prefix = f"{prefix}/" if prefix else ""

    def url(self, key: str) -> str:
        """The address of an object, as the lineage records it (protocol.md §9).  Raises as `check_key`."""
        return f"{self.destination}/{self.name(key)[len(self.prefix) :]}"

    def name(self, key: str) -> str:
        """The object's whole name in its bucket, prefix and all.  Raises as `check_key`."""
        return check_key(self.prefix + key)

    async def check(self) -> None:
        """Raise UsageProblem where this can't be a destination, as far as that shows without asking anybody."""
        return

    @abstractmethod
    async def stat(self, key: str) -> StoredObject | None:
        """What is stored under `key`; None if nothing is, or nothing that we may see."""

    @abstractmethod
    async def lost(self, key: str, content: Content, tag: str) -> bool:
        """Whether what was stored under `key`, with that tag, is surely not there any more, but nothing or another.

        False for who may not look.
        """

    async def glance(self, questions: int) -> Mapping[str, str] | None:
        """The keys below the destination and their tags; None where few requests (`pages`) don't tell them.

        questions: about single objects, which it saves.  Old news at worst make one send what is there already.
        """
        return None

    @abstractmethod
    async def put(self, key: str, content: Content, sent: Sent) -> StoredObject:
        """Store a file of one part in one request, replacing what was there."""

    async def copy(self, source: str, key: str, content: Content) -> StoredObject | None:
        """Have the store itself copy this very content from the key `source`; None where it can't, may not, or did not.

        Harmless to repeat: what stood under `key` is replaced.
        """
        return None

    @abstractmethod
    async def begin(self, key: str, content: Content) -> Upload:
        """Start an upload.

        After a lost reply a repetition starts another, and gives the first one up where the store can tell it.
        """

    async def clear(self, key: str, asked: float | None) -> None:
        """Give up what an earlier life of this owner may have begun for `key` without keeping its name.

        asked: when it last asked for an upload without hearing of one, in Unix seconds; None if it heard.  Does nothing
        where such things vanish by themselves (the sessions of GCS, within a week).
        """
        return

    @abstractmethod
    async def parts(self, upload: Upload) -> dict[int, Part] | None:
        """The parts that the store has, by number; None if it does not know the upload (any more)."""

    @abstractmethod
    async def put_part(self, upload: Upload, number: int, slice_: Slice, sent: Sent) -> Part:
        """Send one part; sending it again replaces it.  Raises UploadVanished, FileChanged."""

    @abstractmethod
    async def complete(self, upload: Upload, content: Content, parts: Mapping[int, Part]) -> StoredObject:
        """Turn all parts into the object and compare its size and checksum.

        Recognises a completion whose reply was lost.  Raises UploadVanished if the parts are gone, Rejected if what is
        stored then is not this content.
        """

    @abstractmethod
    async def abort(self, upload: Upload) -> None:
        """Give up an upload and free what it holds; one that is gone already is fine."""

    def checksum_of(self, content: Content) -> str:
        """The checksum that this store tells of an object of that content; empty if the digest alone can't tell."""
        return ""

    def holds(self, stored: StoredObject | None, content: Content, checksum: str = "") -> bool:
        """Whether what is stored is this content.

        By the store's checksum where it is of the same kind as the expected one (`checksum`, else `checksum_of`), else
        by the blake3 that an earlier upload of ours wrote beside it, whose parts were all verified.
        """
        if stored is None or stored.size != content.size:
            return False
        expected = checksum or self.checksum_of(content)
        if expected and stored.checksum.partition(":")[0] == expected.partition(":")[0]:
            return stored.checksum == expected
        return stored.blake3 == content.blake3

    def remains(self, stored: StoredObject, content: Content, tag: str) -> bool:
        """Whether it is what was stored with that tag; read closely only where something wrote there since."""
        return (stored.tag == tag and tag != "") or self.holds(stored, content)

    def verified(self, key: str, stored: StoredObject | None, content: Content, checksum: str = "") -> StoredObject:
        """`stored`, if it is this content (`holds`); raises Rejected if not."""
        if stored is None or not self.holds(stored, content, checksum):
            raise Rejected(
                f"{shown(self.url(key))} is not what was sent: "
                + (
                    "it can't be found" if stored is None else f"{stored.size} bytes, {stored.checksum or 'unverified'}"
                ),
                next_step="look whether something else writes there, then resume",
                reason="stored object differs",
            )
        return stored

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close connections; nothing that is stored is lost."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close what is open; a store without connections has nothing to close."""
        return


def pages(questions: int) -> range:
    """How many pages of a listing `ObjectStore.glance` may read."""
    return range(min(questions // QUESTIONS_PER_PAGE, MOST_PAGES))


RENAME = "give it a name in UTF-8, then put again"
"""What to do about a file name that is no UTF-8."""


def check_key(key: str) -> str:
    """`key`, if every store can hold it: UTF-8, up to 1,024 bytes, and a path that stays below the destination.

    Raises LocalProblem for a file name that is no UTF-8, UsageProblem for a key that is no such path.
    """
    try:
        length = len(key.encode())
    except UnicodeEncodeError as error:
        raise LocalProblem(
            f"the name {shown(key)} is no UTF-8 and can't be a key", next_step=RENAME, reason="file name"
        ) from error
    if not key or "\0" in key or any(segment in ("", ".", "..") for segment in key.split("/")):
        raise UsageProblem(f"{shown(key)!r} is no key: it must be a path below the destination")
    if length > LONGEST_KEY_BYTES:
        raise UsageProblem(f"the key {shown(key[:60])}… is longer than {LONGEST_KEY_BYTES} bytes")
    return key
