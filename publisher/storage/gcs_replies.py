"""Google Cloud Storage's replies: what they say of an object, and what its refusals mean."""

import re
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from roar_publisher.net.documents import error_text, parse
from roar_publisher.net.exchange import Reply
from roar_publisher.net.policy import Verdict
from roar_publisher.state.errors import NeedsUser, PublisherError, Rejected, Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.gcs_account import EMULATOR, SIGN_IN
from roar_publisher.storage.http import verdict
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.refusals import may_not_write, no_bucket_to_write

Document = TypeVar("Document", bound=Struct)
INCOMPLETE = 308
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,19})")


def judge_gcs(reply: Reply) -> Verdict:
    """Return the verdict by status. 308 means that a session expects more bytes."""
    return Verdict.ACCEPTED if reply.status == INCOMPLETE else verdict(reply)


class Resource(Struct, frozen=True, rename="camel"):
    """An object, as Google describes it. Numbers are texts there, and may be numbers in an emulator."""

    name: str = ""
    size: Annotated[int, Meta(ge=0)] = 0
    md5_hash: str | None = None
    metadata: dict[str, str] | None = None
    generation: int | None = None

    def stored(self) -> StoredObject:
        """Return what is known of the object. A composed one has no MD5."""
        checksum = f"md5:{self.md5_hash}" if self.md5_hash else ""
        tag = "" if self.generation is None else str(self.generation)
        return StoredObject(self.size, checksum, (self.metadata or {}).get("blake3", ""), tag)


class Page(Struct, frozen=True, rename="camel"):
    """One page of a listing."""

    items: list[Resource] | None = None
    next_page_token: str | None = None


NO_BUCKET = "bucket does not exist"
"""Part of what Google says in the place of an object whose bucket is missing."""


class Rewriting(Struct, frozen=True, rename="camel"):
    """How far a copy is, which takes several requests if the object is large."""

    done: bool = False
    total_bytes_rewritten: int = -1
    rewrite_token: str = ""


def read(reply: Reply, kind: type[Document]) -> Document:
    """Return the document in a reply. Raises Transient if there is none of this kind."""
    try:
        return msgspec.json.decode(reply.body, type=kind, strict=False)
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        raise not_gcs() from None


def bytes_in(reply: Reply) -> int:
    """Return how many bytes a session has, which expects more. None has a `Range`."""
    stated = _RANGE.fullmatch(reply.headers.get("range", ""))
    return int(stated[1]) + 1 if stated else 0


def words_in(reply: Reply) -> str:
    """Return the reason that a refusal states."""
    return error_text(parse(reply.body), reply.status)


def explain(reply: Reply, where: str) -> PublisherError:
    """Return the error for a final refusal. where: the destination."""
    if reply.status == 401:
        return NeedsUser(
            "the object store does not accept the Google credentials", next_step=SIGN_IN, reason=Reason.AUTH
        )
    if reply.status == 403:
        return may_not_write(where, words_in(reply))
    if reply.status == 404:
        return no_bucket_to_write(where)
    if not isinstance(parse(reply.body), dict):  # Google gives a reason; otherwise another server may have answered
        return not_gcs()
    return Rejected(f"the object store refused: {words_in(reply)}")


def not_gcs() -> Transient:
    """Return the error for an answer that is not Google's."""
    return Transient(
        "the object store's answer does not come from Google Cloud Storage",
        next_step=f"check {EMULATOR}, if it is set, or whether a proxy answers in its place",
        reason=Reason.NOT_GCS,
    )
