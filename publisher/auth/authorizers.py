"""What signs the requests of an authenticated publish: a bearer, or an SSH key."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from roar_publisher.auth.own_bearer import OwnBearer
from roar_publisher.auth.secret import Secret
from roar_publisher.auth.sshkey import SshSigner
from roar_publisher.auth.timestamps import Timestamps
from roar_publisher.glaas.caller import HEALTH, Caller, Refused
from roar_publisher.glaas.features import Health
from roar_publisher.glaas.signature import signature_host


class BearerAuthorizer:
    """identity: whom the publish began as."""

    def __init__(self, bearer: OwnBearer, caller: Caller, identity: str | None) -> None:
        self._bearer = bearer
        self._caller = caller
        self._identity = identity

    async def header(self, method: str, path: str, body: bytes | None) -> str:
        return await self._bearer.header(self._caller, self._identity)

    async def renew(self, rejected: str) -> bool:
        return await self._bearer.renew(Secret(rejected.removeprefix("Bearer ")), self._caller)


class SignedPath:
    """Which path a signature speaks of, where the registry's own address has one: `https://host/base`.

    The server signs for the path that it sees (protocol.md §3).  A proxy that takes the base away shows it the path
    below it, which is what roar-cli signs; one that does not shows it all.  The first is tried, then the second.
    """

    def __init__(self) -> None:
        self._before = ""
        self._settled = False

    def of(self, path: str) -> str:
        """What to sign for a path below the registry's address."""
        return self._before + path

    def settle(self) -> None:
        """The registry accepted a signature: this is the right one."""
        self._settled = True

    def try_another(self, registry: str) -> bool:
        """After a signature was rejected: whether there is another path to sign, from now on."""
        base = base_path(registry)
        if self._settled or self._before or not base:
            return False
        self._before = base
        return True


class SignedHost:
    """Which host a signature names: that of a registry which says that it checks it (`glaas.signature`), else none."""

    def __init__(self) -> None:
        self._checked: bool | None = None  # by the registry; None: not known yet

    def learn(self, checked: bool) -> None:
        """What the registry has advertised."""
        self._checked = checked

    async def of(self, caller: Caller) -> str | None:
        """What to name in a signature for this registry, which is asked once where it is not known."""
        if self._checked is None:
            try:
                health = await caller.call("GET", HEALTH, expect=Health, beside_limit=True)
                self.learn(health.features.ssh_signature_host)
            except Refused:  # an older registry
                self.learn(False)
        return signature_host(caller.registry) if self._checked else None


class SshAuthorizer:
    """signer: gives the key.  host: gives what the signature names (`SignedHost`).

    turned_down: called when the registry does not accept the key.
    """

    def __init__(
        self,
        signer: Callable[[], Awaitable[SshSigner]],
        host: Callable[[], Awaitable[str | None]],
        registry: str,
        signed: SignedPath,
        timestamps: Timestamps,
        clock: Callable[[], float],
        turned_down: Callable[[], None],
    ) -> None:
        self._signer = signer
        self._host = host
        self._registry = registry
        self._signed = signed
        self._timestamps = timestamps
        self._clock = clock
        self._turned_down = turned_down

    async def header(self, method: str, path: str, body: bytes | None) -> str:
        signer, host, path = await self._signer(), await self._host(), self._signed.of(path)
        second = self._timestamps.for_request(method, path, body, int(self._clock()))
        return await signer.sign(method, path, body, second, host)

    async def renew(self, rejected: str) -> bool:
        if self._signed.try_another(self._registry):
            return True
        self._turned_down()
        return False


def base_path(registry: str) -> str:
    """What the registry's address has before `/api`, empty for most."""
    return urlsplit(registry).path.rstrip("/")
