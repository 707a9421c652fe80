"""Several units in one request, where the registry can: fewer requests, the same effect, and a way back."""

import json
import re
from collections.abc import Callable

import httpx2
import pytest

from roar_publisher.engine.steps.unit_groups import ENTRY_BYTES, GROUP_BYTES
from roar_publisher.glaas.features import RegistrationSessionFeatures
from roar_publisher.lineage.batches import MAX_UNIT_BYTES
from roar_publisher.registry.api.app import ALL_FEATURES
from roar_publisher.registry.api.bulk import BulkFeatures
from roar_publisher.state.errors import Transient
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.units import Kind
from tests.support.engine.publishing import Intercept, Publishing, Sent, answer, before, instead, nth
from tests.support.lineages import chain, cut
from tests.support.registry.features import SINGLE_LINKS, SMALL_REQUESTS

pytestmark = pytest.mark.anyio
JOBS = 40
BULK = BulkFeatures(encodings=())
LINEAGE = cut(chain(JOBS))
BATCH = "links/batch"
SMALL = 2000
"""Bytes of a small group."""


@pytest.fixture
def publishing(folder: StateFolder) -> Publishing:
    return Publishing(folder, LINEAGE, features=ALL_FEATURES, bulk=BULK)


def singles(publishing: Publishing) -> list[Sent]:
    return [*publishing.calls("inputs"), *publishing.calls("outputs")]


def links(publishing: Publishing) -> list[tuple[str, ...]]:
    return [item for item in publishing.items() if item[0] in ("inputs", "outputs")]


async def check_published(publishing: Publishing) -> None:
    progress = await publishing.run()
    assert (progress.state, progress.epoch, progress.hash) == (State.DONE, 0, LINEAGE.hash), progress.detail
    assert publishing.published() == publishing.expected()


async def test_all_links_of_a_small_lineage_are_one_request(publishing: Publishing, folder: StateFolder) -> None:
    await check_published(publishing)
    assert len(publishing.calls(BATCH)) == 1
    assert not singles(publishing)
    other = Publishing(StateFolder(folder.root / "other"), LINEAGE, features=SINGLE_LINKS)
    await check_published(other)
    assert len(singles(other)) == 2 * JOBS
    assert sorted(links(other)) == sorted(links(publishing))


async def test_a_registry_that_does_not_advertise_it_is_sent_single_requests(folder: StateFolder) -> None:
    publishing = Publishing(folder, LINEAGE, features=SINGLE_LINKS)
    await check_published(publishing)
    assert not publishing.calls(BATCH)
    assert len(singles(publishing)) == 2 * JOBS


@pytest.mark.parametrize("limit", [500, 3000, MAX_UNIT_BYTES, None, GROUP_BYTES, 10 * GROUP_BYTES, "much", -1, True])
async def test_no_body_is_larger_than_the_registry_reads(folder: StateFolder, limit: object) -> None:
    def path(item: dict[str, object]) -> None:
        item["path"] = f"{item['path']}/{'x' * 9000}"

    lineage = cut(chain(JOBS), link=path) if limit not in (500, 3000) else LINEAGE
    publishing = Publishing(folder, lineage, features=ALL_FEATURES, bulk=BULK)

    def advertise(sent: Sent, document: dict[str, object]) -> httpx2.Response:
        if sent.call == "health":
            document["features"]["max_body_bytes"] = limit  # type: ignore[index]
        return httpx2.Response(200, json=document)

    publishing.rewrite = advertise
    assert (await publishing.run()).state is State.DONE
    known = min(limit, GROUP_BYTES) if isinstance(limit, int) and limit > 1 else MAX_UNIT_BYTES
    sizes = [len(sent.body) for sent in publishing.calls(BATCH)]
    assert all(size <= known for size in sizes)
    if known > 9000 + ENTRY_BYTES:
        assert max(sizes) > known - 2 * 9500
    assert len(links(publishing)) == len(set(links(publishing)))


async def test_a_413_halves_the_groups_and_sends_nothing_twice_that_was_taken(publishing: Publishing) -> None:
    limit = 1500

    def picky(sent: Sent) -> httpx2.Response | None:
        return answer(413, detail="too large") if sent.call == BATCH and len(sent.body) > limit else None

    publishing.intercept = picky
    await check_published(publishing)
    taken = [sent for sent in publishing.calls(BATCH) if len(sent.body) <= limit]
    assert len(taken) > 2
    assert not singles(publishing)
    items = publishing.items(taken)
    assert len(items) == len(set(items))


