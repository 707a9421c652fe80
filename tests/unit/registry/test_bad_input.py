"""Whatever arrives is answered: a status that fits, JSON with a `detail`, no traceback, and nothing half done."""

import json
from collections.abc import AsyncIterator

import anyio
import pytest

from roar_publisher.glaas import wire
from roar_publisher.glaas.batches import Job, Link
from roar_publisher.registry.api.bodies import BODY_SECONDS
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages import staging
from roar_publisher.registry.store.graphs import new_graph
from roar_publisher.registry.store.jobs import LinkKind
from tests.support import virtual
from tests.support.registry.engines import sqlite_of
from tests.support.registry.features import SMALL_REQUESTS
from tests.support.registry.harness import (
    GIT,
    Json,
    Registry,
    digest,
    job,
    link,
    make_registry,
    refused,
    run_inline,
    succeeded,
    uid,
)
from tests.support.registry.people import Bearer

pytestmark = pytest.mark.anyio

HUGE = 10**400
DEEP = "[" * 5000 + "]" * 5000

NO_JSON = {
    "text": b"hello",
    "truncated": b'{"jobs": [',
    "not unicode": b'{"jobs": "\xff\xfe"}',
    "half a surrogate": b'{"jobs": [{"command": "\\ud800"}]}',
    "too deep": f'{{"jobs": {DEEP}}}'.encode(),
    "binary": bytes(range(256)),
}
WRONG_SHAPES: dict[str, object] = {
    "no object": [1],
    "nothing in it": {},
    "jobs are not a list": {"jobs": {}},
    "a job is not an object": {"jobs": [1]},
    "no command": {"jobs": [{"job_uid": "a"}]},
    "no uid": {"jobs": [{"command": "a"}]},
    "empty uid": {"jobs": [job(1, job_uid="")]},
    "uid with a space": {"jobs": [job(1, job_uid="a b")]},
    "endless uid": {"jobs": [job(1, job_uid="a" * 257)]},
    "NUL in the command": {"jobs": [job(1, command="a\0b")]},
    "command is a number": {"jobs": [job(1, command=1)]},
    "step is a text": {"jobs": [job(1, step_number="1")]},
    "step below zero": {"jobs": [job(1, step_number=-1)]},
    "step past the column": {"jobs": [job(1, step_number=2**63)]},
    "exit code past the column": {"jobs": [job(1, exit_code=HUGE)]},
    "metadata is not a text": {"jobs": [job(1, metadata={"a": 1})]},
    "time is a text": {"jobs": [job(1, timestamp="now")]},
}


@pytest.mark.parametrize("name", NO_JSON)
async def test_invalid_json_is_400(registry: Registry, name: str) -> None:
    session = await registry.open()
    token = session.opened["registration_session_token"]
    headers = {"Authorization": f"RegistrationSession {token}", "Content-Type": "application/json"}
    refused(await registry.client.post(f"{session.root}/jobs/batch", content=NO_JSON[name], headers=headers), 400)


async def test_no_body_counts_as_an_empty_object(registry: Registry) -> None:
    session = await registry.open()
    headers = {"Authorization": f"RegistrationSession {session.opened['registration_session_token']}"}
    refused(await registry.client.post(f"{session.root}/jobs/batch", headers=headers), 422)


@pytest.mark.parametrize("name", WRONG_SHAPES)
async def test_json_of_another_shape_is_422(registry: Registry, name: str) -> None:
    session = await registry.open()
    refused(await session.post("/jobs/batch", WRONG_SHAPES[name]), 422)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", str(HUGE).encode()])
