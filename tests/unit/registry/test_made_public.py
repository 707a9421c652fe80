"""Which lineages become public, where, and who may make them so."""

from typing import Any

import pytest

from roar_publisher.registry.api import finalizer
from roar_publisher.registry.lineages.finalize import hash_slice
from roar_publisher.registry.store import projects
from tests.support.registry.acme import OWN, Acme
from tests.support.registry.harness import GIT, Json, Registry, digest, job, refused, succeeded
from tests.support.registry.people import Bearer

pytestmark = pytest.mark.anyio


@pytest.fixture
async def acme(registry: Registry) -> Acme:
    return Acme(registry)


PLACES: dict[str, dict[str, Any] | None] = {
    "own space": {},
    "project": {"visibility": "private"},
    "project, public": {"visibility": "public"},
    "public": None,
}
"""Where Alice publishes: what differs from a private publish into her project; nothing for her own space."""
AGAIN = {
    ("own space", "own space"): "private",
    ("own space", "public"): "public",
    ("project", "project"): "private",
    ("project", "project, public"): "public",
    **{(first, then): "public" for first in ("project, public", "public") for then in PLACES},
}
"""How a lineage is visible that was published in one place and then in the other; what is missing is refused."""


def place(acme: Acme, name: str) -> Json:
    """The body of a finalize that publishes there, after the project was made public or private for it."""
    changes = PLACES[name]
    acme.set_visibility("public" if name == "project, public" else "private")
    if changes is None:
        return GIT
    return {**GIT, "scope_request": acme.request(**changes) if changes else OWN}


@pytest.mark.parametrize("then", PLACES)
@pytest.mark.parametrize("first", PLACES)
async def test_a_lineage_may_only_become_public_in_its_place(acme: Acme, first: str, then: str) -> None:
    """What is public stays so, and the receipt says it; what is private does not move."""
    sessions = [await acme.staged(acme.alice), await acme.staged(acme.alice)]
    receipt = succeeded(await sessions[0].post("/finalize", place(acme, first)))
    readers = await acme.readers(receipt["hash"])
    again = await sessions[1].post("/finalize", place(acme, then))
    if visibility := AGAIN.get((first, then)):
        assert succeeded(again) == {**receipt, "created": False, "visibility": visibility}
    else:
        visibility = "private"
        words = refused(again, 422)
        assert "published already, as private" in words
        assert "count" not in words, "a client would take it for another fault"
        assert succeeded(await sessions[1].post("/finalize", place(acme, first))) == {**receipt, "created": False}
    everyone = {"alice", "ruth", "max", "bob"}
    assert await acme.readers(receipt["hash"]) == (everyone if visibility == "public" else readers)
    assert await acme.registry.is_published(receipt["hash"]) is (visibility == "public")


@pytest.mark.parametrize("then", PLACES)
@pytest.mark.parametrize("first", PLACES)
async def test_a_closed_session_makes_its_lineage_public_and_else_gives_its_receipt(
    acme: Acme, first: str, then: str
) -> None:
    """What is public stays so, whatever is asked for; what is private elsewhere does not come."""
    session = await acme.staged(acme.alice)
    receipt = succeeded(await session.post("/finalize", place(acme, first)))
    readers = await acme.readers(receipt["hash"])
    again = await session.post("/finalize", place(acme, then))
    is_public = "public" in first or AGAIN.get((first, then)) == "public"
    if is_public or first == then:
        assert succeeded(again) == {**receipt, "visibility": "public" if is_public else "private"}
    else:
        assert "published already, as private" in refused(again, 422)
    assert await acme.registry.is_published(receipt["hash"]) is is_public
    if not is_public:
        assert await acme.readers(receipt["hash"]) == readers


