"""The asynchronous twins, on asyncio and on trio."""

import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NoReturn, TypeVar

import anyio
import pytest

from roar_publisher import Published, aio, errors, events
from roar_publisher.blocking import NO_THREAD
from tests.e2e.python.conftest import opened_once_stopped

T = TypeVar("T")
Runs = Callable[[Callable[[], Awaitable[T]]], T]


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_publish_leaves_the_loop_free_and_calls_back_in_it(project: Path, registry: str, backend: str) -> None:
    seen: list[events.Event] = []
    threads: set[int] = set()
    turns = 0

    def look(event: events.Event) -> None:
        seen.append(event)
        threads.add(threading.get_ident())

    async def main() -> Published:
        nonlocal turns
        results: list[Published] = []

        async def publish() -> None:
            results.append(
                await aio.publish(project, visibility="public", registry=registry, yes=True, on_progress=look)
            )

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(publish)
            while not results:
                turns += 1
                await anyio.sleep(0.001)
        assert [event async for event in aio.watch(results[0].publish_id)][-1] == results[0]
        assert [status.publish_id for status in await aio.publishes(project)] == [results[0].publish_id]
        return await aio.resume(results[0].publish_id)

    result = anyio.run(main, backend=backend)
    assert seen[-1] == result
    assert threads == {threading.get_ident()}
    assert turns > 5


def test_a_cancelled_publish_has_stopped_cleanly_and_can_be_resumed(project: Path, registry: str, backend: str) -> None:
    async def main() -> None:
        with anyio.CancelScope() as scope:

            def cancel(event: events.Event) -> None:
                if isinstance(event, events.StateEvent) and event.state == "open":
                    scope.cancel()

            with opened_once_stopped():
                await aio.publish(project, visibility="public", registry=registry, yes=True, on_progress=cancel)
        assert scope.cancelled_caught
        [status] = await aio.publishes(project)
        assert (status.status, status.owner, status.reason) == ("interrupted", None, "interrupted")
        assert (await aio.resume(status.publish_id)).publish_id == status.publish_id

    anyio.run(main, backend=backend)


def test_errors_arrive_as_they_are(project: Path, registry: str, backend: str) -> None:
    async def main() -> None:
        with pytest.raises(errors.Unfinished) as refused:
            await aio.publish(project, visibility="public", registry=registry)
        publish_id = refused.value.publish_id
        with pytest.raises(errors.Halted):
            assert [event async for event in aio.watch(publish_id)] == []
        await aio.cancel(publish_id)
        with pytest.raises(errors.UsageProblem):
            await aio.retry(publish_id)

    anyio.run(main, backend=backend)


def test_a_put_stores_its_files(project: Path, registry: str, backend: str, tmp_path: Path) -> None:
    (project / "weights.bin").write_bytes(b"w" * 1000)

    async def main() -> Published:
        return await aio.put(
            ["weights.bin"],
            tmp_path / "store",
            "v1",
            visibility="public",
            project=project,
            registry=registry,
            yes=True,
            tag=False,
        )

    assert anyio.run(main, backend=backend).bytes == 1000


def test_a_thread_that_cannot_be_started_is_a_problem_of_this_machine(
    project: Path, registry: str, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise RuntimeError(NO_THREAD)

    monkeypatch.setattr("roar_publisher.blocking.to_thread.run_sync", refuse)
    for call in (
        partial(aio.publishes, project),
        partial(aio.cancel, "00000001"),
        partial(aio.retry, "00000001"),
        partial(aio.publish, project, visibility="public", registry=registry, yes=True),
    ):
        with pytest.raises(errors.LocalProblem, match="may not start more threads"):
            anyio.run(call, backend=backend)
