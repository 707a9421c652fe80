"""Two registries that differ in private data alone: in the second one, it was never written.

Users, keys, clocks and public data are the same, so a caller who may not see the private data gets the same
replies from both. `Place` names what requests can be about.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from roar_publisher.registry.accounts import browser_sessions, grants
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.indexing import index_slice
from roar_publisher.registry.store import keys, projects, sign_ins, users
from roar_publisher.registry.store.database import Connection
from tests.support.registry.harness import (
    GIT,
    Json,
    Registry,
    artifact,
    digest,
    job,
    link,
    make_registry,
    succeeded,
    uid,
)
from tests.support.registry.indexing import index_all
from tests.support.registry.people import Bearer, Person, add_person

PRIVATE: Json = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
PEOPLE = ("alice", "max", "gone", "bob", "carol")
"""Alice and Max are members of acme; Gone was one, and published there; Carol publishes publicly; Bob is anybody."""
SHARED, SECRET, GONES = 1, 7, 8
"""Numbers of jobs and artifacts: in public and private lineages; in Alice's private ones; in the one by Gone."""
NEXT_TO = {True: 0x711, False: 0x710}
"""Numbers of artifacts whose digests differ in the last digit: of a private one, and of a public one."""
LEGACY_HASH, PUBLIC_LEGACY_HASH = "1e9ac1" + 58 * "0", "1e9ac1" + 57 * "0" + "1"
FRAGMENTS = "fragments-of-alice"
SECRET_REPO = "https://git.example.org/acme/secret-repo.git"
TABLES = ("lineages", "jobs", "artifacts", "labels", "sessions")
_VARYING = (
    (r'("registration_session_(?:id|token)": ?)"[^"]*"', r'\1"…"'),
    (r'(name="form_token" value=)"[^"]*"', r'\1"…"'),
    (r'("(?:device_code|user_code|access_token|refresh_token)": ?)"[^"]*"', r'\1"…"'),
)
"""What differs between two registries with the same content: ids and tokens that are drawn."""


@dataclass(frozen=True)
class Place:
    """What is private: a lineage in a project, one in Alice's own space, a legacy one, and an open session."""

    lineage: str
    own: str
    gones: str
    legacy: str
    session: str
    owner: str
    project: str

    def names(self) -> dict[str, str]:
        """What the templates of requests are filled with."""
        return {
            **vars(self),
            "digest": digest(SECRET),
            "shared": digest(SHARED),
            "uid": uid(SECRET),
            "gones_uid": uid(GONES),
            "fragments": FRAGMENTS,
            "prefix": self.lineage[:12],
            "shared_prefix": LEGACY_HASH[:-1],
            "digest_prefix": digest(NEXT_TO[True])[:-1],
            "repo": SECRET_REPO,
        }


@dataclass
class Twin:
    """One of the two registries, with its people."""

    registry: Registry
    people: dict[str, Person]
    foreign_token: str = ""
    ended_token: str = ""

    async def ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, str, dict[str, str]]:
        """Return what a reply says, without what is drawn for each."""
        sent = {**headers, "X-Request-Id": "both"}
        answer = await self.registry.client.request(method, path, content=body, headers=sent)
        text = answer.text
        for pattern, masked in _VARYING:
            text = re.sub(pattern, masked, text)
        kept = {name: value for name, value in answer.headers.items() if name not in ("content-length", "set-cookie")}
        return answer.status_code, text, kept

    def cookie(self, name: str) -> str:
        """The cookie of a person who has signed in in a browser."""
        store = self.registry.store.accounts
        user = store.read(users.find_user, name)
        return f"roar={store.write(browser_sessions.begin_session, user, self.registry.clock())}"

    def spent_bearer(self, name: str, *, revoked: bool) -> str:
        """A bearer that was revoked, or has expired."""
        store, now = self.registry.store.accounts, self.registry.clock()
        _, tokens = store.write(grants.issue, name, now=now if revoked else now - 60, lifetime=60.0)
        if revoked:
            store.write(sign_ins.revoke, tokens.grant_id)
        return f"Bearer {tokens.access_token}"

    def forget(self, place: Place) -> None:
        """Undo what a request has created here under a name that is private in the other registry."""
        self.registry.store.write(lambda db: db.execute("DELETE FROM lineages WHERE hash = ?", (place.lineage,)))
        self.registry.store.write(lambda db: db.execute("DELETE FROM fragment_sessions WHERE name = ?", (FRAGMENTS,)))

    def private_rows(self, place: Place) -> list[tuple[object, ...]]:
        """Everything that is stored of the private data."""

        def look(connection: Connection) -> list[tuple[object, ...]]:
            graphs = {
                row["graph_id"]
                for table, key, names in (
                    ("lineages", "hash", (place.lineage, place.own, place.gones, place.legacy)),
                    ("sessions", "id", (place.session,)),
                )
                for name in names
                for row in connection.execute(f"SELECT graph_id FROM {table} WHERE {key} = ?", (name,))
            }
            found = [
                tuple(row)
                for table in TABLES
                for graph in sorted(graphs)
                for row in connection.execute(f"SELECT '{table}', * FROM {table} WHERE graph_id = ?", (graph,))
            ]
            for table in ("links", "view_edges"):
                for graph in sorted(graphs):
                    rows = connection.execute(
                        f"SELECT '{table}', each.* FROM {table} AS each JOIN jobs ON jobs.id = job_id"
                        " WHERE graph_id = ?",
                        (graph,),
                    )
                    found += [tuple(row) for row in rows]
            return found

        return self.registry.store.read(look)


