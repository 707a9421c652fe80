"""People of a registry, the credentials that they show, and requests that carry them."""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import asyncssh
import httpx2

from roar_publisher.glaas.signature import authorization, fingerprint, signing_payload
from roar_publisher.registry.accounts import grants, public_keys
from roar_publisher.registry.accounts.grants import Tokens
from roar_publisher.registry.store import keys
from roar_publisher.registry.store import users as accounts
from roar_publisher.registry.store.users import Accounts, User

Clock = Callable[[], float]
SPREAD = 200
"""Seconds on either side of now among which the signatures of one client are spread."""


@dataclass
class Person:
    """A user with an SSH key and a sign-in."""

    user: User
    tokens: Tokens
    key: asyncssh.SSHKey
    clock: Clock

    @property
    def bearer(self) -> str:
        """The header of the sign-in."""
        return f"Bearer {self.tokens.access_token}"

    @property
    def keyid(self) -> str:
        """The key's fingerprint."""
        return fingerprint(self.key.public_data)

    def signed(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        ts: float | None = None,
        namespace: str = "glaas",
        host: str | None = None,
    ) -> str:
        """The header that signs a request.  ts: Unix seconds; now, unless it is given.  host: as `signing_payload`."""
        at = int(self.clock() if ts is None else ts)
        payload = signing_payload(at, method, path, body, host)
        blob = asyncssh.create_sshsig(self.key, payload, namespace=namespace, raw=True)
        return authorization(self.keyid, at, blob, host)


def add_person(
    store: Accounts,
    name: str,
    clock: Clock,
    *,
    sub: str | None = None,
    user_id: str | None = None,
    email: str | None = None,
) -> Person:
    """A new user with a new key and a new sign-in.  email: NAME@example.org, unless it is given."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    email = f"{name}@example.org" if email is None else email
    user = store.write(accounts.add_user, name, email=email, sub=sub, user_id=user_id)
    store.write(keys.add_key, name, public_keys.parse_key(key.export_public_key().decode()))
    _, tokens = store.write(grants.issue, name, now=clock())
    return Person(user, tokens, key, clock)


class Bearer(httpx2.Auth):
    """Shows a person's bearer with each request of a client."""

    def __init__(self, person: Person) -> None:
        self._person = person

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """The client library's hook."""
        request.headers["Authorization"] = self._person.bearer
        yield request


class Ssh(httpx2.Auth):
    """Signs each request of a client, each for another second: the same request may be sent twice."""

    requires_request_body = True

    def __init__(self, person: Person) -> None:
        self._person = person
        self._sent = 0

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """The client library's hook."""
        self._sent += 1
        ts = self._person.clock() - SPREAD + self._sent % (2 * SPREAD)
        target = request.url.raw_path.decode("ascii")
        request.headers["Authorization"] = self._person.signed(request.method, target, request.content, ts=ts)
        yield request