async def test_a_registry_that_takes_no_group_of_any_size_is_sent_single_requests(publishing: Publishing) -> None:
    publishing.intercept = instead(BATCH, lambda: answer(413, detail="too large"))
    await check_published(publishing)
    assert len(singles(publishing)) == 2 * JOBS
    assert len(publishing.calls(BATCH)) < 150


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_an_endpoint_that_is_gone_is_asked_once_and_never_again(publishing: Publishing, status: int) -> None:
    publishing.intercept = instead(BATCH, lambda: answer(status, detail="Endpoint not found"))
    await check_published(publishing)
    assert len(publishing.calls(BATCH)) == 1
    assert len(singles(publishing)) == 2 * JOBS
    assert publishing.progress().capabilities["no links/batch"] is True
    assert "session-lost" not in publishing.events()


async def test_a_registry_that_was_rolled_back_between_two_lives(publishing: Publishing) -> None:
    """The first process dies in the middle of the links; the next one meets a registry without the endpoint."""

    def away(sent: Sent) -> httpx2.Response | None:
        return answer(409, detail="later") if sent.call == BATCH and sent.number == 2 else None

    publishing.intercept = _smaller_groups(away)
    with pytest.raises(Transient):
        await publishing.run()
    taken = next(sent for sent in publishing.calls(BATCH) if len(sent.body) <= SMALL)
    first = set(publishing.items([taken]))
    assert first
    publishing.sent.clear()
    publishing.intercept = instead(BATCH, lambda: answer(404, detail="Endpoint not found"))
    await check_published(publishing)
    assert not first & set(publishing.items(singles(publishing)))


def _smaller_groups(then: Intercept) -> Intercept:
    """Refuse large groups first, so that there are several; `then` answers the others, counted from 1."""
    number = 0

    def intercept(sent: Sent) -> httpx2.Response | None:
        nonlocal number
        if sent.call != BATCH:
            return None
        if len(sent.body) > SMALL:
            return answer(413, detail="too large")
        number += 1
        return then(Sent(sent.method, sent.path, sent.body, sent.authorization, number))

    return intercept


async def test_a_session_that_is_gone_is_opened_again(publishing: Publishing) -> None:
    publishing.intercept = before(BATCH, lambda: publishing.do("DELETE FROM sessions"))
    progress = await publishing.run()
    assert (progress.state, progress.epoch) == (State.DONE, 1)
    assert publishing.published() == publishing.expected()
    assert not singles(publishing)


async def test_a_refused_entry_is_sent_alone_and_the_others_are_acknowledged(publishing: Publishing) -> None:
    def refuse_one(sent: Sent, document: dict[str, object]) -> httpx2.Response:
        if sent.call == BATCH:
            errors = [None] * len(sent.document["links"])
            document |= {"errors": ["try again" if place == 3 else None for place, _ in enumerate(errors)]}
        return httpx2.Response(200, json=document)

    publishing.rewrite = refuse_one
    await check_published(publishing)
    assert len(publishing.calls(BATCH)) == 1
    assert len(singles(publishing)) == 1


@pytest.mark.parametrize(
    "refusal",
    [
        lambda: answer(400, detail="malformed"),
        lambda: answer(422, detail="links.3: missing"),
        lambda: answer(200, errors=2),
        lambda: answer(200, success=False, error="no"),
    ],
)
async def test_what_is_refused_together_is_sent_alone(
    publishing: Publishing, refusal: Callable[[], httpx2.Response]
) -> None:
    publishing.intercept = instead(BATCH, refusal)
    await check_published(publishing)
    assert len(publishing.calls(BATCH)) == 1
    assert len(singles(publishing)) == 2 * JOBS


async def test_a_refusal_names_the_link_as_ever(publishing: Publishing) -> None:
    refused = instead("inputs", lambda: answer(422, detail="x", errors=["not this one"]))
    together = instead(BATCH, lambda: answer(422, detail="links.3: missing"))
    publishing.intercept = lambda sent: refused(sent) or together(sent)
    progress = await publishing.run()
    assert progress.state is State.FAILED
    assert re.search(r"1 of the 1 inputs that were sent: input .* of step .*not this one", progress.detail)


