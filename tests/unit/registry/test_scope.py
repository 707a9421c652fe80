"""Where users may publish, and who reads it."""

import pytest

from roar_publisher.registry.store import projects
from roar_publisher.registry.store import users as accounts
from tests.support.registry.acme import OWN, Acme
from tests.support.registry.harness import (
    GIT,
    Json,
    Registry,
    Session,
    artifact,
    digest,
    job,
    link,
    refused,
    succeeded,
    uid,
)
from tests.support.registry.people import Bearer, Person, Ssh

pytestmark = pytest.mark.anyio


@pytest.fixture
async def acme(registry: Registry) -> Acme:
    return Acme(registry)


@pytest.mark.parametrize("by_key", [False, True])
async def test_a_project_takes_private_lineage_for_its_members(acme: Acme, by_key: bool) -> None:
    session = await acme.staged(acme.alice, by_key=by_key)
    receipt = await session.finalize(scope_request=acme.request())
    assert await acme.readers(receipt["hash"]) == {"alice", "ruth", "max"}
    assert not await acme.registry.is_published(receipt["hash"])


async def test_a_former_member_cannot_read(acme: Acme) -> None:
    receipt = await (await acme.staged(acme.alice)).finalize(scope_request=acme.request())
    store = acme.registry.store.accounts
    store.write(projects.set_project_member, "acme", "models", "ruth", can_write=None)
    store.write(projects.set_owner_member, "acme", "max", member=False)
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


async def test_a_public_lineage_of_a_project_is_visible_to_all(acme: Acme) -> None:
    acme.set_visibility("public")
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
        ("alice", {"owner_resolution": "another", "owner_id": None}, 422),
        ("alice", {"visibility": "secret"}, 422),
        ("alice", {"visibility": None}, 422),
    ],
)
async def test_a_scope_without_write_access_is_refused_and_nothing_is_published(
    acme: Acme, person: str, changes: Json, status: int
) -> None:
    session = await acme.staged(getattr(acme, person))
    body = {"scope_request": acme.request(**changes)}
    refused(await session.post("/finalize", body), status)
    assert acme.registry.store.read(lambda db: db.execute("SELECT count(*) FROM lineages").fetchone()[0]) == 0


async def test_another_accounts_lineage_gives_no_receipt(acme: Acme) -> None:
    """Her account was removed and added again: under the same `sub`, which the hash names, and with another id."""
    first, second = await acme.staged(acme.alice), await acme.staged(acme.alice)
    await first.finalize()
    acme.registry.store.write(lambda db: db.execute("UPDATE lineages SET owner = 'earlier'"))
    assert "another account" in refused(await second.post("/finalize", GIT), 422)


async def test_an_anonymous_session_has_no_owner(acme: Acme) -> None:
    body = {"mode": "anonymous_public"}
    opened = await acme.registry.client.post("/api/v1/registration-sessions", json=body, auth=Bearer(acme.alice))
    session = Session(acme.registry.client, succeeded(opened))
    await session.add_jobs(job(1))
    lineage = await acme.registry.lineage((await session.finalize())["hash"])
    assert lineage["creator"] == "anonymous"


async def test_jobs_of_a_public_lineage_of_this_user_are_named_and_not_staged(acme: Acme) -> None:
    receipt = await (await acme.staged(acme.alice)).finalize()
    again = await acme.registry.open(auth=Ssh(acme.alice))
    reply = await again.add_jobs(job(1), job(2))
    assert reply["already_registered_session_hashes"] == [receipt["hash"]]
    assert (reply["created_count"], reply["existing_count"]) == (1, 0)
    assert reply["job_ids"] == [uid(1), uid(2)], "by position, also of what was not staged"
    other = await (await acme.registry.open(auth=Bearer(acme.bob))).add_jobs(job(1))
    anonymous = await (await acme.registry.open()).add_jobs(job(1))
    for reply in (other, anonymous):
        assert (reply["created_count"], reply["already_registered_session_hashes"]) == (1, [])


@pytest.mark.parametrize("version", ["", "0.3.5", "nonsense"])
async def test_jobs_are_staged_again_for_a_client_that_would_link_them_all_the_same(acme: Acme, version: str) -> None:
    """roar-cli before 0.3.6 has one uid for a job in all its lineages, and does not know that it is registered."""
    first = await (await acme.staged(acme.alice)).finalize()
    headers = {"X-Roar-Version": version}
    again = await acme.registry.open(auth=Bearer(acme.alice))
    batch = acme.registry.client.post(
        f"{again.root}/jobs/batch", json={"jobs": [job(1)]}, headers=headers, auth=again.auth
    )
    reply = succeeded(await batch)
    assert (reply["created_count"], reply["already_registered_session_hashes"]) == (1, [])
    single = acme.registry.client.post(f"{again.root}/jobs", json=job(2), headers=headers, auth=again.auth)
    assert succeeded(await single)["created"] is True
    await again.add_links(1, "outputs", link(1))
    second = await again.finalize()
    assert second["hash"] != first["hash"]
    assert (await acme.registry.lineage(second["hash"]))["jobs_count"] == 2


