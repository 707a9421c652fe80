"""Signed requests (`protocol.md §3`): who signed, within `WINDOW` of now, and never the same thing twice.

"Now" is the moment of the check, when the whole request has come; what was spent is forgotten by the same moment, so
nothing is good and forgotten at once, however slowly a body arrives.

All requests that arrive while others are being checked are checked together, in one trip to the worker: one look at the
accounts and one transaction for what they spend.  So a busy registry pays for them once, keys count as they are now,
and nothing that was spent is forgotten with the process.
"""

import hashlib
import re
import sqlite3
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

import anyio

from roar_publisher.registry.accounts import User
from roar_publisher.registry.authority import Run
from roar_publisher.registry.keys import key_holder
from roar_publisher.registry.refusals import Refusal, unaccepted
from roar_publisher.registry.verifying import is_signature

if TYPE_CHECKING:
    from roar_publisher.registry.store import Store

WINDOW = 300
"""Seconds that a signature's timestamp may be away from the registry's clock, on either side."""
_CREDENTIAL = re.compile(r'keyid="(SHA256:[A-Za-z0-9+/]{43})" ts="(\d{1,12})" sig="([A-Za-z0-9+/=]{1,8192})"', re.ASCII)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a `Signature` credential says.  ts: Unix seconds.  blob: the SSHSIG."""

    keyid: str
    ts: int
    blob: bytes

    @classmethod
    def parse(cls, credential: str) -> "Signature | None":
        """None for what is none.  Raises `Refusal` (401) for what cannot be decoded."""
        found = _CREDENTIAL.fullmatch(credential)
        if found is None:
            return None
        keyid, ts, encoded = found.groups()
        try:
            return cls(keyid, int(ts), b64decode(encoded, validate=True))
        except ValueError:
            raise unaccepted("the signature is no base64") from None


@dataclass(frozen=True, slots=True)
class _Signed:
    signature: Signature
    payload: bytes

    @property
    def spent(self) -> tuple[bytes, float]:
        """What is remembered, and until when (Unix seconds); afterwards its timestamp is refused anyway.

        It is what was signed, not the signature: of one signature others can be made that are valid too.
        """
        said = f"{self.signature.keyid}\n".encode() + self.payload
        return hashlib.sha256(said).digest(), self.signature.ts + WINDOW


_Verdict = User | Refusal


@dataclass(slots=True, eq=False)
class _Group:
    """Requests that are checked together; the first of them sees to it.  verdicts: in the order of the requests."""

    signed: list[_Signed] = field(default_factory=list)
    verdicts: Sequence[_Verdict] = ()
    trouble: Exception | None = None
    checked: anyio.Event = field(default_factory=anyio.Event)


class Signatures:
    """Checks signed requests.  run: how blocking calls are run.  clock: Unix seconds."""

    def __init__(self, store: "Store", run: Run, clock: Callable[[], float]) -> None:
        self._store = store
        self._run = run
        self._clock = clock
        self._gathering: _Group | None = None  # open to whoever comes while another group is checked
        self._one_at_a_time = anyio.Lock()

    async def signer(self, signature: Signature, payload: bytes) -> User:
        """Whose key has signed `payload`.

        Raises `Refusal`: 401 for another time, an unknown key and a bad signature, 425 where the same was accepted
        before; and what the store raises.  A caller that is cancelled has spent its signature all the same.
        """
        group = self._gathering
        if group is None:
            group = self._gathering = _Group()
        place = len(group.signed)
        group.signed.append(_Signed(signature, payload))
        if place == 0:
            with anyio.CancelScope(shield=True):  # others rely on it
                await self._check(group)
        else:
            await group.checked.wait()
        if group.trouble is not None:
            raise group.trouble
        verdict = group.verdicts[place]
        if isinstance(verdict, Refusal):
            raise verdict
        return verdict

    async def _check(self, group: _Group) -> None:
        async with self._one_at_a_time:
            self._gathering = None
            try:
                group.verdicts = await self._run(lambda: self._verdicts(group.signed))
            except Exception as trouble:
                group.trouble = trouble
            finally:
                group.checked.set()

    def _verdicts(self, group: Sequence[_Signed]) -> list[_Verdict]:
        now = self._clock()
        holders = self._store.accounts.read(_holders, {signed.signature.keyid for signed in group})
        verdicts = [_verdict(signed, holders[signed.signature.keyid], now) for signed in group]
        good = [place for place, verdict in enumerate(verdicts) if isinstance(verdict, User)]
        if good:
            fresh = self._store.write(_spend, [group[place].spent for place in good], now=now)
            for place, first in zip(good, fresh, strict=True):
                if not first:
                    verdicts[place] = Refusal(HTTPStatus.TOO_EARLY, "this was signed and sent before: sign it anew")
        return verdicts


def _holders(connection: sqlite3.Connection, keyids: set[str]) -> dict[str, tuple[User, str] | None]:
    return {keyid: key_holder(connection, keyid) for keyid in keyids}


def _verdict(signed: _Signed, holder: tuple[User, str] | None, now: float) -> _Verdict:
    off = signed.signature.ts - now
    if abs(off) > WINDOW:
        direction = "ahead of" if off > 0 else "behind"
        return unaccepted(f"the signature's timestamp is {abs(off):.0f} s {direction} the registry's clock")
    if holder is None:
        return unaccepted(f"the key {signed.signature.keyid} is unknown here")
    user, public = holder
    if not is_signature(public, signed.payload, signed.signature.blob):
        return unaccepted("the signature is not one of this request by this key, in the namespace glaas")
    return user


def _spend(connection: sqlite3.Connection, group: Sequence[tuple[bytes, float]], *, now: float) -> list[bool]:
    """Remember what was signed; for each whether it is the first of its kind."""
    connection.execute("DELETE FROM spent_signatures WHERE until < ?", (now,))
    return [
        connection.execute(
            "INSERT INTO spent_signatures (digest, until) VALUES (?, ?) ON CONFLICT DO NOTHING", spent
        ).rowcount
        == 1
        for spent in group
    ]
