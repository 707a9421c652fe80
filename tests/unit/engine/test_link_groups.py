"""Links of several jobs in one request, where the registry can: fewer requests, the same effect, and a way back."""

import json
import re
from collections.abc import Callable

import httpx2
import pytest

from roar_publisher.engine.steps.link_groups import ENTRY_BYTES, GROUP_BYTES
from roar_publisher.lineage.batches import BODY_LIMIT
from roar_publisher.registry.api.app import ALL_FEATURES
from roar_publisher.state.errors import Transient
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from tests.support.engine.publishing import Publishing, Sent, answer, before, instead
from tests.support.lineages import chain, cut
from tests.support.registry.features import SINGLE_LINKS

pytestmark = pytest.mark.anyio
JOBS = 40
LINEAGE = cut(chain(JOBS))
BATCH = "links/batch"
SMALL = 2000
"""Bytes of a small group."""
Intercept = Callable[[Sent], httpx2.Response | None]


@pytest.fixture
def publishing(folder: StateFolder) -> Publishing:
    return Publishing(folder, LINEAGE, features=ALL_FEATURES)


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
    assert len(other.sent) - len(publishing.sent) == 2 * JOBS - 1
    assert sorted(links(other)) == sorted(links(publishing))


async def test_a_registry_that_does_not_advertise_it_is_sent_single_requests(folder: StateFolder) -> None:
    publishing = Publishing(folder, LINEAGE, features=SINGLE_LINKS)
    await check_published(publishing)
    assert not publishing.calls(BATCH)
    assert len(singles(publishing)) == 2 * JOBS


@pytest.mark.parametrize("limit", [500, 3000, BODY_LIMIT, None, GROUP_BYTES, 10 * GROUP_BYTES, "much", -1, True])
async def test_no_body_is_larger_than_the_registry_reads(folder: StateFolder, limit: object) -> None:
    def path(item: dict[str, object]) -> None:
        item["path"] = f"{item['path']}/{'x' * 9000}"

    lineage = cut(chain(JOBS), link=path) if limit not in (500, 3000) else LINEAGE
    publishing = Publishing(folder, lineage, features=ALL_FEATURES)

    def advertise(sent: Sent, document: dict[str, object]) -> httpx2.Response:
        if sent.call == "health":
            document["features"]["max_body_bytes"] = limit  # type: ignore[index]
        return httpx2.Response(200, json=document)

    publishing.rewrite = advertise
    assert (await publishing.run()).state is State.DONE
    known = min(limit, GROUP_BYTES) if isinstance(limit, int) and limit > 1 else BODY_LIMIT
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
    assert not links(publishing)


async def test_descriptions_travel_with_grouped_links_where_artifacts_have_no_endpoint(publishing: Publishing) -> None:
    publishing.intercept = instead("artifacts/batch", lambda: answer(404, detail="Endpoint not found"))
    await publishing.run()
    sent = [json.loads(request.body) for request in publishing.calls(BATCH)]
    assert {link["size"] for body in sent for entry in body["links"] for link in entry["artifacts"]} == {7}
