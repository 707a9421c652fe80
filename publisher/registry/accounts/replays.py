"""Signed writes that must not take effect twice: a request that somebody has recorded and sends again.

Staging, opening and finalizing are idempotent, and repeating them is harmless.  A label is not: sent again after a
later change, an old label would undo that change.  The check is made in the transaction of the write, so of two equal
requests at once one takes effect and the other finds that nothing is left to do.
"""

import hashlib
import sqlite3
from http import HTTPStatus

from roar_publisher.registry.accounts.callers import Caller
from roar_publisher.registry.accounts.signatures import WINDOW, Signed
from roar_publisher.registry.http.refusals import Refusal

REMEMBERED = 2 * WINDOW
"""Seconds after its timestamp until a signature is forgotten.  It is refused `WINDOW` after its timestamp; the rest is
for requests that were accepted in time and wait for their transaction."""


def refuse_replay(connection: sqlite3.Connection, caller: Caller, *, changed: bool, now: float) -> None:
    """Note that the caller's signature has written; to be called in the transaction that did.

    changed: whether the write had an effect.  now: Unix seconds.  Raises `Refusal` (425) where the same signed request
    has written before and has an effect again, which the transaction then undoes.
    """
    if caller.signed is None:
        return
    connection.execute("DELETE FROM spent_signatures WHERE until < ?", (now,))
    spent = (_digest(caller.signed), caller.signed.signature.ts + REMEMBERED)
    inserted = connection.execute(
        "INSERT INTO spent_signatures (digest, until) VALUES (?, ?) ON CONFLICT DO NOTHING", spent
    ).rowcount
    if changed and inserted != 1:
        raise Refusal(HTTPStatus.TOO_EARLY, "this was signed and sent before: sign it anew")


def _digest(signed: Signed) -> bytes:
    # Of what was signed, not of the signature: from one signature others can be made that are valid too.
    return hashlib.sha256(f"{signed.signature.keyid}\n".encode() + signed.payload).digest()
