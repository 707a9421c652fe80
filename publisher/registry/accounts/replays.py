"""Protection against replays of signed writes: a recorded request that is sent again.

Staging, opening and finalizing are idempotent, so repeating them is harmless. Label writes are not: an old label that
is sent again after a later change would undo that change. The check runs in the transaction of the write. If two equal
requests arrive at once, one takes effect and the other has nothing left to change.
"""

import hashlib
from http import HTTPStatus

from roar_publisher.registry.accounts.callers import Caller
from roar_publisher.registry.accounts.signatures import WINDOW, Signed
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.spent_signatures import spend_signature

REMEMBERED = 2 * WINDOW
"""Seconds from its timestamp until a signature is forgotten. It is refused `WINDOW` after its timestamp. The rest
covers requests that were accepted in time and still wait for their transaction."""


def refuse_replay(connection: Connection, caller: Caller, *, changed: bool, now: float) -> None:
    """Record that the caller's signature has written. Call this in the transaction of the write.

    `changed` says whether the write had an effect. `now` is in Unix seconds. Raises `Refusal` (425) if the same signed
    request has written before and has an effect again; the transaction must then be rolled back.
    """
    if caller.signed is None:
        return
    until = caller.signed.signature.ts + REMEMBERED
    is_new = spend_signature(connection, _digest(caller.signed), until=until, now=now)
    if changed and not is_new:
        raise Refusal(HTTPStatus.TOO_EARLY, "this signed request was sent before: sign it again")


def _digest(signed: Signed) -> bytes:
    # A hash of what was signed, not of the signature, because other valid signatures can be derived from one signature.
    return hashlib.sha256(f"{signed.signature.keyid}\n".encode() + signed.payload).digest()
