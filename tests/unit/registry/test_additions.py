"""Labels and composites sent outside a registration session, as releases of roar-cli before 0.4.6 send them."""

from dataclasses import dataclass

import httpx2
import pytest

from roar_publisher.registry.lineages import labels
from roar_publisher.registry.lineages.labels import ADDITION_TIME
from roar_publisher.registry.store import documents
from tests.support.registry.harness import (
    NO_AUTH,
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

SYNC, COMPOSITES = "/api/v1/labels/sync", "/api/v1/artifacts/composites"
CURRENT, HISTORY = "/api/v1/labels/current", "/api/v1/labels/history"
OWN: Json = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}


@dataclass
class Published:
    """A lineage of one job with the artifact 1, finalized just now."""

    registry: Registry
    session: Session
    hash: str

    def label(self, metadata: Json, origins: Json | None = None) -> Json:
        named = {"entity_type": "artifact", "artifact_hash": digest(1), "session_hash": self.hash}
        return {**named, "metadata": metadata, "key_origins": origins or dict.fromkeys(metadata, "user")}

    async def sync(self, *labels: Json, auth: httpx2.Auth = NO_AUTH) -> httpx2.Response:
        return await self.registry.client.post(SYNC, json={"labels": labels}, auth=auth)

    async def compose(self, number: int, members: int = 0, auth: httpx2.Auth = NO_AUTH) -> httpx2.Response:
        component = {"relative_path": "a", "component_digest": digest(5)}
        composite = {
            **artifact(number),
            "hash": digest(number),
            "session_hash": self.hash,
            "component_count_total": members,
            "components": [component] * members,
        }
        return await self.registry.client.post(COMPOSITES, json=composite, auth=auth)

    async def labels(self) -> Json:
        where = {"entity_type": "artifact", "artifact_hash": digest(1), "session_hash": self.hash}
        metadata: Json = succeeded(await self.registry.client.get(CURRENT, params=where))["metadata"]
        return metadata


async def publish(registry: Registry, auth: httpx2.Auth = NO_AUTH, number: int = 1, **finalize: object) -> Published:
    session = await registry.open(auth=auth)
    await session.add_jobs(job(number))
    await session.add_links(number, "outputs", link(1))
    return Published(registry, session, (await session.finalize(**finalize))["hash"])


@pytest.fixture
async def published(registry: Registry) -> Published:
    return await publish(registry)


async def test_labels_are_added_without_a_credential_for_a_while(published: Published) -> None:
    published.registry.clock.now += ADDITION_TIME
    assert succeeded(await published.sync(published.label({"url": "s3://a"})))["created"] == 1
    assert succeeded(await published.sync(published.label({"url": "s3://a", "more": {"x": 1}})))["updated"] == 1
    assert await published.labels() == {"url": "s3://a", "more": {"x": 1}}


@pytest.mark.parametrize(
    "change",
    [
        {"url": "s3://b", "more": {"x": 1}},
        {"more": {"x": 1}},
        {"url": "s3://a", "more": {}},
        {"url": "s3://a", "more": {"x": 2}},
        {"url": "s3://a", "more": {"x": True}},
        {"url": "s3://a", "more": [1]},
        {},
    ],
)
async def test_labels_are_never_changed_without_a_credential(published: Published, change: Json) -> None:
    current = {"url": "s3://a", "more": {"x": 1}}
    await published.sync(published.label(current))
    assert "not changed" in refused(await published.sync(published.label(change)), 409)
    assert await published.labels() == current


async def test_the_origin_of_a_key_is_never_changed_without_a_credential(published: Published) -> None:
    await published.sync(published.label({"a": 1}, {"a": "system"}))
    refused(await published.sync(published.label({"a": 1, "b": 2}, {"a": "user", "b": "user"})), 409)
    succeeded(await published.sync(published.label({"a": 1, "b": 2}, {"a": "system", "b": "user"})))


async def test_afterwards_labels_are_only_repeated(published: Published) -> None:
    await published.sync(published.label({"a": 1}))
    published.registry.clock.now += ADDITION_TIME + 1
    assert succeeded(await published.sync(published.label({"a": 1})))["noops"] == 1
    refused(await published.sync(published.label({"a": 1, "b": 2})), 409)
    batch = {"labels": [published.label({"a": 2})]}
    assert succeeded(await published.session.post("/labels/batch", batch))["updated"] == 1, "its session may"


async def test_a_session_that_publishes_the_lineage_again_adds_labels_for_a_while(published: Published) -> None:
    async def again(metadata: Json) -> Json:
        second = await publish(published.registry)
        assert second.hash == published.hash
        return succeeded(await second.session.post("/labels/batch", {"labels": [published.label(metadata)]}))

    assert (await again({"a": 1}))["created"] == 1
    assert (await again({"a": 1}))["noops"] == 1
    assert (await again({"a": 1, "b": 2}))["updated"] == 1
    assert (await again({"a": 2}))["skipped"] == 1
    published.registry.clock.now += ADDITION_TIME + 1
    assert (await again({"a": 1, "b": 2, "c": 3}))["skipped"] == 1
    assert await published.labels() == {"a": 1, "b": 2}


async def test_the_members_of_a_composite_are_added_for_a_while_and_not_changed(published: Published) -> None:
    assert succeeded(await published.compose(1, members=1))["created"] is True
    assert succeeded(await published.compose(1, members=1))["created"] is False
    assert succeeded(await published.compose(1, members=0))["created"] is False
    (kept,) = published.registry.store.read(lambda db: db.execute("SELECT composite FROM artifacts").fetchone())
    assert digest(5) in kept
    other = await publish(published.registry, number=2)
    published.registry.clock.now += ADDITION_TIME + 1
    refused(await other.compose(1), 409)