async def test_counts_that_cannot_be_true_are_rejected(publishing: Publishing) -> None:
    publishing.intercept = instead(BATCH, lambda: answer(200, inputs_linked=10_000))
    progress = await publishing.run()
    assert (progress.state, progress.failure) == (State.FAILED, Reason.RECEIPT)
    assert f"reports 10000 accepted of the {JOBS} inputs" in progress.detail


async def test_links_of_jobs_that_are_published_elsewhere_are_not_sent(publishing: Publishing) -> None:
    reply = {"job_ids": [], "errors": [], "already_registered_session_hashes": [LINEAGE.hash]}
    publishing.intercept = instead("jobs/batch", lambda: answer(200, **reply))
    assert (await publishing.run()).state is State.DONE
    assert len(publishing.calls("jobs/batch")) == 1
    assert not links(publishing)
    assert not publishing.calls("finalize")


async def test_descriptions_travel_with_grouped_links_where_artifacts_have_no_endpoint(publishing: Publishing) -> None:
    publishing.intercept = instead("artifacts/batch", lambda: answer(404, detail="Endpoint not found"))
    await publishing.run()
    sent = [json.loads(request.body) for request in publishing.calls(BATCH)]
    assert {link["size"] for body in sent for entry in body["links"] for link in entry["artifacts"]} == {7}


# ------------------------------------------------------------ jobs and artifacts


@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("features", [ALL_FEATURES, None], ids=["staged", "legacy"])
async def test_jobs_that_have_no_endpoint_are_not_sent_again_and_again(
    folder: StateFolder, features: RegistrationSessionFeatures | None, status: int
) -> None:
    """There is no other way to send jobs, in contrast to artifacts and links."""
    publishing = Publishing(folder, LINEAGE, features=features, bulk=BULK)
    most = sum(unit.kind is Kind.JOBS for unit in LINEAGE.units)

    def gone(sent: Sent) -> httpx2.Response | None:
        if sent.call != "jobs/batch":
            return None
        assert len(publishing.calls("jobs/batch")) <= most, "they are sent in an endless loop"
        return answer(status, detail="Endpoint not found")

    publishing.intercept = gone
    if features is not None and status == 404:
        with pytest.raises(Transient, match="has this session, but not the requested resource"):
            await publishing.run()
    else:
        assert (await publishing.run()).state is State.FAILED
    assert "no jobs/batch" not in publishing.progress().capabilities


async def test_jobs_and_artifacts_travel_in_one_request_each(publishing: Publishing) -> None:
    await check_published(publishing)
    assert len(publishing.calls("jobs/batch")) == len(publishing.calls("artifacts/batch")) == 1
    units = [unit for unit in LINEAGE.units if unit.kind in (Kind.JOBS, Kind.ARTIFACTS)]
    assert len(units) > 20
    assert len(publishing.items()) == len(set(publishing.items()))


async def test_without_a_size_they_are_sent_as_they_were_planned(folder: StateFolder) -> None:
    """Public GLaaS does not say how many jobs it takes at once."""
    publishing = Publishing(folder, LINEAGE, features=ALL_FEATURES)
    await check_published(publishing)
    for kind, call in ((Kind.JOBS, "jobs/batch"), (Kind.ARTIFACTS, "artifacts/batch")):
        assert len(publishing.calls(call)) == sum(unit.kind is kind for unit in LINEAGE.units)


async def test_no_body_of_jobs_or_artifacts_is_larger_than_the_registry_reads(folder: StateFolder) -> None:
    limit = 5000
    publishing = Publishing(folder, LINEAGE, bulk=BulkFeatures(limit=limit, encodings=()))
    await check_published(publishing)
    sizes = [len(sent.body) for call in ("jobs/batch", "artifacts/batch") for sent in publishing.calls(call)]
    assert max(sizes) <= limit
    assert 4 < len(sizes) < 14


@pytest.mark.parametrize("call", ["jobs/batch", "artifacts/batch"])
@pytest.mark.parametrize("largest", [0, 1500, 4000])
async def test_a_413_splits_groups_of_nodes_down_to_their_units(
    publishing: Publishing, call: str, largest: int
) -> None:
    """A registry that promised more than it keeps."""
    smallest = max(len(unit.body) for unit in LINEAGE.units if unit.kind in (Kind.JOBS, Kind.ARTIFACTS)) + 400
    limit = max(largest, smallest)

    def picky(sent: Sent) -> httpx2.Response | None:
        return answer(413, detail="too large") if sent.call == call and len(sent.body) > limit else None

    publishing.intercept = picky
    await check_published(publishing)
    taken = [item for sent in publishing.calls(call) if len(sent.body) <= limit for item in publishing.items([sent])]
    assert len(taken) == len(set(taken)), "nothing is sent again that was taken"


