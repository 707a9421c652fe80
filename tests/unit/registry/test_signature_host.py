"""Signatures that name their host: a registry takes none that was made for another one."""

import time
from pathlib import Path

import httpx2
import pytest

from roar_publisher.glaas.signature import authorization, signature_host, signing_payload
from roar_publisher.registry.accounts.signatures import Signature
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.names import Names
from roar_publisher.registry.store.users import Accounts
from tests.support.registry.harness import Registry, make_registry, refused, succeeded
from tests.support.registry.people import add_person
from tests.support.registry.processes import PATIENCE, served

pytestmark = pytest.mark.anyio

ME = "/api/v1/auth/me"
LISTENING = Names("127.0.0.1", 8123)
EVERYWHERE = Names("0.0.0.0", 8123, machine="buildbox")
PUBLIC = Names("127.0.0.1", 8123, ("https://registry.example.org", "http://lab:8080"))
PROXIED = Names("127.0.0.1", 8123, proxied=True)


def registry_called(store: Store, names: Names | None, reached_at: str = "127.0.0.1") -> Registry:
    """A registry whose socket has the address `reached_at`, whatever the `Host` header says."""
    registry = make_registry(store, names=names)
    registry.client.base_url = httpx2.URL(f"http://{reached_at}:8123")
    return registry


@pytest.mark.parametrize(
    ("names", "reached_at", "host"),
    [
        (LISTENING, "127.0.0.1", "127.0.0.1:8123"),
        (LISTENING, "127.0.0.1", "localhost:8123"),
        (LISTENING, "127.0.0.1", "[::1]:8123"),
        (Names("127.0.0.1", 80), "127.0.0.1", "localhost"),
        (EVERYWHERE, "192.0.2.5", "192.0.2.5:8123"),
        (EVERYWHERE, "192.0.2.5", "buildbox:8123"),
        (EVERYWHERE, "127.0.1.1", "buildbox:8123"),  # as /etc/hosts of Debian has the machine's own name
        (EVERYWHERE, "127.0.0.1", "localhost:8123"),
        (PUBLIC, "127.0.0.1", "registry.example.org"),
        (PUBLIC, "127.0.0.1", "lab:8080"),
    ],
)
async def test_a_signature_for_this_registry_is_taken(store: Store, names: Names, reached_at: str, host: str) -> None:
    registry = registry_called(store, names, reached_at)
    header = registry.person("alice").signed("GET", ME, host=host)
    async with registry.client:
        for form in (header, header.replace(", ", " "), header.replace(", ", ",")):
            succeeded(await registry.client.get(ME, headers={"Authorization": form}))


@pytest.mark.parametrize(
    ("names", "reached_at", "host"),
    [
        (LISTENING, "127.0.0.1", "evil.example"),
        (LISTENING, "127.0.0.1", "localhost:9000"),  # another registry on this machine, another user's perhaps
        (LISTENING, "127.0.0.1", "localhost"),
        (LISTENING, "127.0.0.1", "127.0.0.2:8123"),
        (Names("127.0.0.1", 8123, machine="buildbox"), "127.0.0.1", "buildbox:8123"),
        (EVERYWHERE, "192.0.2.5", "192.0.2.6:8123"),
        (EVERYWHERE, "192.0.2.5", "localhost:8123"),  # of the client's machine, not of this one
        (EVERYWHERE, "192.0.2.5", "0.0.0.0:8123"),
        (PUBLIC, "127.0.0.1", "registry.example.org:8080"),
        (PUBLIC, "127.0.0.1", "127.0.0.1:8123"),  # behind a proxy, all clients seem to be on this machine
        (PUBLIC, "127.0.0.1", "lab"),
        (PROXIED, "127.0.0.1", "127.0.0.1:8123"),
        (None, "127.0.0.1", "127.0.0.1:8123"),
    ],
)
async def test_a_signature_for_another_registry_is_refused_when_it_is_relayed(
    store: Store, names: Names | None, reached_at: str, host: str
) -> None:
    """A relay writes the `Host` header as it pleases."""
    registry = registry_called(store, names, reached_at)
    header = registry.person("alice").signed("GET", ME, host=host)
    async with registry.client:
        for sent in ({}, {"Host": host}, {"Host": "localhost:8123"}):
            answer = await registry.client.get(ME, headers={"Authorization": header, **sent})
            assert answer.status_code in (401, 421), answer.text
        assert host in refused(await registry.client.get(ME, headers={"Authorization": header}), 401)


async def test_the_host_can_be_neither_taken_away_nor_replaced(store: Store) -> None:
    registry = registry_called(store, LISTENING)
    alice = registry.person("alice")
    foreign = alice.signed("GET", ME, host="evil.example")
    own = alice.signed("GET", ME, host="localhost:8123")
    forgeries = [
        foreign.replace(' host="evil.example",', ""),
        foreign.replace("evil.example", "localhost:8123"),
        own.replace("localhost:8123", "127.0.0.1:8123"),
        own.replace('host="', 'host="evil.example", host="'),
        own.replace("localhost", "LOCALHOST"),
        alice.signed("GET", ME).replace(" sig=", ' host="localhost:8123" sig='),
    ]
    async with registry.client:
        for forgery in forgeries:
            refused(await registry.client.get(ME, headers={"Authorization": forgery}), 401)
        succeeded(await registry.client.get(ME, headers={"Authorization": own}))


async def test_a_signature_without_a_host_is_taken_because_roar_cli_makes_such(store: Store) -> None:
    for name, names in {"in process": None, "listening": LISTENING, "public": PUBLIC}.items():
        registry = registry_called(store, names)
        header = registry.person(name).signed("GET", ME)
        async with registry.client:
            succeeded(await registry.client.get(ME, headers={"Authorization": header}))


@pytest.mark.parametrize(
    ("names", "advertised"), [(LISTENING, True), (PUBLIC, True), (EVERYWHERE, True), (PROXIED, False), (None, False)]
)
async def test_it_is_advertised_if_the_registry_knows_its_hosts(
    store: Store, names: Names | None, advertised: bool
) -> None:
    registry = registry_called(store, names)
    async with registry.client:
        features = succeeded(await registry.client.get("/api/v1/health"))["features"]
    assert features.get("ssh_signature_host", False) is advertised


def test_a_served_registry_takes_its_own_address_and_no_other(tmp_path: Path) -> None:
    with served(tmp_path / "data") as url:
        accounts = Accounts.open(tmp_path / "data")
        alice = add_person(accounts, "alice", time.time)
        accounts.close()
        assert succeeded(httpx2.get(f"{url}/api/v1/health", timeout=PATIENCE))["features"]["ssh_signature_host"] is True

        def status(host: str | None) -> int:
            header = {"Authorization": alice.signed("GET", ME, host=host)}
            return httpx2.get(f"{url}{ME}", headers=header, timeout=PATIENCE).status_code

        port = url.rpartition(":")[2]
        hosts = [signature_host(url), f"localhost:{port}", None, f"evil.example:{port}", "localhost:1"]
        assert [status(host) for host in hosts] == [200, 200, 200, 401, 401]


def test_parsing_returns_the_written_signature() -> None:
    for host in (None, "registry.example.org", "[::1]:8123"):
        header = authorization("SHA256:" + 43 * "a", 17, b"blob", host)
        parsed = Signature.parse(header.removeprefix("Signature "))
        assert parsed == Signature("SHA256:" + 43 * "a", 17, b"blob", host)
        assert signing_payload(17, "GET", ME, None, host).endswith((host or ME).encode())
