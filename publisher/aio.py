"""The functions of `roar_publisher` for asynchronous programs, on asyncio and on trio.

They take and return the same, and do the work in a thread. Cancelling one stops the publish cleanly: it can be resumed,
and the cancellation goes on when everything acknowledged is checkpointed. `on_progress` is called in the event loop.
"""

from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from typing import Literal, Protocol, TypeVar, Unpack, overload

from anyio import CancelScope, create_task_group, from_thread, get_cancelled_exc_class, sleep, sleep_forever
from anyio.lowlevel import checkpoint

from roar_publisher.blocking import in_thread, in_thread_of_its_own
from roar_publisher.events import Event, Fetched, Published
from roar_publisher.publishing.arguments import (
    OnProgress,
    PublishArguments,
    PutArguments,
    RunArguments,
    StrPath,
    Visibility,
    flag_of,
    folder_of,
    put_order,
    resume_order,
    selections_of,
)
from roar_publisher.publishing.calls import Call, Watch, cancel_by_id, publishes_of, retry_by_id, status_of
from roar_publisher.publishing.fetching import OnFetch, fetch_call
from roar_publisher.publishing.order import Order
from roar_publisher.publishing.view import PublishStatus
from roar_publisher.publishing.watching import POLL_SECONDS

T = TypeVar("T", covariant=True)
E = TypeVar("E")

__all__ = ["cancel", "fetch", "publish", "publishes", "put", "resume", "retry", "watch"]


@overload
async def publish(
    project: StrPath = ".",
    target: str | None = None,
    *,
    visibility: Visibility | None,
    detach: Literal[False] = False,
    **others: Unpack[PublishArguments],
) -> Published: ...


@overload
async def publish(
    project: StrPath = ".",
    target: str | None = None,
    *,
    visibility: Visibility | None,
    detach: Literal[True],
    **others: Unpack[PublishArguments],
) -> PublishStatus: ...


@overload
async def publish(
    project: StrPath = ".",
    target: str | None = None,
    *,
    visibility: Visibility | None,
    detach: bool,
    **others: Unpack[PublishArguments],
) -> Published | PublishStatus: ...


async def publish(
    project: StrPath = ".",
    target: str | None = None,
    *,
    visibility: Visibility | None,
    registry: str | None = None,
    detach: bool = False,
    yes: bool = False,
    redact: bool = True,
    follow_links: bool = False,
    verify: bool | None = None,
    on_progress: OnProgress | None = None,
) -> Published | PublishStatus:
    """Publish lineage; see `roar_publisher.publish`."""
    order = Order(
        cwd=folder_of(project),
        flag=flag_of(visibility),
        target=target,
        yes=yes,
        detach=detach,
        registry=registry,
        no_redact=not redact,
        follow_links=follow_links,
        verify=verify,
    )
    return await _run(order, on_progress)


@overload
async def put(
    sources: StrPath | Iterable[StrPath] | None,
    destination: StrPath,
    message: str,
    *,
    visibility: Visibility | None,
    detach: Literal[False] = False,
    **others: Unpack[PutArguments],
) -> Published: ...


@overload
async def put(
    sources: StrPath | Iterable[StrPath] | None,
    destination: StrPath,
    message: str,
    *,
    visibility: Visibility | None,
    detach: Literal[True],
    **others: Unpack[PutArguments],
) -> PublishStatus: ...


@overload
async def put(
    sources: StrPath | Iterable[StrPath] | None,
    destination: StrPath,
    message: str,
    *,
    visibility: Visibility | None,
    detach: bool,
    **others: Unpack[PutArguments],
) -> Published | PublishStatus: ...


async def put(
    sources: StrPath | Iterable[StrPath] | None,
    destination: StrPath,
    message: str,
    *,
    visibility: Visibility | None,
    project: StrPath = ".",
    registry: str | None = None,
    name: str | None = None,
    tag: bool | None = None,
    again: bool = False,
    dataset: bool = False,
    detach: bool = False,
    yes: bool = False,
    redact: bool = True,
    follow_links: bool = False,
    verify: bool | None = None,
    on_progress: OnProgress | None = None,
) -> Published | PublishStatus:
    """Store files and publish their lineage; see `roar_publisher.put`."""
    order = Order(
        cwd=folder_of(project),
        flag=flag_of(visibility),
        yes=yes,
        detach=detach,
        registry=registry,
        no_redact=not redact,
        follow_links=follow_links,
        verify=verify,
        put=put_order(sources, destination, message, name=name, tag=tag, again=again, dataset=dataset),
    )
    return await _run(order, on_progress)


