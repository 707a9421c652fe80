"""Units that travel together in a compressed request, and a registry that reads none any more."""

import httpx2
import pytest

from roar_publisher.registry.api.app import ALL_FEATURES
from roar_publisher.registry.api.bulk import BulkFeatures
from roar_publisher.state.errors import Transient
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from tests.support.engine.publishing import Publishing, Sent, answer, nth
from tests.support.lineages import chain, cut

pytestmark = pytest.mark.anyio
BATCH = "links/batch"
FAR = "https://registry.example"
MANY = cut(chain(150))


def compressed(publishing: Publishing) -> list[bool]:
    return [sent.body.startswith(b"\x1f\x8b") for sent in publishing.calls(BATCH)]


async def test_groups_for_another_machine_are_compressed(folder: StateFolder) -> None:
    publishing = Publishing(folder, MANY, features=ALL_FEATURES, bulk=BulkFeatures(), registry=FAR)
    progress = await publishing.run()
    assert (progress.state, progress.hash) == (State.DONE, MANY.hash)
    assert publishing.published() == publishing.expected()
    assert compressed(publishing) == [True]


async def test_a_registry_that_reads_no_compressed_bodies_any_more_loses_nothing(folder: StateFolder) -> None:
    """It was rolled back between two lives, to a release that takes a compressed body for JSON."""
    publishing = Publishing(folder, MANY, features=ALL_FEATURES, bulk=BulkFeatures(limit=12_000), registry=FAR)
    publishing.intercept = nth(BATCH, 3, lambda: answer(409, detail="later"))
    with pytest.raises(Transient):
        await publishing.run()
    assert all(compressed(publishing))
    first = {item for sent in publishing.calls(BATCH)[:2] for item in publishing.items([sent])}
    publishing.sent.clear()

    def older(sent: Sent) -> httpx2.Response | None:
        return answer(400, detail="the body is not valid JSON") if sent.body.startswith(b"\x1f\x8b") else None

    publishing.intercept = older
    progress = await publishing.run()
    assert (progress.state, progress.epoch, progress.hash) == (State.DONE, 0, MANY.hash)
    assert publishing.published() == publishing.expected()
    attempts = compressed(publishing)
    assert True in attempts
    assert not attempts[-1]
    assert not first & set(publishing.items()), "what was acknowledged is not sent again"
