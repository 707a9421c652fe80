"""The authorizers of an authenticated publish: by bearer, or by SSH key."""

from collections import deque
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import anyio
from msgspec import Struct

from roar_publisher.auth.secret import Secret
from roar_publisher.auth.sshkey import SshSigner
from roar_publisher.auth.timestamps import Timestamps
from roar_publisher.auth.user_bearer import UserBearer
from roar_publisher.glaas.client import HEALTH, Refused, RegistryClient
from roar_publisher.glaas.features import Health
from roar_publisher.glaas.signature import signature_host

REMEMBERED = 256
"""For how many headers it is known in which form they were made: for more than there can be requests at once."""


class BearerAuthorizer:
    """Authorizes requests with the user's bearer. identity: the one that the publish began with."""

    def __init__(self, bearer: UserBearer, client: RegistryClient, identity: str | None) -> None:
        self._bearer = bearer
        self._client = client
        self._identity = identity

    async def header(self, method: str, path: str, body: bytes | None) -> str:
        return await self._bearer.header(self._client, self._identity)

    async def renew(self, rejected: str) -> bool:
        return await self._bearer.renew(Secret(rejected.removeprefix("Bearer ")), self._client)


class Form(Struct, frozen=True):
    """The form of one signature.

    before: what stands before the path below the registry's address. host: None if the signature names none.
    """

    before: str
    host: str | None


class SignedForm:
    """Finds out, for all requests of one run, in which form the registry reads signatures.

    The path: the server checks the path that it receives (protocol.md §3). If the registry's own address has a path,
    `https://host/base`, a proxy that strips the base passes on the path below it, which is what roar-cli signs; other
    proxies pass on the full path. The path without the base is tried first, then the full path.

    The host: it is named if the registry says that it checks it (`glaas.signature`). What an earlier process was told
    may have changed with the registry's release or its proxy. So it is asked again, once, if a signature is rejected.
    """

    def __init__(self) -> None:
        self._before = ""
        self._confirmed = False
        self._checks_host: bool | None = None  # None: not known yet
        self._asked = False  # by this process
        self._changing = anyio.Lock()
        self._made: deque[tuple[str, Form]] = deque(maxlen=REMEMBERED)

    def recall(self, checks_host: bool) -> None:
        """Store what an earlier process was told of the host."""
        self._checks_host = checks_host

    def learn(self, checks_host: bool) -> None:
        """Store what the registry has now said of the host."""
        self._checks_host, self._asked = checks_host, True

    def confirm(self) -> None:
        """Keep the present path, because the registry accepted a signature."""
        self._confirmed = True

    async def present(self, client: RegistryClient) -> Form:
        """Return the form to sign in. Asks the registry about the host if nothing is known yet."""
        if self._checks_host is None:
            await self._ask(client)
        return self._form(client)

    def note(self, header: str, form: Form) -> None:
        """Remember in which form a header was made."""
        self._made.append((header, form))

    async def change(self, rejected: str, client: RegistryClient) -> bool:
        """Return whether the present form is another one than that of the header `rejected`, which got a 401.

        Changes it if there is another one to be tried. Of several requests that are rejected together, one does so.
        """
        async with self._changing:
            present = self._form(client)
            made = next((form for header, form in self._made if header == rejected), present)
            if made == present and not self._asked:
                await self._ask(client)
            if made == self._form(client) and not self._confirmed:
                self._before = base_path(client.registry)
            return made != self._form(client)

    def _form(self, client: RegistryClient) -> Form:
        return Form(self._before, signature_host(client.registry) if self._checks_host else None)

    async def _ask(self, client: RegistryClient) -> None:
        try:
            health = await client.call("GET", HEALTH, expect=Health, without_slot=True)
            self.learn(health.features.ssh_signature_host)
        except Refused:  # an older registry
            self.learn(False)


class SshAuthorizer:
    """Authorizes requests with signatures of an SSH key.

    signer: returns the key's signer.
    form: of the run's signatures.
    on_rejected: called when the registry does not accept the key.
    """

    def __init__(
        self,
        signer: Callable[[], Awaitable[SshSigner]],
        form: SignedForm,
        client: RegistryClient,
        timestamps: Timestamps,
        clock: Callable[[], float],
        on_rejected: Callable[[], None],
    ) -> None:
        self._signer = signer
        self._form = form
        self._client = client
        self._timestamps = timestamps
        self._clock = clock
        self._on_rejected = on_rejected

    async def header(self, method: str, path: str, body: bytes | None) -> str:
        signer, form = await self._signer(), await self._form.present(self._client)
        path = form.before + path
        second = self._timestamps.for_request(method, path, body, int(self._clock()))
        header = await signer.sign(method, path, body, second, form.host)
        self._form.note(header, form)
        return header

    async def renew(self, rejected: str) -> bool:
        if await self._form.change(rejected, self._client):
            return True
        self._on_rejected()
        return False


def base_path(registry: str) -> str:
    """Return the path that the registry's address has before `/api`; usually empty."""
    return urlsplit(registry).path.rstrip("/")
