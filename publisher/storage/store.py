"""The interface of object stores for `roar put`, and the types of what is stored.

Every operation may be repeated. The effect of a request whose reply was lost is always recognised: an object by its
size and checksum (`matches`), an upload by the parts that the store lists.
"""

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.guarded import Guarded
from roar_publisher.state.errors import LocalProblem, Rejected, Transient, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.readable import ReadableStore, StoredObject
from roar_publisher.storage.slices import OnSent
from roar_publisher.storage.source import Content, Slice, shown

LOOKUPS_PER_PAGE = 16
"""Concurrent queries about single objects that take as long as one page of a listing."""
LONGEST_KEY_BYTES = 1024
"""The limit of S3 and GCS, in UTF-8."""


class UploadVanished(Transient):
    """The store no longer knows the upload (expired, aborted, or completed). Begin again."""

    reason = Reason.UPLOAD_VANISHED


class PartsNotListed(Rejected):
    """The store does not list the parts of an upload: it cannot, or these credentials may upload without listing."""


class Upload(Guarded, frozen=True):
    """An upload in progress, as the journal stores it for a resume. JSON-serialisable with `msgspec.structs.asdict`.

    id: the store's name for it. GCS's is a URL that grants write access to this object for a week, so it is never
    shown.
    checksum: how parts are verified (`s3`); empty for other stores.
    """

    HIDDEN = ("id",)
    key: str
    id: str
    size: int
    part_bytes: int
    checksum: str = ""


class Part(Struct, frozen=True):
    """A part that the store has. JSON-serialisable.

    tag: the store's name for it (S3's ETag), needed to complete; if it is the part's blake3, it identifies the content.
    sha256: hex; empty if the store verifies none, or lists a part without it, in which case only a record of the tag
    identifies the content.
    """

    number: int
    size: int
    tag: str
    sha256: str


