"""Verification of signed requests (`protocol.md §3`): the key, the signature, and a timestamp within `WINDOW` of now.

"Now" is the time of the check, after the whole request has arrived. Requests that arrive during a check are checked
together, in one call to the worker and with one read of the accounts.

A timestamp has a resolution of one second, and most keys sign deterministically. Equal requests of an honest client,
for example of several processes that ask for their identity in one second, can therefore be identical. A repeated
request is answered like the first one. Only a write that is not idempotent must not happen twice (`replays`).
"""

import re
from base64 import b64decode
from collections.abc import Callable, Sequence

import anyio
from msgspec import Struct, field

from roar_publisher.glaas.verifying import is_signature
from roar_publisher.registry.accounts.authority import CallRunner
from roar_publisher.registry.http.refusals import Refusal, unauthorized
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.keys import key_holder
from roar_publisher.registry.store.users import Accounts, User
from roar_publisher.registry.store.worker import for_several_clients

WINDOW = 300
"""Maximum difference in seconds between a signature's timestamp and the registry's clock, in either direction."""
_CREDENTIAL = re.compile(
    r'keyid="(?P<keyid>SHA256:[A-Za-z0-9+/]{43})"(?:,\s*|\s+)ts="(?P<ts>\d{1,12})"(?:,\s*|\s+)'
    r'(?:host="(?P<host>[a-z0-9.:\[\]_-]{1,262})"(?:,\s*|\s+))?sig="(?P<sig>[A-Za-z0-9+/=]{1,8192})"',
    re.ASCII,
)


class Signature(Struct, frozen=True):
    """A parsed `Signature` credential.

    `ts` is in Unix seconds. `blob` is the SSHSIG. `host` is the registry that it is for (`glaas.signature`), or None if
    it names none.
    """

    keyid: str
    ts: int
    blob: bytes
    host: str | None = None

    @classmethod
    def parse(cls, credential: str) -> "Signature | None":
        """Parse a credential; None if it is not a signature. Raises `Refusal` (401) if its base64 is invalid."""
        found = _CREDENTIAL.fullmatch(credential)
        if found is None:
            return None
        try:
            blob = b64decode(found["sig"], validate=True)
            return cls(found["keyid"], int(found["ts"]), blob, found["host"])
        except ValueError:
            raise unauthorized("the signature is not base64") from None


class Signed(Struct, frozen=True):
    """A signature with the payload that it should cover (`glaas.signature.signing_payload`)."""

    signature: Signature
    payload: bytes


_Verdict = User | Refusal


class _Group(Struct, eq=False):
    """Requests that are checked together, by the first of them. `verdicts` are in the order of the requests."""

    signed: list[Signed] = field(default_factory=list)
    verdicts: Sequence[_Verdict] = ()
    error: Exception | None = None
    checked: anyio.Event = field(default_factory=anyio.Event)


class Signatures:
    """Checks signed requests. `run` runs blocking calls. `clock` returns Unix seconds."""

    def __init__(self, accounts: Accounts, run: CallRunner, clock: Callable[[], float]) -> None:
        self._accounts = accounts
        self._run = run
        self._clock = clock
        self._gathering: _Group | None = None  # collects new requests while another group is checked
        self._one_at_a_time = anyio.Lock()

    async def signer(self, signed: Signed) -> User:
        """Return the user whose key made the signature.

        Raises `Refusal` (401) for a timestamp outside the window, an unknown key or an invalid signature, and whatever
        the accounts raise. A repeat returns the same verdict while the timestamp is in the window.
        """
        group = self._gathering
        if group is None:
            group = self._gathering = _Group()
        index = len(group.signed)
        group.signed.append(signed)
        if index == 0:
            with anyio.CancelScope(shield=True):  # other requests rely on it
                await self._check(group)
        else:
            await group.checked.wait()
        if group.error is not None:
            raise group.error
        verdict = group.verdicts[index]
        if isinstance(verdict, Refusal):
            raise verdict
        return verdict

    async def _check(self, group: _Group) -> None:
        async with self._one_at_a_time:
            self._gathering = None
            try:
                with for_several_clients():
                    group.verdicts = await self._run(lambda: self._verdicts(group.signed))
            except Exception as error:
                group.error = error
            finally:
                group.checked.set()

    def _verdicts(self, group: Sequence[Signed]) -> list[_Verdict]:
        now = self._clock()
        holders = self._accounts.read(_holders, {signed.signature.keyid for signed in group})
        return [_verdict(signed, holders[signed.signature.keyid], now) for signed in group]


def _holders(connection: Connection, keyids: set[str]) -> dict[str, tuple[User, str] | None]:
    return {keyid: key_holder(connection, keyid) for keyid in keyids}


def _verdict(signed: Signed, holder: tuple[User, str] | None, now: float) -> _Verdict:
    off = signed.signature.ts - now
    if abs(off) > WINDOW:
        direction = "ahead of" if off > 0 else "behind"
        return unauthorized(f"the signature's timestamp is {abs(off):.0f} s {direction} the registry's clock")
    if holder is None:
        return unauthorized(f"the key {signed.signature.keyid} is not known to this registry")
    user, public = holder
    if not is_signature(public, signed.payload, signed.signature.blob):
        return unauthorized("the signature does not match this request and this key, in the namespace glaas")
    return user
