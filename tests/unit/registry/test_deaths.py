"""The registry dies after any commit of a publish: what it has promised is whole, once, and the client can go on."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.sweeping import sweep_slice
from tests.support.registry.harness import START, Registry, job, link, make_registry, run_inline
from tests.support.registry.indexing import index_all

pytestmark = pytest.mark.anyio
JOBS, LINKS = 2, 3
FEWEST_COMMITS = 6
"""Commits of a publish: one of each request at least, two of a finalize."""
COUNTS = """
    SELECT hash, (SELECT count(*) FROM jobs WHERE graph_id = lineages.graph_id),
        (SELECT count(*) FROM links JOIN jobs ON jobs.id = job_id WHERE graph_id = lineages.graph_id)
    FROM lineages ORDER BY published_at, hash
"""


class Died(BaseException):
    """The process is gone: nothing of it runs any more."""


def mortal(transact: Callable[..., Any], commits: int) -> Callable[..., Any]:
    """Return `transact`, whose process dies right after so many commits, before anybody learns of the last one."""
    left = commits

    def transact_until_death(how: object, *args: Any, **kwargs: Any) -> Any:
        nonlocal left
        if left == 0:
            raise Died
        result = transact(how, *args, **kwargs)
        left -= how is not None
        if left == 0:
            raise Died
        return result

    return transact_until_death


async def publish(registry: Registry, number: int) -> str:
    """Publish the lineage of this number, as a client does that begins or goes on. Return its hash."""
    session = await registry.open(f"lineage {number}")
    if session.opened["status"] == "active":
        await session.add_jobs(*(job(step, command=f"run {number}") for step in range(JOBS)))
        await session.add_links(0, "outputs", *(link(artifact) for artifact in range(LINKS)))
    return str((await session.finalize(expected={"jobs": JOBS, "inputs": 0, "outputs": LINKS}))["hash"])


async def test_a_death_after_any_commit_loses_halves_and_doubles_nothing(
    anyio_backend: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = []
    for commits in count(1):
        with monkeypatch.context() as patch:
            patch.setattr(store, "_transact", mortal(store._transact, commits))
            try:
                hashes.append(await publish(make_registry(store, run=run_inline), commits))
            except Died:
                survived = False
            else:
                survived = True
        again = await publish(make_registry(store, run=run_inline), commits)
        if survived:
            assert again == hashes[-1]
            break
        hashes.append(again)
    while store.write(sweep_slice, START):
        pass
    index_all(store)
    kept = store.read(lambda connection: [tuple(row) for row in connection.execute(COUNTS)])
    assert sorted(kept) == sorted((each, JOBS, LINKS) for each in hashes)
    assert len(hashes) > FEWEST_COMMITS