class ObjectStore(ReadableStore):
    """One destination, which stores objects by key. An async context manager; any number of tasks may use it.

    Errors of every method: Transient if the store is unreachable or fails for too long, Rejected for its final refusal,
    NeedsUser for credentials, LocalProblem for this machine. Cancellation stops waiting. The operation may have been
    carried out nevertheless, and repeating it is safe.
    """

    parallel_parts: ClassVar[bool] = True
    """Whether the parts of one upload may be sent in any order, several at once."""
    needs_md5: ClassVar[bool] = False
    """Whether `Content.md5` is required."""

    def __init__(self, destination: str, prefix: str = "") -> None:
        """prefix: precedes every key in the bucket; without leading and trailing slashes."""
        self.destination = destination  # as a URL without a trailing slash; shown to users and recorded
        self.prefix = f"{prefix}/" if prefix else ""

    def url(self, key: str) -> str:
        """Return the address of an object, as the lineage records it (protocol.md §9). Raises as `check_key`."""
        return f"{self.destination}/{self.name(key)[len(self.prefix) :]}"

    def name(self, key: str) -> str:
        """Return the object's full name in its bucket, including the prefix. Raises as `check_key`."""
        return check_key(self.prefix + key)

    async def check(self) -> None:
        """Raise UsageProblem if this cannot be a destination, as far as that is known without a request."""
        return

    @abstractmethod
    async def stat(self, key: str) -> StoredObject | None:
        """Return what is stored under `key`, or None if nothing is, or nothing that these credentials may see."""

    @abstractmethod
    async def is_lost(self, key: str, content: Content, tag: str) -> bool:
        """Return whether the object stored under `key` with that tag is certainly missing or replaced.

        Returns False if these credentials may not look.
        """

    async def list_tags(self, wanted: Collection[str]) -> Mapping[str, str] | None:
        """Return the tags of the wanted keys that there are, or None, as `list_objects`.

        Outdated results at worst cause an object to be sent again.
        """
        found = await self.list_objects("", wanted)
        return None if found is None else {key: stored.tag for key, stored in found.items()}

    @abstractmethod
    async def put(self, key: str, content: Content, sent: OnSent) -> StoredObject:
        """Store a file of one part in one request, replacing an existing object."""

    async def copy(self, source: str, key: str, content: Content) -> StoredObject | None:
        """Have the store copy this content from the key `source`. Return None if it cannot, may not, or did not.

        Safe to repeat: an existing object under `key` is replaced.
        """
        return None

    @abstractmethod
    async def begin(self, key: str, content: Content) -> Upload:
        """Start an upload.

        After a lost reply, a repetition starts another one, and aborts the first if the store can identify it.
        """

    async def abort_orphans(self, key: str, requested_at: float | None) -> None:
        """Abort uploads that an earlier process of this owner may have begun for `key` without storing their names.

        requested_at: when it last requested an upload without receiving its name (Unix seconds), or None.
        Does nothing if such uploads expire by themselves (the sessions of GCS, within a week).
        """
        return

    @abstractmethod
    async def parts(self, upload: Upload) -> dict[int, Part] | None:
        """Return the parts that the store has, by number, or None if it does not know the upload (any more).

        Raises PartsNotListed.
        """

    @abstractmethod
    async def put_part(self, upload: Upload, number: int, slice_: Slice, sent: OnSent) -> Part:
        """Send one part. Sending it again replaces it. Raises UploadVanished, FileChanged."""

    @abstractmethod
    async def complete(self, upload: Upload, content: Content, parts: Mapping[int, Part]) -> StoredObject:
        """Assemble the parts into the object, and compare its size and checksum.

        Recognises a completion whose reply was lost. Raises UploadVanished if the parts are gone, Rejected if the
        resulting object is not this content.
        """

    @abstractmethod
    async def abort(self, upload: Upload) -> None:
        """Abort an upload and free its storage. Does nothing if it is already gone."""

    def checksum_of(self, content: Content) -> str:
        """Return the checksum that this store returns for that content; empty if the digest does not determine it."""
        return ""

    def matches(self, stored: StoredObject | None, content: Content, checksum: str = "") -> bool:
        """Return whether the stored object is this content.

        Compares the store's checksum if it is of the same kind as the expected one (`checksum`, else `checksum_of`).
        Otherwise compares the blake3 that an earlier upload of ours stored with it, whose parts were all verified.
        """
        if stored is None or stored.size != content.size:
            return False
        expected = checksum or self.checksum_of(content)
        if expected and stored.checksum.partition(":")[0] == expected.partition(":")[0]:
            return stored.checksum == expected
        return stored.blake3 == content.blake3

    def recognised(self, stored: StoredObject | None, content: Content) -> StoredObject | None:
        """Return a stored object if it is this content (`matches`), otherwise None.

        If only the note beside its bytes says so, it has no tag: nothing that follows counts as proven by the store.
        """
        if stored is None or not self.matches(stored, content):
            return None
        is_proven = stored.checksum != "" and stored.checksum == self.checksum_of(content)
        return stored if is_proven else replace(stored, tag="")

    def proves(self, stored: StoredObject, content: Content, tag: str) -> bool:
        """Return whether the store's own checksum of a looked-at object proves that it has this content.

        tag: of the object as it was stored and verified. What an uploader noted beside the bytes proves nothing.
        """
        expected = self.checksum_of(content)
        return expected != "" and (stored.size, stored.checksum) == (content.size, expected)

    def is_unchanged(self, stored: StoredObject, content: Content, tag: str) -> bool:
        """Return whether the object is still the one stored with that tag, or has the same content."""
        return (stored.tag == tag and tag != "") or self.matches(stored, content)

    def verified(self, key: str, stored: StoredObject | None, content: Content, checksum: str = "") -> StoredObject:
        """Return `stored` if it is this content (`matches`). Raise Rejected otherwise."""
        if stored is None or not self.matches(stored, content, checksum):
            raise Rejected(
                f"{shown(self.url(key))} is not what was sent: "
                + (
                    "it cannot be found"
                    if stored is None
                    else f"{stored.size} bytes, {stored.checksum or 'unverified'}"
                ),
                next_step="check whether something else writes there",
                reason=Reason.STORED_OBJECT_DIFFERS,
            )
        return stored


def pages(lookups: int) -> range:
    """Return the page numbers of a listing that may be read to save so many queries."""
    return range(lookups // LOOKUPS_PER_PAGE)


RENAME = "rename it to valid UTF-8, then put again"
"""The remedy for a file name that is not UTF-8."""


def check_key(key: str) -> str:
    """Return `key` if every store accepts it: UTF-8, at most 1,024 bytes, a path that stays below the destination.

    Raises LocalProblem for a file name that is not UTF-8, UsageProblem for any other invalid key.
    """
    try:
        length = len(key.encode())
    except UnicodeEncodeError as error:
        raise LocalProblem(
            f"the name {shown(key)} is not valid UTF-8 and cannot be a key", next_step=RENAME, reason=Reason.FILE_NAME
        ) from error
    if not key or "\0" in key or any(segment in ("", ".", "..") for segment in key.split("/")):
        raise UsageProblem(f"{shown(key)!r} is not a key: it must be a path below the destination")
    if length > LONGEST_KEY_BYTES:
        raise UsageProblem(f"the key {shown(key[:60])}… is longer than {LONGEST_KEY_BYTES} bytes")
    return key
