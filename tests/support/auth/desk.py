"""Alice's desk: a captured project, a home with her credentials, and a registry of her own that knows her.

Every program runs as a process of its own, as she would run it.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from roar_publisher.auth.bearer_store import BearerStore
from roar_publisher.auth.trust import Issuer, TrustStore
from roar_publisher.net.address import origin_of
from roar_publisher.registry.store import users as accounts
from roar_publisher.registry.store.users import Accounts
from tests.support.auth.openssh import make_key
from tests.support.checkout import DATA
from tests.support.cli.program import Ended, Program, serving
from tests.support.lineage.captured import captured_project

CASES = json.loads((DATA / "auth-cases.json").read_text())
SUB, USER_ID = "sub-alice", "u-ssh"
"""Whom the recorded hashes name: the user by her bearer, and by her SSH key."""
BY_BEARER, BY_KEY, BY_NOBODY = f"treqs:user:{SUB}", f"glaas:user:{USER_ID}", "anonymous"


def recorded_hash(credential: str) -> str:
    """What roar-cli 0.4.7 reached for the project `linear` with `bearer`, `ssh` or `none`."""
    hashes = {case["finalized_hash"] for case in CASES if case["credential"] == credential and case["finalize"]}
    signed = {case["finalized_hash"] for case in CASES if case["credential"] == "none" and case["finalize"]}
    (found,) = hashes if credential == "none" else hashes - signed
    assert isinstance(found, str)
    return found


@dataclass(frozen=True)
class Desk:
    """Where Alice sits.  url: of the running registry, whose data are in `data`."""

    program: Program
    home: Path
    data: Path
    url: str

    def roar(self, *arguments: str) -> Ended:
        """Our program in her project, against her registry."""
        return self.program(*arguments)

    def publish(self, *arguments: str) -> dict[str, Any]:
        """`roar publish -y --json`, which must succeed; its `published` event."""
        done = self.roar("publish", "-y", "--json", *arguments)
        assert done.code == 0, done.out + done.err
        assert done.last["event"] == "published"
        return done.last

    def admin(self, *arguments: str) -> str:
        """`roar registry …` on the data of her registry; what it prints."""
        done = self.roar("registry", *arguments, "--data", str(self.data))
        assert done.code == 0, done.err
        return done.out.strip()

    def sign_in(self, name: str = "alice", *, seconds: int = 3600) -> None:
        """A sign-in file that the registry issues, for the address at which her programs see it."""
        self.auth_json.unlink(missing_ok=True)
        address = self.program.env["GLAAS_URL"]
        self.admin("token", "issue", name, "--ttl", str(seconds), "--auth-json", str(self.auth_json), "--url", address)

    def token(self, name: str = "alice") -> str:
        """A bearer token for the environment, or for a reader."""
        return self.admin("token", "issue", name)

    def make_key(self, *, passphrase: str = "") -> Path:
        """An SSH key in her home that the registry knows."""
        path = self.home / ".ssh" / "id_ed25519"
        path.parent.mkdir(mode=0o700)
        make_key(path, "ed25519", passphrase=passphrase)
        self.admin("key", "add", "alice", str(path.with_suffix(".pub")))
        return path

    def with_environment(self, **more: str) -> "Desk":
        """The same desk with more in the environment of its programs.

        With another address of her registry, she says that it is the one that signed her in.
        """
        there = origin_of(more.get("GLAAS_URL", ""))
        if there is not None and self.auth_json.exists():
            self.say_signed_in_at(there)
        return replace(self, program=replace(self.program, env=self.program.env | more))

    def say_signed_in_at(self, origin: str) -> None:
        """What `roar registry trust ORIGIN --sign-in` keeps, without a process."""
        present = BearerStore(self.auth_json).current()
        assert present is not None
        TrustStore(self.auth_json.with_name("registries.json")).record_issuer(Issuer(origin, present.digest))

    @property
    def auth_json(self) -> Path:
        return self.home / ".config" / "roar" / "auth.json"

    def read(self, lineage_hash: str, token: str = "") -> tuple[int, dict[str, Any]]:
        """Status and body of what a reader gets, with a bearer token or with nothing."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(f"{self.url}/api/v1/sessions/{lineage_hash}", headers=headers)
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def page(self, lineage_hash: str) -> int:
        """The status of the page that a stranger opens."""
        try:
            with urllib.request.urlopen(f"{self.url}/dag/{lineage_hash}") as reply:
                return int(reply.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


BEHIND_A_PROXY = ("--forwarded-allow-ips", "127.0.0.1")
"""Most tests put a `front` before the registry, whose address it does not know: it checks no host of a signature."""


@contextmanager
def registry(data: Path, *options: str) -> Iterator[str]:
    """`roar registry serve` on a free port; gives its address."""
    options = options or BEHIND_A_PROXY
    with serving("registry", "serve", "--data", str(data), *options) as line:
        address = line.split()[-1]
        assert address.startswith("http://127.0.0.1:")
        yield address


@contextmanager
def alices_desk(folder: Path, *options: str) -> Iterator[Desk]:
    """A desk in `folder` whose registry runs and knows Alice, who has no credential yet.

    options: of the registry; `BEHIND_A_PROXY` unless others are given.
    """
    data = folder / "registry"
    store = Accounts.open(data)
    store.write(accounts.add_user, "alice", email="alice@example.org", sub=SUB, user_id=USER_ID)
    store.close()
    with registry(data, *options) as url:
        # The second name is for `roar scope use`, which does not know the first.
        program = Program.within(captured_project("linear", folder), folder, GLAAS_URL=url, ROAR_GLAAS__URL=url)
        yield Desk(program, folder / "home", data, url)