async def test_numbers_that_are_not_finite_are_refused(registry: Registry, number: bytes) -> None:
    session = await registry.open()
    token = session.opened["registration_session_token"]
    body = b'{"jobs": [{"command": "a", "job_uid": "a", "timestamp": ' + number + b"}]}"
    headers = {"Authorization": f"RegistrationSession {token}"}
    response = await registry.client.post(f"{session.root}/jobs/batch", content=body, headers=headers)
    assert response.status_code in (400, 422)
    assert response.json()["detail"]


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
async def test_numbers_that_are_not_finite_are_kept_as_null_in_free_documents(
    registry: Registry, store: Store, number: bytes
) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    named = digest(1).encode()

    async def send(path: str, body: bytes) -> None:
        body = body.replace(b"?", b'{"x": [1.5, %s]}' % number)
        headers = {"Authorization": session.token}
        succeeded(await registry.client.post(session.root + path, content=body, headers=headers))

    hashes = b'"hashes": [{"algorithm": "blake3", "digest": "%s"}], "size": 1' % named
    await send("/artifacts/batch", b'{"artifacts": [{%s, "metadata": ?}]}' % hashes)
    await send(
        "/artifacts/composites",
        b'{"hash": "c", %s, "metadata": ?, "component_count_total": 1, "membership_index": ?,'
        b' "components": [{"relative_path": "a", "component_digest": "b", "more": ?}]}' % hashes,
    )
    use = b'{"hash": "%s", "path": "/a", "metadata": ?, "byte_ranges": ?}' % named
    await send(f"/jobs/{uid(1)}/inputs", b'{"artifacts": [%s]}' % use)
    edge = b'{"relation": "reads", "target_hash": "c", "more": ?}'
    await send(f"/jobs/{uid(1)}/view-edges", b'{"view_edges": [%s]}' % edge)
    lineage_hash = (await session.finalize())["hash"]
    label = b'{"entity_type": "dag", "session_hash": "%s", "metadata": ?}' % lineage_hash.encode()
    await send("/labels/batch", b'{"labels": [%s]}' % label)

    kept = "".join(sqlite_of(store).iterdump())
    assert "NaN" not in kept
    assert "Infinity" not in kept
    assert kept.count("[1.5,null]") == 8
    assert await labels_read(registry, lineage_hash) == {"x": [1.5, None]}


async def test_numbers_that_are_not_finite_and_were_kept_before_are_read_as_null(
    registry: Registry, store: Store
) -> None:
    alice = registry.person("alice")
    session = await registry.open(auth=Bearer(alice))
    await session.add_jobs(job(1))
    lineage_hash = (await session.finalize())["hash"]
    label = {"entity_type": "dag", "session_hash": lineage_hash, "metadata": {}}
    succeeded(await session.post("/labels/batch", {"labels": [label]}))
    earlier = '{"x":[NaN,Infinity,-Infinity]}'
    store.write(lambda connection: connection.execute("UPDATE labels SET metadata = ?", (earlier,)))
    assert await labels_read(registry, lineage_hash) == {"x": [None, None, None]}
    edit = {"session_hash": lineage_hash, "labels": [{"entity_type": "dag", "metadata": {"y": 1}}]}
    succeeded(await registry.client.post("/api/v1/labels/reconcile", json=edit, auth=Bearer(alice)))
    assert await labels_read(registry, lineage_hash) == {"x": [None, None, None], "y": 1}


async def labels_read(registry: Registry, lineage_hash: str) -> Json:
    """A lineage's labels, the same wherever they are read."""
    where = {"entity_type": "dag", "session_hash": lineage_hash}
    current = succeeded(await registry.client.get("/api/v1/labels/current", params=where))["metadata"]
    history = succeeded(await registry.client.get("/api/v1/labels/history", params=where))["labels"]
    labels: Json = (await registry.lineage(lineage_hash))["labels"]
    assert labels == current == history[-1]["metadata"]
    assert (await registry.client.get(f"/dag/{lineage_hash}")).status_code == 200
    return labels