async def test_a_lineage_made_public_is_visible_to_all(acme: Acme) -> None:
    first, second = await acme.staged(acme.alice), await acme.staged(acme.alice)
    receipt = await first.finalize(scope_request=OWN)
    missing = await acme.registry.client.get(f"/api/v1/artifacts/{digest(1)}")
    await second.finalize()
    found = await acme.registry.client.get(f"/api/v1/artifacts/{digest(1)}")
    assert (missing.status_code, found.status_code) == (404, 200)
    assert succeeded(found)["original_session_hash"] == receipt["hash"]


async def test_another_user_cannot_make_it_public(acme: Acme) -> None:
    """Ruth and Max stage the very same jobs: theirs is another lineage, for it names another creator."""
    receipt = await (await acme.staged(acme.alice)).finalize(scope_request=acme.request())
    for person in (acme.ruth, acme.max):
        assert (await (await acme.staged(person)).finalize())["hash"] != receipt["hash"]
    assert not await acme.registry.is_published(receipt["hash"])


async def test_who_may_not_write_to_the_project_any_more_does_not_make_its_lineage_public(acme: Acme) -> None:
    receipt = await (await acme.staged(acme.alice)).finalize(scope_request=acme.request())
    acme.registry.store.accounts.write(projects.set_project_member, "acme", "models", "alice", can_write=False)
    again = await acme.staged(acme.alice)
    refused(await again.post("/finalize", place(acme, "project, public")), 403)
    refused(await again.post("/finalize", GIT), 422)
    assert not await acme.registry.is_published(receipt["hash"])


PUBLIC_IN_PROJECT = {"visibility": "public"}


@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("visibility", ["private", "internal", ""])
async def test_a_project_that_is_not_public_has_no_public_lineage(acme: Acme, visibility: str, by_key: bool) -> None:
    acme.set_visibility(visibility)
    session = await acme.staged(acme.alice, by_key=by_key)
    body = {**GIT, "scope_request": acme.request(**PUBLIC_IN_PROJECT)}
    assert "this project is private" in refused(await session.post("/finalize", body), 422)
    legacy = {"hash": "1e9ac1" + 58 * "0", "scope_request": acme.request(**PUBLIC_IN_PROJECT)}
    refused(await acme.registry.client.post("/api/v1/sessions", json=legacy, auth=session.auth), 422)
    receipt = await session.finalize(scope_request=acme.request())
    assert not await acme.registry.is_published(receipt["hash"])
    assert "this project is private" in refused(await session.post("/finalize", body), 422), "the session is closed"
    again = await acme.staged(acme.alice, by_key=by_key)
    refused(await again.post("/finalize", body), 422)
    assert not await acme.registry.is_published(receipt["hash"])


async def test_a_project_that_became_private_after_the_session_was_opened_has_no_public_lineage(acme: Acme) -> None:
    acme.set_visibility("public")
    published = await acme.staged(acme.alice)
    private = await published.finalize(scope_request=acme.request())
    fresh = await acme.registry.open(auth=Bearer(acme.alice))
    await fresh.add_jobs(job(2))
    acme.set_visibility("private")
    for session in (published, fresh):
        body = {**GIT, "scope_request": acme.request(**PUBLIC_IN_PROJECT)}
        refused(await session.post("/finalize", body), 422)
    assert not await acme.registry.is_published(private["hash"])


@pytest.mark.parametrize("change", ["private", "removed"])
async def test_what_changed_while_the_lineage_was_hashed_counts(
    acme: Acme, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    acme.set_visibility("public")
    session = await acme.staged(acme.alice)

    def changed(*arguments: Any) -> None:
        hash_slice(*arguments)
        if change == "private":
            acme.set_visibility("private")
        else:
            acme.registry.store.accounts.write(projects.set_project_member, "acme", "models", "alice", can_write=None)

    monkeypatch.setattr(finalizer, "hash_slice", changed)
    body = {**GIT, "scope_request": acme.request(**PUBLIC_IN_PROJECT)}
    refused(await session.post("/finalize", body), 422 if change == "private" else 403)
    assert acme.registry.store.read(lambda db: db.execute("SELECT count(*) FROM lineages").fetchone()[0]) == 0
