"""One publish with an identity, on virtual time: a registry that knows Alice, her home with her credentials, and a
credential that dies right before a chosen request.

A `World` outlives the processes that work on its publish; `World.live` is one of them. Every request is held to the
promise (nothing acknowledged is sent again) and to the identity (no other credential is shown than the one that the
publish began with).
"""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ParamSpec, TypeVar

import anyio
import asyncssh
import httpx2
import trio
from msgspec.structs import asdict, replace
from starlette.types import ASGIApp

from roar_publisher.auth.choice import Choice, Flag
from roar_publisher.auth.identity import is_key_identity
from roar_publisher.auth.keyring import Keyring
from roar_publisher.auth.scope import RepoScope
from roar_publisher.engine.run import Frontend, Resources
from roar_publisher.engine.worker import work
from roar_publisher.glaas.features import RegistrationSessionFeatures
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.registry.accounts import grants, public_keys
from roar_publisher.registry.accounts.signin_file import sign_in_document
from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.api.bulk import BulkFeatures
from roar_publisher.registry.data import Store
from roar_publisher.registry.store import keys, sign_ins
from roar_publisher.registry.store import users as accounts
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.errors import AlreadyExists
from roar_publisher.report import Report
from roar_publisher.state.errors import PublisherError
from roar_publisher.state.journal import Journal
from roar_publisher.state.lock import Lock
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.record import Progress
from tests.support.blocking import inline
from tests.support.faults.items import Item, acknowledged_items, items_of_request
from tests.support.faults.mortal import Crash, Life, MortalJournal
from tests.support.faults.simulation import COUNTS, Broken
from tests.support.lineages import REGISTRY, Lineage, plan_of
from tests.support.registry.features import BULK, PLAIN
from tests.support.sampling import chosen
from tests.support.send_policies import policy_for

P = ParamSpec("P")
T = TypeVar("T")

EPOCH = 1_700_000_000.0
"""Unix seconds at which every world begins."""
LATENCY = 0.05
"""Virtual seconds that a request takes."""
FEATURES = chosen("features of the registries of auth worlds", [PLAIN, BULK])
"""What the registries of this run can do."""
LAST_LINKS = "/links/batch" if FEATURES is BULK else "/outputs"
"""How the path of the last links ends."""
ALICE, BOB = "alice", "bob"
BY_BEARER, BY_KEY = "treqs:user:sub-alice", "glaas:user:u-alice"
"""Whom a lineage names that Alice publishes."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that reached the registry, and how it was answered.  scheme: of its `Authorization`; empty for none."""

    method: str
    path: str
    scheme: str
    status: int


