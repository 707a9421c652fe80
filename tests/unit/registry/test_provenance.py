"""What `roar reproduce`, `diff` and `show` read: artifacts, their components, and the jobs that led to them."""

import json

import anyio
import httpx2
import pytest

from roar_publisher.registry.api import replays
from roar_publisher.registry.api.artifacts import SEARCHES, SEARCHES_OF_CLIENT
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.bounds import REPLY_BYTES
from roar_publisher.registry.lineages import digest_search, replay, upstream
from roar_publisher.registry.lineages.reading import readable_lineage
from roar_publisher.registry.lineages.replay import replayed_jobs
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection
from roar_publisher.registry.store.provenance import places_after
from tests.support.registry.harness import (
    GIT,
    NO_AUTH,
    START,
    Json,
    Registry,
    artifact,
    digest,
    job,
    link,
    refused,
    succeeded,
    uid,
)
from tests.support.registry.people import Bearer
from tests.support.registry.provenance import publish, read, uids
from tests.unit.registry.test_costs import counted

pytestmark = pytest.mark.anyio

PRIVATE = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}


async def test_the_dag_of_an_artifact_is_what_led_to_it_in_the_order_of_the_runs(registry: Registry) -> None:
    lineage_hash = await publish(
        registry,
        (job(4, job_type=None), [2, 3], [4]),
        (job(3), [8], [3]),
        (job(2, timestamp=START + 50), [1], [2]),
        (job(6, step_number=2, timestamp=START + 40), [1], [3]),
        (job(1), [], [1]),
        (job(5), [1], [5]),
        (job(9, job_type="build", step_number=1, timestamp=START), [], []),
    )
    dag = await read(registry, f"artifacts/{digest(4)}/dag")
    assert uids(dag) == [uid(number) for number in (9, 1, 6, 2, 4)], "step 6 was the first that made 3"
    assert [each["id"] for each in dag["jobs"]] == [1, 2, 3, 4, 5]
    assert (dag["gitRepo"], dag["gitCommit"], dag["gitBranch"]) == tuple(GIT.values())
    assert (dag["dag"], dag["is_external"], dag["external_deps"]) == ({"hash": lineage_hash}, False, [])
    assert dag["artifact"]["hash"] == digest(4)
    last = dag["jobs"][-1]
    assert last == {
        "id": 5,
        "jobUid": uid(4),
        "parentJobUid": None,
        "stepNumber": 4,
        "command": "python step4.py",
        "jobType": "run",
        "timestamp": START + 4,
        "durationSeconds": 1.5,
        "exitCode": 0,
        "gitCommit": "c" * 40,
        "gitBranch": "main",
        "metadata": {"roar_version": "0.4.7", "rate": 0.1},
        "inputs": [{**link(number), "size": None} for number in (2, 3)],
        "outputs": [{**link(4), "size": None}],
    }


async def test_a_lineage_is_reproduced_from_all_of_its_jobs_at_the_last_commit(registry: Registry) -> None:
    jobs: list[tuple[Json, list[int], list[int]]] = [
        (job(3, git_commit="d" * 40), [1], [3]),
        (job(2), [1], [2]),
        (job(1), [], [1]),
    ]
    lineage_hash = await publish(registry, *jobs)
    replayed = await read(registry, f"public/sessions/{lineage_hash}/reproduction")
    assert uids(replayed) == [uid(number) for number in (1, 2, 3)]
    assert (replayed["sessionHash"], replayed["gitRepo"]) == (lineage_hash, GIT["git_repo"])
    assert replayed["gitCommit"] == "d" * 40
    without = await publish(registry, (job(1, git_commit=None, step_number=None), [], [1]))
    replayed = await read(registry, f"public/sessions/{without}/reproduction")
    assert (uids(replayed), replayed["gitCommit"]) == ([uid(1)], GIT["git_commit"])


async def test_a_job_is_not_its_own_source_and_none_comes_from_a_later_step(registry: Registry) -> None:
    await publish(
        registry,
        (job(1), [1, 2], [1, 3]),
        (job(2), [3], [2, 4]),
        (job(3), [], [1]),
    )
    dag = await read(registry, f"artifacts/{digest(4)}/dag")
    assert uids(dag) == [uid(1), uid(2)]
    assert dag["external_deps"] == [link(1), link(2)]