async def make_twins() -> tuple[Twin, Twin, Place]:
    """Return the registry with private data, the one without, and what the private data is called."""
    first = Twin(make_registry(Store.in_memory(secret=b"secret of the tests")), {})
    second = Twin(make_registry(Store.in_memory(secret=b"secret of the tests")), {})
    second.registry.store.receipt_keys = first.registry.store.receipt_keys
    for name in PEOPLE:
        first.people[name] = _added(first, name)
        second.people[name] = _copied(second, first.people[name])
    place = await _private_data(first)
    for twin in (first, second):
        await _public_data(twin)
        while twin.registry.store.write(index_slice):
            pass
        index_all(twin.registry.store)
    return first, second, place


def _added(twin: Twin, name: str) -> Person:
    return add_person(twin.registry.store.accounts, name, twin.registry.clock, sub=f"sub-{name}", user_id=f"u-{name}")


def _copied(twin: Twin, person: Person) -> Person:
    """The same user with the same key in another registry, and with a sign-in of its own."""
    from roar_publisher.registry.accounts import public_keys

    store, user = twin.registry.store.accounts, person.user
    store.write(users.add_user, user.name, email=user.email, sub=user.sub, user_id=user.id)
    store.write(keys.add_key, user.name, public_keys.parse_key(person.key.export_public_key().decode()))
    _, tokens = store.write(grants.issue, user.name, now=twin.registry.clock())
    return Person(user, tokens, person.key, twin.registry.clock)


async def _private_data(twin: Twin) -> Place:
    registry, store = twin.registry, twin.registry.store.accounts
    owner = store.write(projects.add_owner, "acme")
    project = store.write(projects.add_project, "acme", "secret-models", "private")
    for name in ("alice", "max", "gone"):
        store.write(projects.set_owner_member, "acme", name, member=True)
    scope = {"owner_id": owner, "owner_type": "organization", "project_id": project, "visibility": "private"}
    alice, gone = Bearer(twin.people["alice"]), Bearer(twin.people["gone"])
    lineage = await _published(registry, alice, SECRET, scope, git_commit="d" * 40)
    own = await _published(registry, alice, SECRET, PRIVATE, git_commit="e" * 40)
    gones = await _published(registry, gone, GONES, scope, git_commit="f" * 40)
    legacy = {"hash": LEGACY_HASH, "git_repo": SECRET_REPO, "scope_request": PRIVATE}
    succeeded(await registry.client.post("/api/v1/sessions", json=legacy, auth=alice))
    jobs = {"jobs": [job(SECRET)]}
    succeeded(await registry.client.post(f"/api/v1/sessions/{LEGACY_HASH}/jobs/batch", json=jobs, auth=alice))
    session = await registry.open(auth=alice)
    await session.add_jobs(job(SECRET))
    fragments = {"session_id": FRAGMENTS, "token_hash": "f" * 64}
    succeeded(await registry.client.post("/api/v1/fragments/sessions", json=fragments, auth=alice))
    store.write(projects.set_owner_member, "acme", "gone", member=False)
    return Place(lineage, own, gones, LEGACY_HASH, str(session.opened["registration_session_id"]), owner, project)


async def _published(
    registry: Registry, auth: httpx2.Auth, number: int, scope: Mapping[str, Any] | None, **git: str
) -> str:
    session = await registry.open(auth=auth)
    command = "python step1.py" if scope is None else f"python secret{number}.py"
    await session.add_jobs(job(number, command=command), job(SHARED))
    await session.add_artifacts(artifact(SHARED), artifact(number))
    await session.add_links(number, "inputs", link(SHARED))
    await session.add_links(number, "outputs", link(number), link(NEXT_TO[scope is not None]))
    changes = {} if scope is None else {"scope_request": scope, "git_repo": SECRET_REPO}
    receipt = await session.finalize(**{**GIT, **git, **changes})
    labels = [
        {"entity_type": "dag", "metadata": {"team": "ml"}},
        {"entity_type": "job", "job_uid": uid(number), "metadata": {"secret": number}},
        {"entity_type": "artifact", "artifact_hash": digest(SHARED), "metadata": {"from": number}},
    ]
    succeeded(await session.post("/labels/batch", {"labels": labels}))
    return str(receipt["hash"])


async def _public_data(twin: Twin) -> None:
    await _published(twin.registry, Bearer(twin.people["carol"]), 2, None)
    legacy = {"hash": PUBLIC_LEGACY_HASH}
    succeeded(await twin.registry.client.post("/api/v1/sessions", json=legacy, auth=Bearer(twin.people["carol"])))
    open_one, ended = await twin.registry.open(), await twin.registry.open()
    await ended.add_jobs(job(5))
    await ended.finalize()
    twin.foreign_token, twin.ended_token = open_one.token, ended.token
