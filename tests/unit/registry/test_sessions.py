"""Opening registration sessions, their tokens, their end."""

import pytest

from roar_publisher.registry.accounts.callers import session_token
from roar_publisher.registry.lineages.registration import LABELLING_TIME, LIFETIME
from tests.support.registry.harness import Json, Registry, artifact, job, refused

pytestmark = pytest.mark.anyio

OPEN = "/api/v1/registration-sessions"


async def test_the_same_client_id_gets_the_same_session_and_token_back(registry: Registry) -> None:
    first = await registry.open("mine")
    second = await registry.open("mine")
    assert first.opened["created"] is True
    assert second.opened == {**first.opened, "created": False}
    assert first.opened["status"] == "active"
    assert first.opened["mode"] == "anonymous_public"


async def test_sessions_without_a_client_id_are_new_each_time(registry: Registry) -> None:
    first, second = await registry.open(), await registry.open()
    assert first.root != second.root
    assert first.opened["registration_session_token"] != second.opened["registration_session_token"]


async def test_a_closed_session_is_reported_when_it_is_opened_again(registry: Registry) -> None:
    session = await registry.open("mine")
    await session.add_jobs(job(1))
    await session.finalize()
    assert (await registry.open("mine")).opened["status"] == "closed"


async def test_a_token_depends_on_the_server_and_on_the_session() -> None:
    tokens = {session_token(secret, session) for secret in (b"one", b"two") for session in ("a", "b")}
    assert len(tokens) == 4


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("", 401),
        ("RegistrationSession", 401),
        ("RegistrationSession ", 401),
        ("RegistrationSession wrong", 403),
        ("RegistrationSession \u00e9", 403),
        ("Bearer token", 401),
        ('Signature keyid="a" ts="1" sig="b"', 401),
    ],
)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs/batch", {"jobs": []}),
        ("/artifacts/batch", {"artifacts": []}),
        ("/artifacts/composites", {**artifact(1), "hash": "a", "component_count_total": 0}),
        ("/jobs/a/inputs", {"artifacts": []}),
        ("/jobs/a/outputs", {"artifacts": []}),
        ("/jobs/a/view-edges", {"view_edges": []}),
        ("/finalize", {}),
        ("/labels/batch", {"labels": []}),
    ],
)
async def test_without_the_sessions_own_token_nothing_is_done(
    registry: Registry, path: str, body: object, authorization: str | None, status: int
) -> None:
    session = await registry.open()
    headers = {} if authorization is None else {b"Authorization": authorization.encode("latin-1")}
    refused(await registry.client.post(session.root + path, json=body, headers=headers), status)


async def test_another_sessions_token_does_not_open_this_one(registry: Registry) -> None:
    mine, theirs = await registry.open(), await registry.open()
    theirs.opened["registration_session_id"] = mine.opened["registration_session_id"]
    refused(await theirs.post("/jobs/batch", {"jobs": [job(1)]}), 403)


async def test_an_unknown_session_is_404(registry: Registry) -> None:
    session = await registry.open()
    session.opened["registration_session_id"] = "0" * 32
    session.opened["registration_session_token"] = session_token(registry.store.secret, "0" * 32)
    refused(await session.post("/jobs/batch", {"jobs": [job(1)]}), 404)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ({}, {}, 401),
        ({"mode": "anonymous_public"}, {"Authorization": "Bearer token"}, 401),
        ({"mode": "something_else"}, {}, 422),
        ({"mode": "anonymous_public", "client_session_id": 7}, {}, 422),
        ({"mode": "anonymous_public", "client_session_id": ""}, {}, 422),
        ([], {}, 422),
    ],
)
async def test_opening_is_refused_readably(
    registry: Registry, body: object, headers: dict[str, str], status: int
) -> None:
    refused(await registry.client.post(OPEN, json=body, headers=headers), status)


async def test_a_session_expires_and_its_client_id_opens_a_new_one(registry: Registry) -> None:
    session = await registry.open("mine")
    await session.add_jobs(job(1))
    registry.clock.now += LIFETIME
    refused(await session.post("/jobs/batch", {"jobs": [job(2)]}), 404)
    refused(await session.post("/finalize", {}), 404)
    again = await registry.open("mine")
    assert again.opened["created"] is True
    assert again.root != session.root
    await again.add_jobs(job(1))
    assert (await again.finalize(expected={"jobs": 1}))["created"] is True


async def test_each_write_prolongs_a_sessions_life(registry: Registry) -> None:
    session = await registry.open()
    for number in range(4):
        registry.clock.now += LIFETIME - 1
        await session.add_jobs(job(number))
    assert (await session.finalize())["staged_counts"]["jobs"] == 4


async def test_a_closed_session_never_expires(registry: Registry) -> None:
    session = await registry.open("mine")
    await session.add_jobs(job(1))
    receipt = await session.finalize()
    registry.clock.now += 100 * LIFETIME
    await registry.open("another user's")
    assert (await registry.open("mine")).opened["status"] == "closed"
    assert await session.finalize() == receipt


async def test_a_token_expires_some_time_after_finalize_and_is_renewed_by_opening_the_session_again(
    registry: Registry,
) -> None:
    session = await registry.open("mine")
    await session.add_jobs(job(1))
    receipt = await session.finalize()
    registry.clock.now += LABELLING_TIME - 1
    assert await session.finalize() == receipt
    registry.clock.now += 1
    bodies: dict[str, Json] = {"/finalize": {}, "/labels/batch": {"labels": []}, "/jobs/batch": {"jobs": []}}
    for path, body in bodies.items():
        assert "expired" in refused(await session.post(path, body), 401)
    await registry.open("mine")
    assert await session.finalize() == receipt
