"""Google Cloud Storage's replies: what they say of an object, and what its refusals mean."""

from collections.abc import Mapping
from typing import Any

from roar_publisher.net.documents import error_text, parse
from roar_publisher.net.exchange import Reply
from roar_publisher.net.policy import Verdict
from roar_publisher.state.errors import NeedsUser, PublisherError, Rejected, Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.gcs_account import SIGN_IN
from roar_publisher.storage.http import verdict
from roar_publisher.storage.readable import StoredObject
from roar_publisher.storage.refusals import may_not_write, no_such_bucket

INCOMPLETE = 308


def judge_gcs(reply: Reply) -> Verdict:
    """Return the verdict by status. 308 means that a session expects more bytes."""
    return Verdict.ACCEPTED if reply.status == INCOMPLETE else verdict(reply)


def object_in(reply: Reply) -> dict[str, Any]:
    """Return the JSON object in a reply. Raises Transient if there is none."""
    document = parse(reply.body)
    if not isinstance(document, dict):
        raise not_gcs()
    return document


def stored_in(found: Mapping[str, Any]) -> StoredObject:
    """Return the object that a resource describes. A composed object has no MD5."""
    md5 = found.get("md5Hash")
    blake3 = (found.get("metadata") or {}).get("blake3", "")
    return StoredObject(
        int(found.get("size", 0)), f"md5:{md5}" if md5 else "", blake3, str(found.get("generation", ""))
    )


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
        return no_such_bucket(where)
    if not isinstance(parse(reply.body), dict):  # Google gives a reason; otherwise another server may have answered
        return not_gcs()
    return Rejected(f"the object store refused: {words_in(reply)}")


def not_gcs() -> Transient:
    """Return the error for an answer that is not Google's."""
    return Transient("the object store's answer does not come from Google Cloud Storage", reason=Reason.NOT_GCS)