async def test_jobs_of_a_private_lineage_are_staged_again(acme: Acme) -> None:
    """Finalize alone says whether they are to be public now."""
    await (await acme.staged(acme.alice)).finalize(scope_request=OWN)
    reply = await (await acme.registry.open(auth=Ssh(acme.alice))).add_jobs(job(1))
    assert (reply["created_count"], reply["already_registered_session_hashes"]) == (1, [])


async def test_a_user_may_label_her_lineage_outside_its_session(acme: Acme) -> None:
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


async def test_the_access_context_names_the_writable_projects(acme: Acme) -> None:
    async def context(person: Person) -> Json:
        answer = succeeded(await acme.registry.client.get("/api/v1/auth/access-context", auth=Bearer(person)))
        assert answer["success"] is True, "treqs-cli takes nothing else"
        data: Json = answer["data"]
        return data

    acme.registry.store.accounts.write(projects.add_project, "acme", "hidden", "private")
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


async def test_lineages_of_a_removed_user_stay(acme: Acme) -> None:
    receipt = await (await acme.staged(acme.alice)).finalize(scope_request=acme.request())
    acme.registry.store.accounts.write(accounts.remove_user, "alice")
    lineage = await acme.registry.lineage(receipt["hash"], auth=Bearer(acme.ruth))
    assert lineage["hash"] == receipt["hash"]


@pytest.mark.parametrize(("access", "status"), [(None, 404), (False, 403)])
async def test_a_former_member_does_not_write_to_own_lineages_in_the_project(
    acme: Acme, access: bool | None, status: int
) -> None:
    """A caller who may no longer read it gets a 404, as for a lineage that does not exist."""
    alice, client = Bearer(acme.alice), acme.registry.client
    finalized = await acme.staged(acme.alice)
    lineage_hash = (await finalized.finalize(scope_request=acme.request()))["hash"]
    team = {"entity_type": "dag", "session_hash": lineage_hash, "metadata": {"team": "ml"}}
    succeeded(await finalized.post("/labels/batch", {"labels": [team]}))
    labelled = f"/api/v1/labels/current?entity_type=dag&session_hash={lineage_hash}"
    assert succeeded(await client.get(labelled, auth=alice))["canEdit"] is True
    legacy = "1e9ac1" + 58 * "0"
    succeeded(await client.post("/api/v1/sessions", json={"hash": legacy, "scope_request": acme.request()}, auth=alice))
    acme.registry.store.accounts.write(projects.set_project_member, "acme", "models", "alice", can_write=access)

    def label(name: str) -> Json:
        return {"entity_type": "dag", "session_hash": name, "metadata": {"late": 1}}

    writes: list[tuple[str, Json]] = [
        (f"{finalized.root}/labels/batch", {"labels": [label(lineage_hash)]}),
        ("/api/v1/labels/sync", {"labels": [label(lineage_hash)]}),
        ("/api/v1/labels/sync", {"labels": [label(legacy)]}),
        ("/api/v1/labels/reconcile", {"session_hash": lineage_hash, "labels": [label(lineage_hash)]}),
        (f"/api/v1/sessions/{legacy}/jobs/batch", {"jobs": [job(2)]}),
        ("/api/v1/artifacts/batch", {"artifacts": [{**artifact(2), "session_hash": legacy}]}),
        (
            "/api/v1/artifacts/composites",
            {**artifact(2), "hash": digest(2), "component_count_total": 0, "session_hash": legacy},
        ),
    ]
    before = acme.registry.store.read(lambda db: list(map(tuple, db.execute("SELECT * FROM labels"))))
    for path, body in writes:
        refused(await client.post(path, json=body, auth=alice), status)
    assert acme.registry.store.read(lambda db: list(map(tuple, db.execute("SELECT * FROM labels")))) == before
    shown = await client.get(labelled, auth=alice)
    assert (shown.status_code, shown.json().get("canEdit")) == ((404, None) if access is None else (200, False))
    listed = succeeded(await client.get("/api/v1/sessions", auth=alice))["sessions"]
    assert {lineage["hash"] for lineage in listed} == (set() if access is None else {lineage_hash, legacy})
    acme.registry.store.accounts.write(projects.set_project_member, "acme", "models", "alice", can_write=True)
    for path, body in writes:
        succeeded(await client.post(path, json=body, auth=alice))