@overload
async def resume(publish_id: str, *, detach: Literal[False] = False, **others: Unpack[RunArguments]) -> Published: ...


@overload
async def resume(publish_id: str, *, detach: Literal[True], **others: Unpack[RunArguments]) -> PublishStatus: ...


@overload
async def resume(publish_id: str, *, detach: bool, **others: Unpack[RunArguments]) -> Published | PublishStatus: ...


async def resume(
    publish_id: str,
    *,
    registry: str | None = None,
    detach: bool = False,
    yes: bool = False,
    on_progress: OnProgress | None = None,
) -> Published | PublishStatus:
    """Continue an interrupted publish; see `roar_publisher.resume`."""
    return await _run(resume_order(publish_id, registry=registry, yes=yes, detach=detach), on_progress)


async def fetch(
    lineage: str | None,
    files: str | Iterable[str] = (),
    to: StrPath = ".",
    *,
    force: bool = False,
    registry: str | None = None,
    on_progress: OnFetch | None = None,
) -> Fetched:
    """Fetch the files that a published lineage stored; see `roar_publisher.fetch`."""
    in_loop = None if on_progress is None else partial(_call_in_loop, on_progress)
    call = fetch_call(lineage, selections_of(files), folder_of(to), force=force, registry=registry, on_progress=in_loop)
    return await _carry_out(call)


async def publishes(project: StrPath | None = None) -> list[PublishStatus]:
    """The same as `roar_publisher.publishes`."""
    return await in_thread(publishes_of, None if project is None else folder_of(project))


async def cancel(publish_id: str) -> None:
    """The same as `roar_publisher.cancel`."""
    await in_thread(cancel_by_id, publish_id)


async def retry(publish_id: str) -> PublishStatus:
    """The same as `roar_publisher.retry`."""
    completing = await in_thread(retry_by_id, publish_id)
    if completing is not None:
        await _carry_out(completing)
    return await in_thread(status_of, publish_id)


async def watch(publish_id: str) -> AsyncGenerator[Event, None]:
    """The same as `roar_publisher.watch`; everything is raised while iterating.

    Use it within `contextlib.aclosing` if you may stop early: it holds the journal open until then.
    """
    watched = await in_thread(Watch, publish_id)
    try:
        while True:
            for event in await in_thread(watched.advance):
                yield event
            if watched.over:
                return
            await sleep(POLL_SECONDS)
    finally:
        watched.close()


async def _run(order: Order, on_progress: OnProgress | None) -> Published | PublishStatus:
    """Carry out an order."""
    return await _carry_out(Call(order, None if on_progress is None else partial(_call_in_loop, on_progress)))


class _Stoppable(Protocol[T]):
    """A call of the Python API."""

    def run(self) -> T: ...

    def stop(self) -> None: ...


async def _carry_out(call: _Stoppable[T]) -> T:
    """Carry out a call in a thread. If this task is cancelled, stop it, and wait until it has stopped."""
    results: list[T] = []
    errors: list[Exception] = []

    async def run() -> None:
        with CancelScope(shield=True):
            try:
                results.append(await in_thread_of_its_own(call.run))
            except Exception as error:
                errors.append(error)
        scope.cancel()

    with CancelScope() as scope:
        async with create_task_group() as tasks:
            tasks.start_soon(run)
            try:
                await sleep_forever()
            except get_cancelled_exc_class():
                if not results and not errors:
                    call.stop()
                raise
    for error in errors:
        await checkpoint()  # a cancellation that stopped it comes first
        raise error
    return results[0]


def _call_in_loop(on_progress: Callable[[E], object], event: E) -> None:
    from_thread.run_sync(on_progress, event)
