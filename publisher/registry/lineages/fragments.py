"""Fragment sessions: what workers on a Ray or Kubernetes cluster recorded, until the submitter fetches it.

A submitter opens a session under a name and the SHA-256 of a token that it made up. Every worker with the token appends
batches, and the submitter reads them. roar-cli encrypts a batch with the token as the key, so what is stored here is
opaque; the token itself is compared and never stored. A session expires; its batches are then kept for `KEPT_SECONDS`,
and holders of the token may renew it, because a submitter may come back late. Sessions are no part of any lineage.
"""

import hashlib
import hmac
from http import HTTPStatus

from roar_publisher.guarded import Guarded
from roar_publisher.registry.http.bounds import REPLY_BYTES, up_to_size
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store import fragments
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.fragments import FragmentBatch, FragmentSession

SHORTEST_SECONDS, LONGEST_SECONDS = 60, 7 * 24 * 3600
"""Bounds of a session's time to live. Shorter and longer ones are moved to them."""
KEPT_SECONDS = 3 * 24 * 3600
"""Seconds for which an expired session can be renewed."""
MOST_BATCHES, MOST_BYTES = 20_000, 64 * 1024 * 1024
"""Maximum batches of one session, and bytes of their texts together."""
BATCHES_AT_ONCE = 500


class FragmentAccess(Guarded, frozen=True):
    """A request with a session's token. `now` is in Unix seconds."""

    HIDDEN = ("token",)
    name: str
    token: str
    now: float


def open_session(
    connection: Connection, name: str, owner: str, token_hash: str, seconds: float, now: float
) -> tuple[float, bool]:
    """Open a session. Return when it expires, and whether it is new. Repeating it returns the same session.

    Raises `Refusal` (409) if the name is taken by a session with another token or owner.
    """
    expires_at = now + _bounded(seconds)
    if fragments.insert_session(connection, name, owner, token_hash, expires_at):
        return expires_at, True
    known = fragments.find_session(connection, name)
    assert known is not None
    if known.owner != owner or not hmac.compare_digest(known.token_hash, token_hash):
        raise Refusal(HTTPStatus.CONFLICT, "a fragment session with this id exists already")
    return known.expires_at, False


def renew(connection: Connection, access: FragmentAccess, seconds: float) -> float:
    """Let a session expire later, never earlier, also if it has expired. Return when.

    Raises `Refusal` (404) as `find_session`.
    """
    session = find_session(connection, access)
    expires_at = max(session.expires_at, access.now + _bounded(seconds))
    fragments.set_expiry(connection, session.id, expires_at)
    return expires_at


def append(connection: Connection, access: FragmentAccess, sequence: int, text: str) -> None:
    """Append a batch. Several workers number their batches independently.

    Raises `Refusal`: as `live_session`, and 409 if the session is full.
    """
    session = live_session(connection, access)
    if session.batches >= MOST_BATCHES or session.bytes + len(text) > MOST_BYTES:
        raise Refusal(HTTPStatus.CONFLICT, "this fragment session is full: open another one")
    fragments.insert_batch(connection, session, sequence, text)


def page(connection: Connection, session_id: int, after: int) -> list[FragmentBatch]:
    """Return batches of a session after a number: as many as fit in `REPLY_BYTES`, but at least one if there is any."""
    batches = fragments.batches_after(connection, session_id, after, BATCHES_AT_ONCE)
    return up_to_size(batches, REPLY_BYTES, lambda batch: len(batch.text))


def find_session(connection: Connection, access: FragmentAccess) -> FragmentSession:
    """Return the session that the token belongs to. Raises `Refusal` (404) if there is none with this name and token.

    A wrong token gets the same reply as a missing session, and so does a session that is not kept any more: a part of
    its batches may be deleted already.
    """
    session = fragments.find_session(connection, access.name)
    token_hash = hashlib.sha256(access.token.encode()).hexdigest()
    if session is None or not hmac.compare_digest(session.token_hash, token_hash) or not _is_kept(session, access.now):
        raise Refusal(HTTPStatus.NOT_FOUND, "there is no fragment session with this id and token")
    return session


def live_session(connection: Connection, access: FragmentAccess) -> FragmentSession:
    """Like `find_session`. Raises `Refusal` (403) if the session has expired, after which roar-cli renews it."""
    session = find_session(connection, access)
    if session.expires_at <= access.now:
        raise Refusal(HTTPStatus.FORBIDDEN, "this fragment session has expired: renew it")
    return session


def _is_kept(session: FragmentSession, now: float) -> bool:
    return session.expires_at >= now - KEPT_SECONDS


def _bounded(seconds: float) -> float:
    return min(max(seconds, SHORTEST_SECONDS), LONGEST_SECONDS)
