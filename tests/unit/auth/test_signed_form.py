"""After a 401, a signature is made in another form if there is one, for each of several requests, and on a resume."""

import re
from collections.abc import Callable

import anyio
import httpx2
import pytest

from roar_publisher.auth.authorizers import SignedForm, SshAuthorizer
from roar_publisher.auth.sshkey import SshSigner
from roar_publisher.auth.timestamps import Timestamps
from roar_publisher.glaas.client import Refused, RegistryClient
from roar_publisher.glaas.replies import AnyReply
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.tasks import task_group
from tests.support.engine.publishing import NoJitter

BASE = "/glaas"
ORIGIN = "https://registry.example"
SIGNED = re.compile(r"Signed (?P<path>\S+) for (?P<host>\S+)")


class Signer(SshSigner):
    """Writes into the header what it would sign."""

    def __init__(self) -> None:
        pass

    async def sign(self, method: str, path: str, body: bytes | None, second: int, host: str | None = None) -> str:
        return f"Signed {path} for {host}"


class Registry(httpx2.AsyncBaseTransport):
    """Accepts signatures of one form, and answers only once `together` requests have come.

    reads: returns whether it reads a signature for this path and host, given the path below its address.
    checks_host: what its `GET /health` says.
    """

    def __init__(self, reads: Callable[[str, str, str], bool], *, checks_host: bool = False, together: int = 1) -> None:
        self.health = 0
        self.accepted = self.refused = 0
        self._reads, self._checks_host, self._missing = reads, checks_host, together
        self._all_there = anyio.Event()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/health"):
            self.health += 1
            return httpx2.Response(200, json={"features": {"ssh_signature_host": self._checks_host}})
        self._missing -= 1
        if self._missing <= 0:
            self._all_there.set()
        await self._all_there.wait()
        signed = SIGNED.fullmatch(request.headers["authorization"])
        assert signed is not None
        known = self._reads(request.url.path.removeprefix(BASE), signed["path"], signed["host"])
        self.accepted += known
        self.refused += not known
        return httpx2.Response(200 if known else 401, json={"detail": "x"})


async def ask(registry: Registry, form: SignedForm, address: str, times: int = 1) -> tuple[int, int]:
    """Send so many requests at once. Return how many were refused, and how often the key was called rejected."""
    refused = rejected = 0

    def count() -> None:
        nonlocal rejected
        rejected += 1

    async def signer() -> SshSigner:
        return Signer()

    async with RegistryConnection(address, transport=registry) as connection:
        client = RegistryClient(connection, patience=0, rng=NoJitter(), clock=lambda: 0.0, report=lambda report: None)
        # A first answer lets the others go together. Without a slot: its time would set the limit of their number.
        await client.call("GET", "/api/v1/health", expect=AnyReply, without_slot=True)
        registry.health = 0
        authorizer = SshAuthorizer(signer, form, client, Timestamps(), lambda: 0.0, count)

        async def one(number: int) -> None:
            nonlocal refused
            try:
                await client.call("GET", f"/api/v1/{number}", expect=AnyReply, authorize=authorizer)
            except Refused:
                refused += 1

        async with task_group() as tasks:
            for number in range(times):
                tasks.start_soon(one, number)
    return refused, rejected


def resumed(checked_host: bool) -> SignedForm:
    form = SignedForm()
    form.recall(checked_host)
    return form


@pytest.mark.parametrize("checks_host", [False, True])
@pytest.mark.parametrize("before", ["", BASE])
@pytest.mark.anyio
async def test_each_of_several_requests_is_signed_for_the_other_path(before: str, checks_host: bool) -> None:
    registry = Registry(lambda path, signed, host: signed == before + path, checks_host=checks_host, together=4)
    assert await ask(registry, resumed(checks_host), ORIGIN + BASE, 4) == (0, 0)
    assert (registry.accepted, registry.refused) == (4, 4 if before else 0)


@pytest.mark.parametrize("base", ["", BASE])
@pytest.mark.parametrize(("was", "now"), [(True, False), (False, True)])
@pytest.mark.anyio
async def test_a_resumed_publish_asks_again_whether_the_host_is_checked(was: bool, now: bool, base: str) -> None:
    host = "registry.example" if now else "None"
    registry = Registry(lambda path, signed, named: (signed, named) == (base + path, host), checks_host=now, together=4)
    assert await ask(registry, resumed(was), ORIGIN + base, 4) == (0, 0)
    assert (registry.accepted, registry.health) == (4, 1)


@pytest.mark.anyio
async def test_what_is_accepted_asks_nothing() -> None:
    registry = Registry(lambda path, signed, host: True)
    assert await ask(registry, resumed(True), ORIGIN, 4) == (0, 0)
    assert (registry.accepted, registry.health) == (4, 0)


@pytest.mark.parametrize("address", [ORIGIN, ORIGIN + BASE])
@pytest.mark.anyio
async def test_a_key_that_is_not_accepted_in_any_form_is_rejected(address: str) -> None:
    registry = Registry(lambda path, signed, host: False, checks_host=True)
    form = resumed(True)
    assert await ask(registry, form, address, 4) == (4, 4)
    assert registry.refused == (8 if address != ORIGIN else 4)
    assert await ask(registry, form, address) == (1, 1)
    assert registry.health == 0, "the registry was asked once"


@pytest.mark.anyio
async def test_a_path_that_was_accepted_is_kept() -> None:
    registry = Registry(lambda path, signed, host: False)
    form = resumed(False)
    form.confirm()
    assert await ask(registry, form, ORIGIN + BASE) == (1, 1)
    assert registry.refused == 1
