"""Requests without a credential: health, features, lineages, pages."""

import httpx2
import pytest

from roar_publisher.glaas.features import Health, RegistrationSessionFeatures
from roar_publisher.registry.api.app import ALL_FEATURES
from roar_publisher.registry.api.pages import JOBS_PER_PAGE
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.job_views import LINKS_SHOWN
from tests.support.registry.harness import (
    NO_AUTH,
    Json,
    Registry,
    artifact,
    digest,
    job,
    link,
    make_registry,
    refused,
    succeeded,
    uid,
    uids_of,
)
from tests.support.registry.people import Bearer

pytestmark = pytest.mark.anyio

OPEN = "/api/v1/registration-sessions"


async def test_health_advertises_the_features(registry: Registry) -> None:
    body = succeeded(await registry.client.get("/api/v1/health"))
    assert Health.read(body).features.registration_sessions == ALL_FEATURES


async def test_without_registration_sessions_they_are_neither_advertised_nor_there(
    anyio_backend: str, store: Store
) -> None:
    async with make_registry(store, features=None).client as client:
        assert "registration_sessions" not in succeeded(await client.get("/api/v1/health"))["features"]
        refused(await client.post(OPEN, json={"mode": "anonymous_public"}), 404)


async def test_without_anonymous_sessions_opening_one_is_403(anyio_backend: str, store: Store) -> None:
    features = RegistrationSessionFeatures(finalize_server_authoritative_hash=True)
    async with make_registry(store, features=features).client as client:
        advertised = Health.read(succeeded(await client.get("/api/v1/health"))).features.registration_sessions
        assert advertised == features
        refused(await client.post(OPEN, json={"mode": "anonymous_public"}), 403)


@pytest.mark.parametrize("path", ["/sessions?limit=1", "/sessions", "/auth/me", "/auth/access-context"])
@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer token"}, {"Authorization": "Signature x"}])
async def test_no_credential_is_not_signed_in(registry: Registry, path: str, headers: dict[str, str]) -> None:
    refused(await registry.client.get(f"/api/v1{path}", headers=headers), 401)


async def test_an_unknown_lineage_is_404_for_programs_and_people(registry: Registry) -> None:
    refused(await registry.client.get(f"/api/v1/sessions/{'0' * 64}"), 404)
    page = await registry.client.get(f"/dag/{'0' * 64}")
    assert page.status_code == 404
    assert page.headers["content-type"].startswith("text/html")


async def test_a_lineage_is_read_page_by_page_in_step_order(registry: Registry) -> None:
    jobs = 2 * JOBS_PER_PAGE + 5
    session = await registry.open()
    await session.add_jobs(*(job(number) for number in reversed(range(jobs))))
    lineage_hash = (await session.finalize())["hash"]
    read: list[str] = []
    for offset in range(0, jobs, 40):
        part = succeeded(await registry.client.get(f"/api/v1/sessions/{lineage_hash}?offset={offset}&limit=40"))
        read += uids_of(part)
    assert read == [uid(number) for number in range(jobs)]
    pages = [(await registry.client.get(f"/dag/{lineage_hash}?page={page}")).text for page in (1, 2, 3, 4)]
    assert [page.count("<article") for page in pages] == [JOBS_PER_PAGE, JOBS_PER_PAGE, 5, 0]
    assert f"101&ndash;105 of {jobs}" in pages[2]
    assert (await registry.client.get(f"/dag/{lineage_hash}?page=x")).status_code == 422