async def test_an_artifact_that_nobody_made_is_external(registry: Registry) -> None:
    await publish(registry, (job(1), [1], [2]))
    for path in ("dag", "lineage"):
        found = await read(registry, f"artifacts/{digest(1)}/{path}")
        assert (found["is_external"], found["jobs"], found["dag"], found["producedBy"]) == (True, [], None, None)
        assert (found["artifact"]["hash"], found["gitRepo"]) == (digest(1), None)


async def test_the_lineage_of_an_artifact_goes_as_deep_as_it_is_asked_to(registry: Registry) -> None:
    chain = [(job(number), [number - 1], [number]) for number in range(1, 6)]
    lineage_hash = await publish(registry, *chain, (job(9, job_type="build"), [], []))
    for depth, expected in (("", [5]), ("?depth=1", [5]), ("?depth=3", [3, 4, 5]), ("?depth=10", [1, 2, 3, 4, 5])):
        found = await read(registry, f"artifacts/{digest(5)}/lineage{depth}")
        assert uids(found) == [uid(number) for number in expected]
        maker = {"jobUid": uid(5), "command": "python step5.py", "stepNumber": 5, "sessionHash": lineage_hash}
        assert found["producedBy"] == maker
    refused(await registry.client.get(f"/api/v1/artifacts/{digest(5)}/lineage?depth=11"), 422)


async def test_nothing_of_a_private_lineage_shows_through_a_shared_digest(registry: Registry) -> None:
    """Hers would be the better source, or the only one, or would make a prefix ambiguous."""
    alice = Bearer(registry.person("alice"))
    await publish(registry, (job(1, command="secret"), [], [1, 2]), auth=alice, scope_request=PRIVATE)
    public = await publish(registry, (job(2, command="public"), [2], [1]))
    near = int(f"{digest(1)[:60]}beef", 16)
    await publish(registry, (job(3, command="secret"), [1], [near]), auth=alice, scope_request=PRIVATE)

    for path in ("dag", "lineage?depth=10"):
        for name in (digest(1), digest(2)[:63] + "2"):
            assert "secret" not in json.dumps(await read(registry, f"artifacts/{name}/{path}"))
        shown = await read(registry, f"artifacts/{digest(1)}/{path}")
        assert (uids(shown), shown["external_deps"], shown["dag"]) == ([uid(2)], [link(2)], {"hash": public})
        assert (await read(registry, f"artifacts/{digest(2)}/{path}"))["is_external"], "hers alone made it"
        hers = await read(registry, f"artifacts/{digest(1)}/{path}", alice)
        assert uids(hers) == [uid(1)]
    refused(await registry.client.get(f"/api/v1/artifacts/{digest(near)}/dag"), 404)


async def test_lineages_that_were_staged_at_once_are_kept_apart(registry: Registry) -> None:
    """Ids of the other one's jobs are between those of this one, and its step is the earlier one."""
    public, private = await registry.open(), await registry.open(auth=Bearer(registry.person("alice")))
    await public.add_jobs(job(3))
    await private.add_jobs(job(1))
    await public.add_jobs(job(4))
    await private.add_links(1, "outputs", link(1))
    await public.add_links(3, "outputs", link(1))
    await public.add_links(4, "inputs", link(1))
    await public.add_links(4, "outputs", link(2))
    await private.finalize(scope_request=PRIVATE)
    await public.finalize()
    assert uids(await read(registry, f"artifacts/{digest(2)}/dag")) == [uid(3), uid(4)]


HIDDEN = ("artifacts/{}", "public/artifacts/{}", "artifacts/{}/dag", "artifacts/{}/lineage", "artifacts/{}/components")


@pytest.mark.parametrize("path", HIDDEN)
async def test_hidden_digests_make_no_prefix_ambiguous(
    registry: Registry, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest_search, "SLICE_DIGESTS", 5)
    alice = Bearer(registry.person("alice"))
    name, other = ([(seed << 224) + number for number in range(1, 25)] for seed in (0xAB12CD34, 0xEE12CD34))
    await publish(registry, (job(1), [], other[:2]), auth=alice, scope_request=PRIVATE)
    await publish(registry, (job(2), [], name), auth=alice, scope_request=PRIVATE)
    lone = (0xEE12CD34 << 224) + 99
    await publish(registry, (job(3), [], [lone]))
    refused(await registry.client.get("/api/v1/" + path.format("ab12cd34")), 404)
    refused(await registry.client.get("/api/v1/" + path.format("ab12cd34"), auth=alice), 409)
    assert digest(lone) in json.dumps(await read(registry, path.format("ee12cd34")))
    refused(await registry.client.get("/api/v1/" + path.format("ee12cd34"), auth=alice), 409)