@pytest.mark.parametrize(
    "refusal",
    [
        lambda: answer(422, detail="jobs.3: missing"),
        lambda: answer(400, detail="no", errors=[None, "not this one"]),
        lambda: answer(200, errors=1),
        lambda: answer(200, errors=[None, "not this one"]),
    ],
)
@pytest.mark.parametrize("call", ["jobs/batch", "artifacts/batch"])
async def test_nodes_that_are_refused_together_are_sent_as_they_were_planned(
    publishing: Publishing, call: str, refusal: Callable[[], httpx2.Response]
) -> None:
    publishing.intercept = nth(call, 1, refusal)
    await check_published(publishing)
    kind = Kind(call.partition("/")[0])
    assert len(publishing.calls(call)) == 1 + sum(unit.kind is kind for unit in LINEAGE.units)


async def test_a_refusal_names_the_job_as_ever(publishing: Publishing) -> None:
    def refuse(sent: Sent) -> httpx2.Response | None:
        commands = [job["command"] for job in sent.document["jobs"]] if sent.call == "jobs/batch" else []
        errors = ["not this one" if command == "python step5.py" else None for command in commands]
        return answer(422, detail="no", errors=errors) if any(errors) else None

    publishing.intercept = refuse
    progress = await publishing.run()
    assert progress.state is State.FAILED
    assert "1 of the 3 jobs that were sent: step 5 (python step5.py): not this one" in progress.detail


async def test_counts_of_jobs_that_cannot_be_true_are_rejected(publishing: Publishing) -> None:
    publishing.intercept = instead("jobs/batch", lambda: answer(200, created_count=3, existing_count=0))
    progress = await publishing.run()
    assert (progress.state, progress.failure) == (State.FAILED, Reason.RECEIPT)
    assert f"reports 3 of the {JOBS} jobs" in progress.detail


async def test_artifacts_without_an_endpoint_are_asked_about_once(publishing: Publishing) -> None:
    publishing.intercept = instead("artifacts/batch", lambda: answer(404, detail="Endpoint not found"))
    progress = await publishing.run()
    assert progress.state is State.DONE
    assert len(publishing.calls("artifacts/batch")) == 1


async def test_an_item_past_the_usual_size_is_sent_alone(folder: StateFolder) -> None:
    jobs = chain(6)
    jobs[3].metadata = json.dumps({"x": "x" * MAX_UNIT_BYTES})
    lineage = cut(jobs, batch=lambda: 1)
    publishing = Publishing(folder, lineage, features=ALL_FEATURES, bulk=BULK)
    assert (await publishing.run()).state is State.DONE
    counts = sorted(len(sent.document["jobs"]) for sent in publishing.calls("jobs/batch"))
    assert counts == [1, 5]


# ------------------------------------------------------------ the legacy path


@pytest.fixture
def legacy(folder: StateFolder) -> Publishing:
    return Publishing(folder, LINEAGE, features=None, bulk=BULK)


async def test_the_legacy_path_sends_groups_too(legacy: Publishing) -> None:
    await check_published(legacy)
    assert [len(legacy.calls(call)) for call in (BATCH, "jobs/batch", "artifacts/batch")] == [1, 1, 1]
    assert not singles(legacy)
    (sent,) = legacy.calls(BATCH)
    assert sent.path == f"/api/v1/sessions/{LINEAGE.hash}/links/batch"


@pytest.mark.parametrize("bulk", [BulkFeatures(legacy_links_batch=False), SMALL_REQUESTS])
async def test_the_legacy_path_of_an_older_registry_is_sent_single_links(
    folder: StateFolder, bulk: BulkFeatures
) -> None:
    publishing = Publishing(folder, LINEAGE, features=None, bulk=bulk)
    await check_published(publishing)
    assert not publishing.calls(BATCH)
    assert len(singles(publishing)) == 2 * JOBS


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_the_legacy_endpoint_that_is_gone_is_asked_once(legacy: Publishing, status: int) -> None:
    legacy.intercept = instead(BATCH, lambda: answer(status, detail="Endpoint not found"))
    await check_published(legacy)
    assert len(legacy.calls(BATCH)) == 1
    assert len(singles(legacy)) == 2 * JOBS