async def test_an_artifact_that_the_lineage_does_not_have_is_not_added(published: Published) -> None:
    refused(await published.compose(3), 409)
    assert (await published.registry.lineage(published.hash))["artifacts_count"] == 1


async def test_a_users_lineage_accepts_additions_only_from_that_user(registry: Registry) -> None:
    alice, bob = registry.person("alice"), registry.person("bob")
    published = await publish(registry, Bearer(alice))
    for auth in (NO_AUTH, Bearer(bob)):
        refused(await published.sync(published.label({"a": 1}), auth=auth), 403)
        refused(await published.compose(1, auth=auth), 403)
    registry.clock.now += ADDITION_TIME + 1
    for auth in (Bearer(alice), Ssh(alice)):
        succeeded(await published.compose(1, auth=auth))
        succeeded(await published.sync(published.label({"a": 1}), auth=auth))


def unplaced(metadata: Json, number: int = 1) -> Json:
    """The label of an artifact that names no lineage, as roar-cli 0.2.11 sends it."""
    return {"entity_type": "artifact", "artifact_hash": digest(number), "metadata": metadata}


async def read(registry: Registry, number: int = 1, auth: httpx2.Auth = NO_AUTH) -> tuple[Json, list[Json]]:
    """The current label and all versions of an artifact's labels, found by its digest."""
    where = {"entity_type": "artifact", "artifact_hash": digest(number)}
    current = succeeded(await registry.client.get(CURRENT, params=where, auth=auth))
    return current, succeeded(await registry.client.get(HISTORY, params=where, auth=auth))["labels"]


async def test_the_label_of_an_artifact_needs_no_lineage(registry: Registry) -> None:
    await publish(registry)
    registry.clock.now += 1
    newest = await publish(registry, number=2)
    assert succeeded(await newest.sync(unplaced({"a": 1})))["created"] == 1
    current, versions = await read(registry)
    assert (current["metadata"], current["sessionHash"], current["version"]) == ({"a": 1}, newest.hash, 1)
    assert [row["metadata"] for row in versions] == [{"a": 1}]


async def test_a_label_without_a_lineage_goes_to_ones_own(registry: Registry) -> None:
    alice = registry.person("alice")
    own = await publish(registry, Bearer(alice), scope_request=OWN)
    registry.clock.now += 1
    anonymous = await publish(registry, number=2)
    assert succeeded(await anonymous.sync(unplaced({"whose": "hers"}), auth=Ssh(alice)))["created"] == 1
    assert succeeded(await anonymous.sync(unplaced({"whose": "anonymous"})))["created"] == 1
    current, versions = await read(registry, auth=Bearer(alice))
    assert {row["sessionHash"]: row["metadata"]["whose"] for row in versions} == {
        own.hash: "hers",
        anonymous.hash: "anonymous",
    }
    assert current == {**next(row for row in versions if row["sessionHash"] == own.hash), "canEdit": True}


@pytest.mark.parametrize("label", [unplaced({}, number=9), {"entity_type": "dag", "metadata": {}}])
async def test_a_label_without_a_place_is_refused(published: Published, label: Json) -> None:
    refused(await published.sync(label), 404 if label["entity_type"] == "artifact" else 422)
    job_label = {"entity_type": "job", "job_uid": uid(1), "metadata": {}}
    refused(await published.sync(job_label), 422)


async def test_labels_of_a_private_lineage_are_visible_only_to_its_readers(registry: Registry) -> None:
    alice, bob = registry.person("alice"), registry.person("bob")
    published = await publish(registry, Bearer(alice), scope_request=OWN)
    succeeded(await published.sync(unplaced({"secret": 1}), auth=Bearer(alice)))
    outsiders: list[tuple[httpx2.Auth, Person | None]] = [(NO_AUTH, None), (Bearer(bob), bob), (Ssh(bob), bob)]
    for auth, _person in outsiders:
        for path in (CURRENT, HISTORY):
            where = {"entity_type": "artifact", "artifact_hash": digest(1)}
            refused(await registry.client.get(path, params=where, auth=auth), 404)
        refused(await published.sync(unplaced({"defaced": 1}), auth=auth), 404)
    assert (await read(registry, auth=Ssh(alice)))[0]["metadata"] == {"secret": 1}


@pytest.mark.parametrize("keys", [0, 1000], ids=["document", "origins"])
async def test_small_additions_do_not_parse_a_large_document(
    published: Published, keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request has room for a thousand of them, and reading a document for each would take seconds."""
    origins = {f"key{number}": "user" for number in range(keys)}
    metadata: Json = {} if keys else {f"key{number}": {} for number in range(5000)}
    succeeded(await published.sync({**published.label(metadata), "key_origins": origins}))
    parsed: list[str] = []

    def load_document(text: str) -> object:
        parsed.append(text)
        return documents.load_document(text)

    monkeypatch.setattr(labels, "load_document", load_document)
    refused(await published.sync(*[{**published.label({"other": 1}), "key_origins": {}}] * 100), 409)
    assert parsed == []
    succeeded(await published.sync({**published.label({**metadata, "other": 1}), "key_origins": origins}))
    assert "other" in await published.labels()