async def test_a_job_with_many_links_shows_the_first_and_counts_the_rest(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    for first in range(0, LINKS_SHOWN + 23, 50):
        await session.add_links(1, "outputs", *(link(n) for n in range(first, min(first + 50, LINKS_SHOWN + 23))))
    lineage_hash = (await session.finalize())["hash"]
    (published,) = (await registry.lineage(lineage_hash))["jobs"]
    assert (len(published["outputs"]), published["outputs_count"]) == (LINKS_SHOWN, LINKS_SHOWN + 23)
    assert "and 23 more" in (await registry.client.get(f"/dag/{lineage_hash}")).text


async def test_the_page_shows_the_lineage_and_runs_nothing_of_it(registry: Registry) -> None:
    attack = "<script>alert(1)</script>"
    session = await registry.open()
    await session.add_jobs(job(1, command=f"python {attack}", job_type=attack, timestamp=1e300, parent_job_uid='"><b>'))
    await session.add_jobs(job(2, exit_code=3))
    await session.add_links(1, "outputs", link(7, f"/{attack}"), {**link(8), "hash": '"><script>alert(2)</script>'})
    await session.add_links(2, "inputs", link(7, "/model.bin"))
    receipt = await session.finalize(git_repo="javascript:alert(1)", git_branch=attack)
    label = {"entity_type": "dag", "session_hash": receipt["hash"], "metadata": {attack: {"deep": [attack]}}}
    succeeded(await session.post("/labels/batch", {"labels": [label]}))
    for page in (await registry.client.get(f"/dag/{receipt['hash']}"), await registry.client.get("/")):
        assert page.status_code == 200
        assert "<script" not in page.text
        assert 'href="javascript' not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "&lt;script&gt;" in page.text
    page = await registry.client.get(f"/dag/{receipt['hash']}")
    for shown in (receipt["hash"], "exit 3", "/model.bin", "c" * 40, "&larr; step 1", "Step 2"):
        assert shown in page.text


async def test_an_empty_registry_has_a_front_page(registry: Registry) -> None:
    assert "Nothing is published yet" in (await registry.client.get("/")).text


async def test_an_artifact_has_its_time_scope_and_labels(registry: Registry) -> None:
    """In the shape that `roar show` reads."""
    alice = registry.person("alice")
    own = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
    hashes = []
    for auth, finalize, metadata in (
        (Bearer(alice), {"scope_request": own}, {"a": "hers", "b": 1}),
        (NO_AUTH, {}, {"a": "anonymous"}),
    ):
        session = await registry.open(auth=auth)
        await session.add_jobs(job(1))
        await session.add_artifacts(artifact(1))
        hashes.append((await session.finalize(**finalize))["hash"])
        label = {"entity_type": "artifact", "artifact_hash": digest(1), "session_hash": hashes[-1]}
        for version in ({"a": "before"}, metadata):
            succeeded(await session.post("/labels/batch", {"labels": [{**label, "metadata": version}]}))
        registry.clock.now += 60

    async def found(auth: httpx2.Auth) -> Json:
        return succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(1)}", auth=auth))

    hers, public = await found(Bearer(alice)), await found(NO_AUTH)
    assert [row["metadata"] for row in hers["labels"]] == [{"a": "anonymous"}, {"a": "hers", "b": 1}]
    assert [row["metadata"] for row in public["labels"]] == [{"a": "anonymous"}]
    assert hers["scope"] == {"visibility": "private", "owner_id": alice.user.id, "project_id": None}
    assert public["scope"] == {"visibility": "public", "owner_id": None, "project_id": None}
    assert [found["original_session_hash"] for found in (hers, public)] == hashes
    assert (hers["registeredAt"], public["registeredAt"]) == ("2027-01-15T08:00:00Z", "2027-01-15T08:01:00Z")


async def test_an_artifact_is_found_by_digest_or_prefix_once_it_is_published(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    other = 0xAB12CD34 << 224
    await session.add_artifacts(artifact(1, size=42), artifact(other))
    refused(await registry.client.get(f"/api/v1/artifacts/{digest(1)}"), 404)
    lineage_hash = (await session.finalize())["hash"]
    found = succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(1)}"))
    assert (found["hash"], found["size"], found["original_session_hash"]) == (digest(1), 42, lineage_hash)
    prefix = digest(other)[:8]
    assert succeeded(await registry.client.get(f"/api/v1/artifacts/{prefix}"))["hash"].startswith(prefix)
    for unknown in (digest(1)[:7], digest(1) + "0", "x" * 64, "%00" * 8):
        refused(await registry.client.get(f"/api/v1/artifacts/{unknown}"), 404)


async def test_a_lineage_is_found_by_the_beginning_of_its_hash(registry: Registry) -> None:
    """The pages print twelve digits. A reader without access does not learn that a lineage exists."""
    alice = registry.person("alice")
    own = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
    public, private = await registry.open(), await registry.open(auth=Bearer(alice))
    await public.add_jobs(job(1))
    await private.add_jobs(job(2))
    lineage_hash = (await public.finalize())["hash"]
    hidden = (await private.finalize(scope_request=own))["hash"]
    for prefix in (lineage_hash[:8], lineage_hash[:12], lineage_hash[:63]):
        assert succeeded(await registry.client.get(f"/api/v1/sessions/{prefix}"))["hash"] == lineage_hash
        page = await registry.client.get(f"/dag/{prefix}")
        assert (page.status_code, lineage_hash in page.text) == (200, True)
    for unknown in (lineage_hash[:7], hidden[:12], lineage_hash + "0", "%00" * 8):
        refused(await registry.client.get(f"/api/v1/sessions/{unknown}"), 404)


async def test_an_ambiguous_prefix_is_409(registry: Registry, store: Store) -> None:
    hashes = []
    for number in (1, 2):
        session = await registry.open()
        await session.add_jobs(job(number))
        await session.add_artifacts(artifact(number))
        hashes.append((await session.finalize())["hash"])
    lineage_hash, prefix = hashes[0], digest(1)[:8]
    near = lineage_hash[:12] + "0" * 52
    store.write(lambda connection: connection.execute("UPDATE lineages SET hash = ? WHERE hash = ?", [near, hashes[1]]))
    several = "several lineages begin with"
    assert several in refused(await registry.client.get(f"/api/v1/sessions/{lineage_hash[:12]}"), 409)
    assert several in (await registry.client.get(f"/dag/{lineage_hash[:12]}")).text
    assert succeeded(await registry.client.get(f"/api/v1/sessions/{near}"))["hash"] == near
    answer = refused(await registry.client.get(f"/api/v1/artifacts/{prefix}"), 409)
    assert "several artifacts begin with" in answer


async def test_a_whole_digest_is_found_whatever_a_stranger_publishes_behind_it(registry: Registry) -> None:
    for text in (digest(1), digest(1) + "0", digest(1) + "1"):
        session = await registry.open()
        await session.add_jobs(job(1))
        await session.add_links(1, "inputs", {"hash": text, "path": "/a"})
        await session.finalize()
        found = succeeded(await registry.client.get(f"/api/v1/artifacts/{digest(1)}"))
        assert found["hash"] == digest(1)
