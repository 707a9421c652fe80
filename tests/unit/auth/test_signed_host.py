"""A signature names the host that it is for, where the registry checks that."""

from base64 import b64decode
from functools import partial
from pathlib import Path

import anyio
import asyncssh
import httpx2
import pytest
from asyncssh.sshsig import import_allowed_signers

from roar_publisher.auth.choice import Decision
from roar_publisher.auth.keyring import Keyring
from roar_publisher.glaas.client import RegistryClient
from roar_publisher.glaas.replies import AnyReply
from roar_publisher.glaas.signature import signing_payload
from roar_publisher.net.connection import RegistryConnection
from roar_publisher.state.errors import NeedsUser
from tests.support.auth.openssh import make_key
from tests.support.engine.publishing import NoJitter
from tests.support.send_policies import policy_for

REGISTRY = "https://registry.example:8443"
NOW = 1_700_000_000
ME = "/api/v1/auth/me"


class Advertising(httpx2.AsyncBaseTransport):
    """A registry that says, or does not say, that it checks the host."""

    def __init__(self, features: object) -> None:
        self.features = features
        self.signed: list[str] = []
        self.asked_health = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path.endswith("/health"):
            self.asked_health += 1
            if self.features is None:
                return httpx2.Response(404, json={"detail": "not found"})
            return httpx2.Response(200, json={"status": "healthy", "features": self.features})
        self.signed.append(request.headers["authorization"])
        return httpx2.Response(200, json={"user": {"id": "u"}})


async def signed_requests(home: Path, transport: Advertising) -> None:
    keyring = Keyring({}, home, policy_for(REGISTRY, home=home), clock=lambda: float(NOW))
    async with RegistryConnection(REGISTRY, most_requests=1, transport=transport) as line:
        client = RegistryClient(line, patience=0, rng=NoJitter(), clock=lambda: 0.0, report=lambda report: None)
        for _ in range(2):
            await client.call("GET", ME, expect=AnyReply, authorize=await keyring.authorizer(Decision.SSH, client))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".ssh").mkdir(mode=0o700)
    make_key(tmp_path / ".ssh" / "id_ed25519", "ed25519")
    return tmp_path


@pytest.mark.parametrize("features", [{}, None, {"ssh_signature_host": "yes"}, {"ssh_signature_host": False}])
def test_an_older_registry_gets_the_signature_that_it_understands(home: Path, features: object) -> None:
    transport = Advertising(features)
    anyio.run(partial(signed_requests, home, transport))
    assert transport.asked_health == 1
    assert all("host=" not in header and '" ts="' in header for header in transport.signed)


def test_a_registry_that_checks_it_gets_a_signature_for_its_own_host(home: Path) -> None:
    transport = Advertising({"ssh_signature_host": True})
    anyio.run(partial(signed_requests, home, transport))
    assert transport.asked_health == 1
    fields = dict(part.strip().split("=", 1) for part in transport.signed[0].removeprefix("Signature ").split(","))
    assert fields["host"] == '"registry.example:8443"'
    blob = fields["sig"].strip('"')
    ts = int(fields["ts"].strip('"'))
    payload = signing_payload(ts, "GET", ME, None, "registry.example:8443")
    public = (home / ".ssh" / "id_ed25519.pub").read_text()
    signers = import_allowed_signers(f'user namespaces="glaas" {public}')
    signature = b64decode(blob)
    assert asyncssh.validate_sshsig(payload, signature, "user", signers)
    relayed = signing_payload(ts, "GET", ME, None, "another.example")
    assert not asyncssh.validate_sshsig(relayed, signature, "user", signers)


def test_a_key_signs_for_no_registry_that_was_not_accepted(home: Path) -> None:
    transport = Advertising({})

    async def attempt() -> None:
        policy = policy_for(REGISTRY, home=home, named_by_user=False, configured="https://own.example")
        keyring = Keyring({}, home, policy, clock=lambda: float(NOW))
        async with RegistryConnection(REGISTRY, most_requests=1, transport=transport) as line:
            client = RegistryClient(line, patience=0, rng=NoJitter(), clock=lambda: 0.0, report=lambda report: None)
            await keyring.authorizer(Decision.SSH, client)

    with pytest.raises(NeedsUser, match="have not accepted"):
        anyio.run(attempt)
    assert transport.signed == []
