"""A check of a large lineage takes a minute of the processor. Meanwhile the event loop serves the other publishes."""

import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import from_thread

from roar_publisher.lineage.canonical import LineageHasher
from roar_publisher.lineage.sorting import ExternalSort
from roar_publisher.state.paths import StateFolder
from roar_publisher.verification.planned import PlannedLineage
from roar_publisher.verification.texts import SortedJobs
from tests.support.lineages import chain, cut, frozen
from tests.support.registry.harness import Registry
from tests.unit.verification.test_check import JOBS, Proxy, checked, published

pytestmark = pytest.mark.anyio


def legacy(body: bytes) -> bytes:
    """A lineage that is compared with a plan whatever its name."""
    return json.dumps(json.loads(body) | {"finalized": False}).encode()


def before(monkeypatch: pytest.MonkeyPatch, of: type, name: str, act: Callable[[], object]) -> None:
    """Let something happen before each call of a method."""
    method = getattr(of, name)

    def called(*arguments: Any) -> Any:
        act()
        return method(*arguments)

    monkeypatch.setattr(of, name, called)


def note(threads: set[int]) -> None:
    threads.add(threading.get_ident())


async def test_what_takes_long_is_not_done_in_the_event_loop(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lineage_hash = await published(registry)
    threads = dict[str, set[int]]()
    for of in (SortedJobs, ExternalSort):
        before(monkeypatch, of, "add", partial(note, threads.setdefault(of.__name__, set())))
    with frozen(StateFolder(tmp_path), cut(chain(3), labels=True)) as publish:
        planned = PlannedLineage(publish.journal, publish.journal.plan(), publish.journal.progress())
        await checked(Proxy(registry, legacy), lineage_hash, planned=planned)
    assert all(threads.values())
    assert threading.get_ident() not in set().union(*threads.values())


async def test_a_stop_ends_it_at_the_next_job(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    lineage_hash = await published(registry)
    hashed = list[int]()
    with anyio.CancelScope() as scope:

        def stop() -> None:
            hashed.append(JOBS)
            from_thread.run_sync(scope.cancel)

        before(monkeypatch, LineageHasher, "add", stop)
        await checked(Proxy(registry), lineage_hash)
    assert scope.cancelled_caught
    assert len(hashed) == 1