async def test_the_size_of_the_slices_does_not_show(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = list(range(100, 125))
    lineage_hash = await publish(
        registry,
        *((job(number), [99], [number]) for number in wide),
        (job(200), wide, [*range(300, 310)]),
        (job(201), [300, *wide], [400]),
    )
    paths = (f"artifacts/{digest(400)}/dag", f"public/sessions/{lineage_hash}/reproduction")
    whole = [await read(registry, path) for path in paths]
    assert [len(reply["jobs"]) for reply in whole] == [27, 27]
    assert [len(whole[0]["jobs"][-1][kind]) for kind in ("inputs", "outputs")] == [26, 1]
    for module, name, value in (
        (upstream, "SLICE_INPUTS", 3),
        (upstream, "SLICE_JOBS", 2),
        (upstream, "SLICE_PLACES", 4),
        (replay, "MOST_LINKS", 5),
        (replays, "JOBS_AT_ONCE", 3),
        (replay, "REPLY_BYTES", 1000),
    ):
        monkeypatch.setattr(module, name, value)
        assert [await read(registry, path) for path in paths] == whole, name


async def test_long_paths_are_read_a_reply_at_a_time(registry: Registry, store: Store) -> None:
    """A job may have two thousand links of 100 kB, which would be in memory together."""
    session = await registry.open()
    await session.add_jobs(job(1), job(2))
    for number in range(100, 140):
        await session.add_links(2, "inputs", link(number, f"/{number}" + "x" * 50_000))
    await session.add_links(2, "outputs", link(2))
    lineage_hash = (await session.finalize())["hash"]
    lineage = store.read(readable_lineage, lineage_hash, Reader())
    ids = [place.id for place in store.read(places_after, lineage.graph_id, None, 10)]
    assert [each.wide for each in store.read(replayed_jobs, lineage, ids, 1)] == [False, True]
    page = store.read(replay.links_page, lineage, ids[1], "inputs", "")
    assert sum(len(str(each["path"])) for each in page) < REPLY_BYTES + 60_000
    reproduced = await read(registry, f"public/sessions/{lineage_hash}/reproduction")
    assert [each["hash"] for each in reproduced["jobs"][1]["inputs"]] == [digest(number) for number in range(100, 140)]
    dag = await read(registry, f"artifacts/{digest(2)}/dag")
    assert dag["jobs"] == [{**reproduced["jobs"][1], "id": 1}]
    assert sum(len(each["path"]) for each in dag["external_deps"]) < REPLY_BYTES + 60_000


async def test_searches_wait_for_each_other_and_one_client_leaves_room_for_others(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await publish(registry, *((job(number), [number - 1], [number]) for number in range(1, 9)))
    running: set[int] = set()
    most = [0]
    follow_slice = upstream.follow_slice

    def followed(connection: Connection, search: upstream.Upstream) -> None:
        running.add(id(search))
        most[0] = max(most[0], len(running))
        follow_slice(connection, search)
        if search.complete:
            running.remove(id(search))

    monkeypatch.setattr(upstream, "follow_slice", followed)
    monkeypatch.setattr(upstream, "SLICE_JOBS", 1)
    answers = []

    async def ask(address: str) -> None:
        transport = httpx2.ASGITransport(registry.app, client=(address, 4711))
        async with httpx2.AsyncClient(transport=transport, base_url="http://registry") as client:
            answer = await client.get(f"/api/v1/artifacts/{digest(8)}/dag")
        answers.append(len(succeeded(answer)["jobs"]))

    addresses = [f"192.0.2.{number}" for number in range(SEARCHES)]
    for asked, expected in ((addresses[:1] * 5, SEARCHES_OF_CLIENT), (addresses * 3, SEARCHES)):
        most[0] = 0
        async with anyio.create_task_group() as tasks:
            for address in asked:
                tasks.start_soon(ask, address)
        assert most[0] == expected
    assert answers == [8] * (5 + 3 * SEARCHES)


async def test_a_composite_lists_its_components(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    components = [
        {"relative_path": f"part-{n}", "component_digest": digest(n), "leaf_kind": "data", "size": n} for n in (1, 2)
    ]
    composite = {**artifact(3), "hash": digest(3), "component_count_total": 7, "components": components}
    succeeded(await session.post("/artifacts/composites", {**composite, "metadata": {"origin": "x"}}))
    await session.add_artifacts(artifact(4))
    await session.add_links(1, "outputs", link(3))
    await session.finalize()
    found = await read(registry, f"artifacts/{digest(3)}/components")
    assert (found["hash"], found["componentCount"]) == (digest(3), 7)
    assert found["components"] == [
        {"relativePath": f"part-{n}", "componentDigest": digest(n), "leafKind": "data", "size": n} for n in (1, 2)
    ]
    shown = await read(registry, f"artifacts/{digest(3)}")
    assert (shown["kind"], shown["isComposite"], shown["metadata"]) == ("composite", True, {"origin": "x"})
    plain = await read(registry, f"public/artifacts/{digest(4)}")
    assert (plain["kind"], plain["isComposite"], plain["metadata"]) == ("primitive", False, None)
    empty = await read(registry, f"artifacts/{digest(4)}/components")
    assert (empty["componentCount"], empty["components"]) == (0, [])


async def test_components_come_from_a_lineage_that_has_them(registry: Registry) -> None:
    alice = Bearer(registry.person("alice"))
    await publish(registry, (job(1), [], [3]), auth=alice)
    session = await registry.open()
    await session.add_jobs(job(1))
    components = [{"relative_path": "part", "component_digest": digest(1)}]
    composite = {**artifact(3), "hash": digest(3), "component_count_total": 1, "components": components}
    succeeded(await session.post("/artifacts/composites", composite))
    await session.finalize()
    for auth in (alice, NO_AUTH):
        assert (await read(registry, f"artifacts/{digest(3)}/components", auth))["componentCount"] == 1


METADATA = {
    '{"a": [1, 2.5]}': {"a": [1, 2.5]},
    '{"a": NaN, "b": 1e999, "c": -Infinity}': {"a": None, "b": None, "c": None},
    "x": "x",
    "[" * 5000: "[" * 5000,
    "[" * 101 + "]" * 101: "[" * 101 + "]" * 101,
    "[" * 500 + "]" * 500: "[" * 500 + "]" * 500,
    '{"a": "\\ud800"}': '{"a": "\\ud800"}',
    '{"a": "\\ud83d\\ude00"}': {"a": "\U0001f600"},
    "1" * 5000: "1" * 5000,
}


@pytest.mark.parametrize("text", METADATA, ids=range(len(METADATA)))
async def test_the_metadata_of_a_job_is_part_of_its_lineage(registry: Registry, text: str) -> None:
    lineage_hash = await publish(registry, (job(1, metadata=text), [], [1]), (job(2, metadata=None), [], []))
    first, second = (await registry.lineage(lineage_hash))["jobs"]
    assert (first["metadata"], second["metadata"]) == (METADATA[text], None)
    (replayed,) = (await read(registry, f"artifacts/{digest(1)}/dag"))["jobs"]
    assert replayed["metadata"] == METADATA[text]


async def test_metadata_of_a_hundred_levels_is_shown(registry: Registry) -> None:
    text = "[" * 100 + "]" * 100
    lineage_hash = await publish(registry, (job(1, metadata=text), [], [1]))
    assert json.dumps((await registry.lineage(lineage_hash))["jobs"][0]["metadata"]) == text


async def test_the_cost_of_a_dag_does_not_grow_with_other_lineages(registry: Registry, store: Store) -> None:
    chain = [(job(number), [number - 1], [number]) for number in range(1, 6)]
    await publish(registry, *chain)

    async def cost() -> int:
        with counted(store) as steps:
            assert len((await read(registry, f"artifacts/{digest(5)}/dag"))["jobs"]) == 5
        return steps.taken

    first = await cost()
    for planted in range(1, 40):
        others = [(job(number, command=f"{planted}"), [number - 1], [number]) for number in range(1, 5)]
        await publish(registry, *others)
    # The graphs are looked up by the jobs of this one; only what made the artifact itself is sought everywhere.
    assert await cost() < first + 40