def test_a_missing_body_is_408_and_delays_no_other_request() -> None:
    async def scenario() -> None:
        registry = make_registry(Store.in_memory(), run=run_inline)

        async def stuck() -> AsyncIterator[bytes]:
            yield b'{"hash": '
            await anyio.sleep_forever()

        began = anyio.current_time()
        with anyio.fail_after(2 * BODY_SECONDS):
            response = await registry.client.post("/api/v1/sessions", content=stuck())
        assert "too slowly" in refused(response, 408)
        assert response.headers["connection"] == "close"
        assert anyio.current_time() - began == pytest.approx(BODY_SECONDS, abs=0.1)
        registry.store.close()

    virtual.run(scenario)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/artifacts/batch", {"artifacts": [{"hashes": [], "size": 1}]}),
        ("/artifacts/batch", {"artifacts": [{"hashes": [{"algorithm": "blake3"}], "size": 1}]}),
        ("/artifacts/batch", {"artifacts": [{"hashes": [{"algorithm": "blake3", "digest": "a"}], "size": -1}]}),
        ("/artifacts/batch", {"artifacts": [{"hashes": [{"algorithm": "blake3", "digest": "a"}], "size": 1.5}]}),
        (f"/jobs/{uid(1)}/inputs", {"artifacts": [{"hash": "", "path": "/a"}]}),
        (f"/jobs/{uid(1)}/inputs", {"artifacts": [{"hash": "a"}]}),
        (f"/jobs/{uid(1)}/inputs", {"artifacts": [{"hash": "a", "path": "/a\0"}]}),
        (f"/jobs/{uid(1)}/outputs", {"artifacts": "all"}),
        ("/finalize", {"expected": {"jobs": -1}}),
        ("/finalize", {"expected": {"jobs": True}}),
        ("/finalize", {"expected": 3}),
        ("/finalize", {"git_repo": 3}),
        ("/labels/batch", {"labels": [{"entity_type": "dag", "session_hash": "a" * 64}]}),
    ],
)
async def test_the_other_bodies_are_checked_as_well(registry: Registry, path: str, body: Json) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    refused(await session.post(path, body), 422)


@pytest.mark.parametrize(
    "metadata",
    [
        "",
        "no json",
        "[1, 2]",
        "null",
        '{"a": ' * 3000 + "1" + "}" * 3000,
        '{"n": ' + "9" * 5000 + "}",
        '{"a": "\\ud800"}',
    ],
    ids=["empty", "text", "list", "null", "deep", "huge number", "surrogate"],
)
async def test_odd_job_metadata_is_hashed_like_the_client_hashes_it(registry: Registry, metadata: str) -> None:
    session = await registry.open()
    await session.add_jobs(job(1, metadata=metadata))
    lineage_hash = (await session.finalize())["hash"]
    assert (await registry.client.get(f"/dag/{lineage_hash}")).status_code == 200


async def test_a_long_list_of_errors_is_shortened(registry: Registry) -> None:
    session = await registry.open()
    fields = ("hash", "hashes", "size", "component_count_total", "components")
    detail = refused(await session.post("/artifacts/composites", {key: {} for key in fields}), 422)
    assert "more)" in detail
    assert len(detail) < 500


@pytest.mark.parametrize("limit", [1000, 102_400])
async def test_a_body_past_the_limit_is_413_and_one_at_the_limit_is_taken(
    anyio_backend: str, store: Store, limit: int
) -> None:
    registry = make_registry(store, body_limit=limit, bulk=SMALL_REQUESTS)
    async with registry.client:
        session = await registry.open()
        headers = {"Authorization": f"RegistrationSession {session.opened['registration_session_token']}"}
        fitting = json.dumps({"jobs": [job(1)]}).encode().ljust(limit)
        url = f"{session.root}/jobs/batch"
        assert succeeded(await registry.client.post(url, content=fitting, headers=headers))["created_count"] == 1
        refused(await registry.client.post(url, content=fitting + b" ", headers=headers), 413)


