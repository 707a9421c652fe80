"""The authorizers of an authenticated publish: by bearer, or by SSH key."""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from roar_publisher.auth.secret import Secret
from roar_publisher.auth.sshkey import SshSigner
from roar_publisher.auth.timestamps import Timestamps
from roar_publisher.auth.user_bearer import UserBearer
from roar_publisher.glaas.client import HEALTH, Refused, RegistryClient
from roar_publisher.glaas.features import Health
from roar_publisher.glaas.signature import signature_host


class BearerAuthorizer:
    """Authorizes requests with the user's bearer. identity: the one that the publish began with."""

    def __init__(self, bearer: UserBearer, caller: RegistryClient, identity: str | None) -> None:
        self._bearer = bearer
        self._caller = caller
        self._identity = identity

    async def header(self, method: str, path: str, body: bytes | None) -> str:
        return await self._bearer.header(self._caller, self._identity)

    async def renew(self, rejected: str) -> bool:
        return await self._bearer.renew(Secret(rejected.removeprefix("Bearer ")), self._caller)


class SignedPath:
    """The path to sign when the registry's own address has a path: `https://host/base`.

    The server checks the path that it receives (protocol.md §3). A proxy that strips the base passes on the path below
    it, which is what roar-cli signs; other proxies pass on the full path. The path without the base is tried first,
    then the full path.
    """

    def __init__(self) -> None:
        self._before = ""
        self._confirmed = False

    def of(self, path: str) -> str:
        """Return the path to sign for a path below the registry's address."""
        return self._before + path

    def confirm(self) -> None:
        """Keep the present choice, because the registry accepted a signature."""
        self._confirmed = True

    def try_other(self, registry: str) -> bool:
        """Switch to the other path after a signature was rejected. Return whether there is one."""
        base = base_path(registry)
        if self._confirmed or self._before or not base:
            return False
        self._before = base
        return True


class SignedHost:
    """The host that a signature names: the registry's if the registry checks it (`glaas.signature`), or none."""

    def __init__(self) -> None:
        self._checked: bool | None = None  # by the registry; None: not known yet

    def learn(self, checked: bool) -> None:
        """Store what the registry has advertised."""
        self._checked = checked

    async def of(self, caller: RegistryClient) -> str | None:
        """Return the host to name in a signature for this registry. Asks the registry once if it is not known yet."""
        if self._checked is None:
            try:
                health = await caller.call("GET", HEALTH, expect=Health, without_slot=True)
                self.learn(health.features.ssh_signature_host)
            except Refused:  # an older registry
                self.learn(False)
        return signature_host(caller.registry) if self._checked else None


class SshAuthorizer:
    """Authorizes requests with signatures of an SSH key.

    signer: returns the key's signer.
    host: returns the host that the signature names (`SignedHost`).
    on_rejected: called when the registry does not accept the key.
    """

    def __init__(
        self,
        signer: Callable[[], Awaitable[SshSigner]],
        host: Callable[[], Awaitable[str | None]],
        registry: str,
        signed: SignedPath,
        timestamps: Timestamps,
        clock: Callable[[], float],
        on_rejected: Callable[[], None],
    ) -> None:
        self._signer = signer
        self._host = host
        self._registry = registry
        self._signed = signed
        self._timestamps = timestamps
        self._clock = clock
        self._on_rejected = on_rejected

    async def header(self, method: str, path: str, body: bytes | None) -> str:
        signer, host, path = await self._signer(), await self._host(), self._signed.of(path)
        second = self._timestamps.for_request(method, path, body, int(self._clock()))
        return await signer.sign(method, path, body, second, host)

    async def renew(self, rejected: str) -> bool:
        if self._signed.try_other(self._registry):
            return True
        self._on_rejected()
        return False


def base_path(registry: str) -> str:
    """Return the path that the registry's address has before `/api`; usually empty."""
    return urlsplit(registry).path.rstrip("/")
