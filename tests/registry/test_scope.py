"""Where users may publish, and who reads it."""

from typing import Any

import pytest

from publisher.registry import accounts, directory
from tests.registry.harness import GIT, Json, Registry, Session, artifact, digest, job, refused, succeeded
from tests.registry.people import Bearer, Person, Ssh

pytestmark = pytest.mark.anyio

OWN: Json = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}


class Acme:
    """An organization with a private project; Alice writes to it, Ruth reads it, Max is a member of all of Acme."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.alice, self.ruth, self.max, self.bob = map(registry.person, ("alice", "ruth", "max", "bob"))
        store = registry.store.accounts
        self.owner_id = store.write(directory.add_owner, "acme")
        self.project_id = store.write(directory.add_project, "acme", "models", "private")
        store.write(directory.set_project_member, "acme", "models", "alice", can_write=True)
        store.write(directory.set_project_member, "acme", "models", "ruth", can_write=False)
        store.write(directory.set_owner_member, "acme", "max", member=True)

    def request(self, **changes: object) -> dict[str, Any]:
        scope = {
            "owner_id": self.owner_id,
            "owner_type": "organization",
            "project_id": self.project_id,
            "visibility": "private",
        }
        return {name: value for name, value in (scope | changes).items() if value is not None}

    async def staged(self, person: Person, *, by_key: bool = False) -> Session:
        session = await self.registry.open(auth=Ssh(person) if by_key else Bearer(person))
        await session.add_jobs(job(1))
        await session.add_artifacts(artifact(1))
        return session

    async def readers(self, lineage_hash: str) -> set[str]:
        people = {"alice": self.alice, "ruth": self.ruth, "max": self.max, "bob": self.bob}
        seen = set()
        for name, person in people.items():
            answers = set()
            for auth in (Bearer(person), Ssh(person)):
                for path in (f"/api/v1/sessions/{lineage_hash}", f"/dag/{lineage_hash}"):
                    answers.add((await self.registry.client.get(path, auth=auth)).status_code)
            assert len(answers) == 1, (name, answers)
            if answers == {200}:
                seen.add(name)
        return seen


@pytest.fixture
async def acme(registry: Registry) -> Acme:
    return Acme(registry)


@pytest.mark.parametrize("by_key", [False, True])
async def test_a_project_takes_private_lineage_for_its_members(acme: Acme, by_key: bool) -> None:
    session = await acme.staged(acme.alice, by_key=by_key)
    receipt = await session.finalize(scope_request=acme.request())
    assert await acme.readers(receipt["hash"]) == {"alice", "ruth", "max"}
    assert not await acme.registry.is_published(receipt["hash"])


async def test_a_member_who_leaves_reads_no_more(acme: Acme) -> None:
    receipt = await (await acme.staged(acme.alice)).finalize(scope_request=acme.request())
    store = acme.registry.store.accounts
    store.write(directory.set_project_member, "acme", "models", "ruth", can_write=None)
    store.write(directory.set_owner_member, "acme", "max", member=False)
    assert await acme.readers(receipt["hash"]) == {"alice"}


async def test_the_own_space_is_for_oneself(acme: Acme) -> None:
    receipt = await (await acme.staged(acme.max)).finalize(scope_request=OWN)
    assert await acme.readers(receipt["hash"]) == {"max"}
    named = acme.request(owner_id=acme.alice.user.id, owner_type="user", project_id=None)
    receipt = await (await acme.staged(acme.alice)).finalize(scope_request=named)
    assert await acme.readers(receipt["hash"]) == {"alice"}


async def test_an_organization_without_a_project_is_for_its_members(acme: Acme) -> None:
    receipt = await (await acme.staged(acme.max)).finalize(scope_request=acme.request(project_id=None))
    assert await acme.readers(receipt["hash"]) == {"max"}


async def test_a_public_lineage_of_a_project_is_for_everybody(acme: Acme) -> None:
    receipt = await (await acme.staged(acme.alice)).finalize(scope_request=acme.request(visibility="public"))
    assert await acme.registry.is_published(receipt["hash"])
    assert receipt["hash"] in (await acme.registry.client.get("/")).text


async def test_private_lineage_is_in_no_list_and_behind_no_digest(acme: Acme) -> None:
    receipt = await (await acme.staged(acme.alice)).finalize(scope_request=OWN)
    client = acme.registry.client
    assert receipt["hash"] not in (await client.get("/")).text
    assert (await client.get(f"/api/v1/artifacts/{digest(1)}")).status_code == 404
    assert (await client.get(f"/api/v1/artifacts/{digest(1)}", auth=Bearer(acme.bob))).status_code == 404
    assert (await client.get(f"/api/v1/artifacts/{digest(1)}", auth=Bearer(acme.alice))).status_code == 200
    listed = succeeded(await client.get("/api/v1/sessions", auth=Ssh(acme.alice)))["sessions"]
    assert [(lineage["hash"], lineage["visibility"]) for lineage in listed] == [(receipt["hash"], "private")]


@pytest.mark.parametrize(
    ("person", "changes", "status"),
    [
        ("ruth", {}, 403),
        ("bob", {}, 403),
        ("alice", {"project_id": None}, 403),
        ("alice", {"project_id": "unknown"}, 403),
        ("alice", {"owner_id": "unknown"}, 403),
        ("alice", {"owner_type": "user"}, 403),
        ("max", {"project_id": "unknown"}, 403),
        ("alice", {"owner_id": None, "project_id": None}, 422),
        ("alice", {"owner_resolution": "current_user"}, 422),
        ("alice", {"owner_resolution": "somebody", "owner_id": None}, 422),
        ("alice", {"visibility": "secret"}, 422),
        ("alice", {"visibility": None}, 422),
    ],
)
async def test_what_may_not_be_written_to_is_refused_and_nothing_is_published(
    acme: Acme, person: str, changes: Json, status: int
) -> None:
    session = await acme.staged(getattr(acme, person))
    body = {"scope_request": acme.request(**changes)}
    refused(await session.post("/finalize", body), status)
    assert acme.registry.store.read(lambda db: db.execute("SELECT count(*) FROM lineages").fetchone()[0]) == 0


async def test_publishing_again_elsewhere_is_refused_and_the_session_stays_open(acme: Acme) -> None:
    first, second = await acme.staged(acme.alice), await acme.staged(acme.alice)
    receipt = await first.finalize(scope_request=OWN)
    assert "published already, as private" in refused(await second.post("/finalize", GIT), 409)
    assert await second.finalize(scope_request=OWN) == {**receipt, "created": False}
    assert await acme.readers(receipt["hash"]) == {"alice"}


async def test_a_hash_that_somebody_else_has_taken_is_no_receipt_of_ones_own(acme: Acme) -> None:
    first, second = await acme.staged(acme.alice), await acme.staged(acme.alice)
    await first.finalize()
    acme.registry.store.write(lambda db: db.execute("UPDATE lineages SET owner = '', session_id = NULL"))
    assert "somebody else" in refused(await second.post("/finalize", GIT), 409)


async def test_an_anonymous_session_is_nobodys_whoever_opens_it(acme: Acme) -> None:
    body = {"mode": "anonymous_public"}
    opened = await acme.registry.client.post("/api/v1/registration-sessions", json=body, auth=Bearer(acme.alice))
    session = Session(acme.registry.client, succeeded(opened))
    await session.add_jobs(job(1))
    lineage = await acme.registry.lineage((await session.finalize())["hash"])
    assert lineage["creator"] == "anonymous"


async def test_jobs_that_stand_in_a_lineage_of_this_user_are_named_and_not_staged(acme: Acme) -> None:
    receipt = await (await acme.staged(acme.alice)).finalize(scope_request=OWN)
    again = await acme.registry.open(auth=Ssh(acme.alice))
    reply = await again.add_jobs(job(1), job(2))
    assert reply["already_registered_session_hashes"] == [receipt["hash"]]
    assert (reply["created_count"], reply["existing_count"]) == (1, 0)
    other = await (await acme.registry.open(auth=Bearer(acme.bob))).add_jobs(job(1))
    nobodys = await (await acme.registry.open()).add_jobs(job(1))
    for reply in (other, nobodys):
        assert (reply["created_count"], reply["already_registered_session_hashes"]) == (1, [])


async def test_her_labels_go_beside_her_sessions_too(acme: Acme) -> None:
    receipt = await (await acme.staged(acme.alice)).finalize(scope_request=OWN)
    second = await acme.staged(acme.bob)
    label = {"entity_type": "dag", "session_hash": receipt["hash"], "metadata": {"team": "ml"}}
    sync = "/api/v1/labels/sync"
    reply = succeeded(await acme.registry.client.post(sync, json={"labels": [label]}, auth=Ssh(acme.alice)))
    assert reply["created"] == 1
    refused(await second.post("/labels/batch", {"labels": [label]}), 409)
    refused(await acme.registry.client.post(sync, json={"labels": [label]}, auth=Bearer(acme.bob)), 404)
    lineage = await acme.registry.lineage(receipt["hash"], auth=Bearer(acme.alice))
    assert lineage["labels"] == {"team": "ml"}


async def test_her_second_session_of_the_same_lineage_labels_it(acme: Acme) -> None:
    first, second = await acme.staged(acme.alice), await acme.staged(acme.alice)
    receipt = await first.finalize(scope_request=OWN)
    assert not (await second.finalize(scope_request=OWN))["created"]
    label = {"entity_type": "dag", "session_hash": receipt["hash"], "metadata": {"team": "ml"}}
    assert succeeded(await second.post("/labels/batch", {"labels": [label]}))["created"] == 1


async def test_the_access_context_names_what_the_user_may_write(acme: Acme) -> None:
    async def context(person: Person) -> Json:
        return succeeded(await acme.registry.client.get("/api/v1/auth/access-context", auth=Bearer(person)))

    acme.registry.store.accounts.write(directory.add_project, "acme", "hidden", "private")
    hers, his = await context(acme.alice), await context(acme.bob)
    assert hers["user"].items() >= {"id": acme.alice.user.id, "sub": acme.alice.user.sub, "username": "alice"}.items()
    assert [(owner["type"], owner["role"]) for owner in hers["owners"]] == [
        ("user", "owner"),
        ("organization", "guest"),
    ]
    (project,) = hers["projects_by_owner"][acme.owner_id]
    assert (project["name"], project["visibility"], project["can_write"]) == ("models", "private", True)
    assert [project["can_write"] for project in (await context(acme.ruth))["projects_by_owner"][acme.owner_id]] == [
        False
    ]
    assert [owner["id"] for owner in his["owners"]] == [acme.bob.user.id]


async def test_a_user_who_is_removed_leaves_what_was_published(acme: Acme) -> None:
    receipt = await (await acme.staged(acme.alice)).finalize(scope_request=acme.request())
    acme.registry.store.accounts.write(accounts.remove_user, "alice")
    lineage = await acme.registry.lineage(receipt["hash"], auth=Bearer(acme.ruth))
    assert lineage["hash"] == receipt["hash"]