@pytest.mark.parametrize("path", ["/", "/nope", "/api/v1/nope", "/api/v1/sessions/x/y", "/dag/", "/%00", "/api/v1/%ff"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_unknown_endpoints_and_methods_are_json_too(registry: Registry, method: str, path: str) -> None:
    response = await registry.client.request(method, path, follow_redirects=False)
    assert response.status_code in (404, 405)
    assert response.json()["detail"]


@pytest.mark.parametrize("name", ["nope", "%00", "%ff", "a" * 10_000, "'; DROP TABLE jobs; --", "\u00e9"])
async def test_odd_names_in_paths_are_404(registry: Registry, name: str) -> None:
    refused(await registry.client.get(f"/api/v1/sessions/{name}"), 404)
    assert (await registry.client.get(f"/dag/{name}")).status_code == 404
    session = await registry.open()
    headers = {"Authorization": session.token}
    finalize = f"/api/v1/registration-sessions/{name}/finalize"
    refused(await registry.client.post(finalize, json=GIT, headers=headers), 403)
    refused(await session.post(f"/jobs/{name}/inputs", {"artifacts": [link(1)]}), 404)


@pytest.mark.parametrize("query", ["offset=-1", "limit=x", "limit=1001", "offset=" + "9" * 5000, "limit=\u0663"])
async def test_odd_queries_are_422(registry: Registry, query: str) -> None:
    refused(await registry.client.get(f"/api/v1/sessions/{'a' * 64}?{query}"), 422)


@pytest.mark.parametrize("host", ["", "a b", "[", "<script>", "evil.example:99999", "a" * 5000])
async def test_an_odd_host_header_breaks_nothing(registry: Registry, host: str) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    token = session.opened["registration_session_token"]
    headers = {"Authorization": f"RegistrationSession {token}", "Host": host}
    response = await registry.client.post(f"{session.root}/finalize", json=GIT, headers=headers)
    assert response.status_code in (200, 400)
    assert "detail" in response.json() or response.json()["hash"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/jobs/batch", {"jobs": [{}] * 30_000}),
        ("/jobs/batch", {"jobs": [1] * 30_000}),
        (f"/jobs/{uid(1)}/inputs", {"artifacts": [{"hash": "a"}] * 6_000}),
        ("/labels/batch", {"labels": [{}] * 30_000}),
        ("/artifacts/batch", {"artifacts": [{"hashes": [{}] * 30_000, "size": 1}]}),
    ],
    ids=["empty jobs", "numbers", "links", "labels", "hashes"],
)
async def test_only_the_first_of_many_invalid_items_is_described(registry: Registry, path: str, body: Json) -> None:
    session = await registry.open()
    detail = refused(await session.post(path, body), 422)
    assert ".0" in detail or f" {wire.MOST_ITEMS}" in detail
    assert ".1" not in detail


async def test_more_items_than_fit_are_refused(anyio_backend: str, store: Store) -> None:
    """Where a registry takes larger bodies than usual."""
    registry = make_registry(store, body_limit=10**7)
    async with registry.client:
        session = await registry.open()
        jobs = [{"command": "", "job_uid": str(number)} for number in range(wire.MOST_ITEMS + 1)]
        assert "5000" in refused(await session.post("/jobs/batch", {"jobs": jobs}), 422)
        succeeded(await session.post("/jobs/batch", {"jobs": jobs[:-1]}))


async def test_an_error_does_not_repeat_the_clients_input(registry: Registry) -> None:
    session = await registry.open()
    label = {
        "entity_type": "dag",
        "metadata": {},
        "key_origins": {f"{number}" + "x" * 20_000: 1 for number in range(4)},
    }
    assert len(refused(await session.post("/labels/batch", {"labels": [label]}), 422)) < 600


DEEPEST = 190
"""Levels that certainly pass; JSON of some levels more is refused by the parser."""


@pytest.mark.parametrize("levels", [DEEPEST, 400, 20_000])
async def test_depth_is_bounded_and_accepted_documents_can_be_read(registry: Registry, levels: int) -> None:
    session = await registry.open()
    await session.add_jobs(job(1, metadata='{"a":' * 5_000 + "1" + "}" * 5_000))
    lineage_hash = (await session.finalize())["hash"]
    deep = '{"a":' * levels + "1" + "}" * levels
    body = f'{{"labels": [{{"entity_type": "dag", "session_hash": "{lineage_hash}", "metadata": {deep}}}]}}'
    response = await registry.client.post(
        f"{session.root}/labels/batch", content=body[:100_000], headers={"Authorization": session.token}
    )
    assert response.status_code == (200 if levels == DEEPEST else 400)
    assert (await registry.client.get(f"/dag/{lineage_hash}")).status_code == 200
    assert (await registry.lineage(lineage_hash))["jobs_count"] == 1


def test_what_is_too_deep_to_be_written_is_refused(store: Store) -> None:
    """Reading takes less of the stack, so a document may be read that cannot be written."""
    document: Json = {}
    for _ in range(100_000):
        document = {"a": document}
    graph_id = store.write(new_graph)
    store.write(staging.add_jobs, graph_id, [Job(command="x", job_uid=uid(1))])
    for deep in (Link(hash=digest(1), path="", metadata=document), Link(hash=digest(1), path="", byte_ranges=document)):
        with pytest.raises(Refusal, match="nested too deep") as refusal:
            store.write(staging.add_links, graph_id, uid(1), LinkKind.INPUTS, [deep])
        assert refusal.value.status == 400