class World(httpx2.AsyncBaseTransport):
    """What outlives a process; to the publish, the network.

    flag: what was asked for.  registry: the address that it was asked of.  people: whom the plan may
    name.  environ: what a process finds in its
    environment.  clock_ahead: seconds that the registry's clock is ahead of the publisher's.  agrees: whether the user
    agrees to an anonymous publish.  before: called before each request, with its number from 1.  instead: answers a
    request to a path instead of the registry where it returns a response.  mount: puts something before the registry.
    features: what the registry can do.
    """

    def __init__(
        self,
        root: Path,
        lineage: Lineage,
        flag: Flag,
        *,
        registry: str = REGISTRY,
        people: tuple[str, ...] = (BY_BEARER, BY_KEY),
        mount: Callable[[ASGIApp], ASGIApp] = lambda app: app,
        features: tuple[RegistrationSessionFeatures, BulkFeatures] = FEATURES,
    ) -> None:
        self.lineage = lineage
        self.registry = registry
        self.home = root / "home"
        self.folder = StateFolder(root / "state")
        self.environ: dict[str, str] = {}
        self.clock_ahead = 0.0
        self.store = Store.in_memory(b"s" * 32)
        self.sent: list[Sent] = []
        self.under_way = 0
        self.agrees = True
        self.before: Callable[[int], None] = lambda number: None
        self.instead: Callable[[str], httpx2.Response | None] = lambda path: None
        self.reports: list[Report] = []
        self._number = 0
        self._passed = 0.0
        self._acknowledged: set[Item] = set()
        self._identity = ""
        self._grants: dict[str, str] = {}
        app = create_app(self.store, features=features[0], bulk=features[1], clock=self._registry_time, run=inline)
        self._registry = httpx2.ASGITransport(mount(app))
        for name in (ALICE, BOB):
            self.store.accounts.write(accounts.add_user, name, sub=f"sub-{name}", user_id=f"u-{name}")
        identities = (ANONYMOUS_IDENTITY, *people)
        publish = OwnedPublish.create(self.folder)
        with publish:
            self.paths = publish.paths
            publish.journal.units.add(lineage.units)
            plan = plan_of(lineage, publish.paths.id, registry=registry)
            publish.journal.freeze(
                replace(
                    plan,
                    intent={"flag": flag.value, "scope": asdict(RepoScope())},
                    provisional={identity: self.prepared_as(identity) for identity in identities},
                )
            )

    def _registry_time(self) -> float:
        return self.now() + self.clock_ahead

    def prepared_as(self, identity: str) -> str:
        """The hash that the remote uids follow from: it names no one for a key (protocol.md §6)."""
        return self.lineage.hash_as(ANONYMOUS_IDENTITY if is_key_identity(identity) else identity)

    def now(self) -> float:
        """Unix seconds, as the publisher's machine has them."""
        return EPOCH + self._passed + trio.current_time()

    # ------------------------------------------------------------ what people and registries do meanwhile

    def sign_in(self, name: str = ALICE) -> None:
        """What `roar login` leaves: a sign-in that ends in an hour unless it is refreshed."""
        user, tokens = self.store.accounts.write(grants.issue, name, now=self.now())
        self._grants[name] = tokens.grant_id
        self._auth_json.parent.mkdir(parents=True, exist_ok=True)
        self._auth_json.write_text(json.dumps(sign_in_document(user, tokens, issuer=self.registry)))

    def export_token(self, name: str = ALICE) -> None:
        """What a pipeline does: the token in the environment, and nothing else."""
        _, tokens = self.store.accounts.write(grants.issue, name, now=self.now())
        self._grants[name] = tokens.grant_id
        self.environ["ROAR_ACCESS_TOKEN"] = tokens.access_token

    def make_key(self, name: str = ALICE) -> None:
        """Put a user's key in the home, which the registry knows."""
        path = self.home / ".ssh" / "id_ed25519"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key_of(name).export_private_key())
        self.let_key_in(name)

    def let_key_in(self, name: str = ALICE) -> None:
        """The registry knows a user's key from now on."""
        with suppress(AlreadyExists):
            self.store.accounts.write(
                keys.add_key, name, public_keys.parse_key(key_of(name).export_public_key().decode())
            )

    def lock_key_out(self) -> None:
        """The registry no longer knows Alice's key."""
        self.store.accounts.write(keys.remove_key, key_of(ALICE).get_fingerprint())

    def end_access_tokens(self) -> None:
        """Every access token is dead before its time; the refresh tokens live."""
        self._forget("DELETE FROM access_tokens")

    def end_sign_in(self) -> None:
        """Alice's sign-in is revoked: neither her access tokens nor her refresh token are worth anything."""
        self.store.accounts.write(sign_ins.revoke, self._grants[ALICE])

    def let_time_pass(self, seconds: float) -> None:
        """Every clock advances."""
        self._passed += seconds

    def void_session_tokens(self) -> None:
        """The tokens of anonymous sessions that were given out so far are worth nothing."""
        self.store.secret = bytes([self.store.secret[0] + 1]) * 32

    def lose_session_token(self) -> None:
        """Remove the file with the session's token."""
        self.paths.forget_session_token()

    def saved_sign_in(self) -> dict[str, object]:
        """What `auth.json` holds now."""
        document: dict[str, object] = json.loads(self._auth_json.read_text())
        return document

    @property
    def _auth_json(self) -> Path:
        return self.home / ".config" / "roar" / "auth.json"

    def _forget(self, statement: str) -> None:
        def change(connection: Connection) -> None:
            connection.execute(statement)

        self.store.accounts.write(change)

    # ------------------------------------------------------------ a process

    async def live(self, life: Life | None = None) -> Progress | PublisherError | Crash:
        """One process's life: how the publish stands at its end, or what ended it."""
        life = life or Life()
        journal = MortalJournal(self.paths.journal, life, clock=self.now, watch=self._note)
        owned = OwnedPublish(self.paths, Lock(self.paths.lock).acquire(), journal)
        self._life = life
        try:
            return await work(
                owned,
                self.folder,
                Frontend(report=self.reports.append, confirm=self._confirm),
                stop=anyio.Event(),
                keyring=Keyring(
                    self.environ,
                    self.home,
                    policy_for(self.registry, home=self.home),
                    clock=self.now,
                    run_blocking=inline,
                ),
                resources=Resources(clock=self.now, transport=self, run_blocking=inline),
            )
        except PublisherError as error:
            return error
        except BaseException as error:
            return crash_in(error)
        finally:
            owned.release()

    async def _confirm(self, choice: Choice) -> bool:
        return self.agrees

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Deliver a request, after what happens right before it."""
        self._life.moment(f"before {request.url.path}")
        self._number += 1
        self.before(self._number)
        body = await request.aread()
        scheme = request.headers.get("authorization", "").partition(" ")[0]
        self._check(request, scheme, body)
        self.under_way += 1
        try:
            await anyio.sleep(LATENCY)
            response = self.instead(request.url.path) or await self._registry.handle_async_request(request)
            content = await response.aread()
        finally:
            self.under_way -= 1
        self.sent.append(Sent(request.method, request.url.path, scheme, response.status_code))
        self._life.moment(f"after {request.url.path}")
        return httpx2.Response(response.status_code, headers=response.headers, content=content)

    def _check(self, request: httpx2.Request, scheme: str, body: bytes) -> None:
        again = items_of_request(request.url.path, body) & self._acknowledged if request.method == "POST" else set()
        if again:
            raise Broken(f"sent again although acknowledged: {sorted(again)}")
        schemes = {ANONYMOUS_IDENTITY: "RegistrationSession", BY_BEARER: "Bearer", BY_KEY: "Signature"}
        wanted = "Signature" if is_key_identity(self._identity) else schemes.get(self._identity, "")
        if "/registration-sessions/" in request.url.path and scheme not in ("", wanted):
            raise Broken(f"begun as {self._identity}, but {request.url.path} shows {scheme}")

    def _note(self, journal: Journal) -> None:
        """Remember what the journal holds now, and that its identity never changes."""
        progress = journal.progress()
        identity = progress.identity or ""
        if self._identity not in ("", identity):
            raise Broken(f"begun as {self._identity}, and now {identity}")
        self._identity = identity
        if identity:
            # No session is lost in these worlds: what was acknowledged once is acknowledged for good.
            self._acknowledged |= acknowledged_items(journal, self.prepared_as(identity))

    # ------------------------------------------------------------ what a test asks about

    def progress(self) -> Progress:
        """How the publish stands."""
        with OwnedPublish.open(self.paths) as owned:
            return owned.journal.progress()

    def events(self) -> list[str]:
        """What happened to the publish."""
        with OwnedPublish.open(self.paths) as owned:
            return [checkpoint.event for checkpoint in owned.journal.history()]

    def calls(self, ending: str, status: int | None = None) -> list[Sent]:
        """The requests whose path ends so, and that were answered with `status`, if it is given."""
        return [sent for sent in self.sent if sent.path.endswith(ending) and status in (None, sent.status)]

    def check_published(self, identity: str, *, labels: bool = True) -> None:
        """Raise Broken unless exactly one lineage is published, as `identity`, everything once."""
        want = self.lineage
        found = self.store.read(lambda connection: tuple(connection.execute(COUNTS).fetchone()))
        links = (want.inputs, want.outputs, want.composites)
        expected = (1, want.hash_as(identity), len(want.jobs), len(want.digests), *links)
        if found[:-1] != expected or (labels and found[-1] != want.labels):
            raise Broken(f"the registry has {found}, not {expected} and {want.labels} labels")
        named = self.store.read(lambda connection: connection.execute("SELECT creator FROM lineages").fetchone()[0])
        if named != identity:
            raise Broken(f"the lineage names {named}, not {identity}")


@cache
def key_of(name: str) -> asyncssh.SSHKey:
    """A user's key, the same in all worlds."""
    return asyncssh.generate_private_key("ssh-ed25519")


def crash_in(error: BaseException) -> Crash:
    """The Crash that ended a life, wherever it is in a group; anything else is raised as it is."""
    if isinstance(error, BaseExceptionGroup):
        crashes, others = error.split(Crash)
        if others is not None or crashes is None:
            raise error
        return Crash(str(crashes.exceptions))
    if isinstance(error, Crash):
        return error
    raise error
