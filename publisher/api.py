"""The synchronous functions of `roar_publisher`. docs/python.md describes them.

They may be called in any thread, also in one in which an event loop runs. None installs a signal handler, prints,
asks or exits: a question that `roar publish` would ask is an error that says how to agree.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Literal, TypeVar, Unpack, overload

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
from roar_publisher.state.errors import Conclusion, PublisherError

T = TypeVar("T")

__all__ = ["cancel", "fetch", "publish", "publishes", "put", "resume", "retry", "watch"]


@overload
def publish(
    project: StrPath = ".",
    target: str | None = None,
    *,
    visibility: Visibility | None,
    detach: Literal[False] = False,
    **others: Unpack[PublishArguments],
) -> Published: ...


@overload
def publish(
    project: StrPath = ".",
    target: str | None = None,
    *,
    visibility: Visibility | None,
    detach: Literal[True],
    **others: Unpack[PublishArguments],
) -> PublishStatus: ...


@overload
def publish(
    project: StrPath = ".",
    target: str | None = None,
    *,
    visibility: Visibility | None,
    detach: bool,
    **others: Unpack[PublishArguments],
) -> Published | PublishStatus: ...


def publish(
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
    """Publish the lineage that roar captured in a project, as one visible step.

    project: a folder in it. target: a path, a digest, a step, a job or a session; None for the whole active session.
    visibility: None leaves it to the repository's scope. registry: its URL; None as configured.
    detach: leave it to the daemon, and return its status. yes: agree to redactions, and to publishing anonymously.
    redact: False publishes secrets unchanged. follow_links: also what links out of the project lead to.
    verify: read everything back afterwards; None as configured. on_progress: called with each event.

    Repeating a call that was interrupted resumes the publish. Raises `errors.PublisherError`: Unfinished if
    `resume(error.publish_id)` can continue it, NeedsUser if the user must agree or sign in.
    """
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
    return _run(order, on_progress)


@overload
def put(
    sources: StrPath | Iterable[StrPath] | None,
    destination: StrPath,
    message: str,
    *,
    visibility: Visibility | None,
    detach: Literal[False] = False,
    **others: Unpack[PutArguments],
) -> Published: ...


@overload
def put(
    sources: StrPath | Iterable[StrPath] | None,
    destination: StrPath,
    message: str,
    *,
    visibility: Visibility | None,
    detach: Literal[True],
    **others: Unpack[PutArguments],
) -> PublishStatus: ...


@overload
def put(
    sources: StrPath | Iterable[StrPath] | None,
    destination: StrPath,
    message: str,
    *,
    visibility: Visibility | None,
    detach: bool,
    **others: Unpack[PutArguments],
) -> Published | PublishStatus: ...


def put(
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
    """Store files in object storage and publish their lineage with them, as one visible step.

    sources: files, folders, steps or digests, relative to the project; None means all that the active session wrote.
    destination: an address such as `s3://bucket/run`, or a folder. message: what the put is for.
    name: the name label of the put job. tag: make the git tag and push it; None as configured.
    again: make a new put, even if the same is finished. dataset: treat each source folder as a dataset.
    The rest is as for `publish`.
    """
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
    return _run(order, on_progress)


@overload
def resume(publish_id: str, *, detach: Literal[False] = False, **others: Unpack[RunArguments]) -> Published: ...


@overload
def resume(publish_id: str, *, detach: Literal[True], **others: Unpack[RunArguments]) -> PublishStatus: ...


@overload
def resume(publish_id: str, *, detach: bool, **others: Unpack[RunArguments]) -> Published | PublishStatus: ...


def resume(
    publish_id: str,
    *,
    registry: str | None = None,
    detach: bool = False,
    yes: bool = False,
    on_progress: OnProgress | None = None,
) -> Published | PublishStatus:
    """Continue an interrupted publish from its last checkpoint, in any folder.

    publish_id: the id or its beginning. registry: another one, if no registry holds anything of it yet. The rest is as
    for `publish`. A publish that the daemon works on is followed to its end.
    """
    return _run(resume_order(publish_id, registry=registry, yes=yes, detach=detach), on_progress)


def publishes(project: StrPath | None = None) -> list[PublishStatus]:
    """Return the status of every publish of this machine, newest first, or of those of one project."""
    return publishes_of(None if project is None else folder_of(project))


def cancel(publish_id: str) -> None:
    """Cancel a publish permanently. Nothing of it becomes visible, and its unfinished uploads are aborted.

    If its lineage is published already, it stays so, and only the work that follows is given up.
    Raises UsageProblem if it has ended, and Owned if another process works on it, other than the daemon.
    """
    cancel_by_id(publish_id)


def retry(publish_id: str) -> PublishStatus:
    """Permit another attempt of a publish that has failed, is parked or waits, and return its status.

    The daemon makes it, if one runs; otherwise `resume` does. What a published lineage still owes is completed here
    then, and `errors.Unfinished` says what prevents it. Raises UsageProblem if it has ended otherwise, and Owned if a
    process works on it.
    """
    completing = retry_by_id(publish_id)
    if completing is not None:
        _interruptible(completing.run)
    return status_of(publish_id)


def watch(publish_id: str) -> Iterator[Event]:
    """Follow a publish that any process works on, and yield its events; the last one is `Published`.

    Changes nothing. Raises UsageProblem at once if there is none; while iterating, `errors.Failed`, `Cancelled`,
    `Unconfirmed` or `Differing` if it ended so, and `Halted` if no process will continue it.
    """
    return _follow(Watch(publish_id))


def fetch(
    lineage: str | None,
    files: str | Iterable[str] = (),
    to: StrPath = ".",
    *,
    force: bool = False,
    registry: str | None = None,
    on_progress: OnFetch | None = None,
) -> Fetched:
    """Fetch the files that a published lineage stored, each verified by its digest.

    lineage: its hash, or the digest of a file that it stored, or the first 8 or more digits; None to continue what was
    interrupted in this folder. files: paths, globs, folders, digests or steps (`@4`); all by default. to: the folder.
    force: replace files that have another content.
    Repeating it fetches what is missing only. Raises `errors.Rejected` if a file could not be fetched, after the others
    were; `on_progress` has named it.
    """
    call = fetch_call(
        lineage, selections_of(files), folder_of(to), force=force, registry=registry, on_progress=on_progress
    )
    return _interruptible(call.run)


def _follow(watched: Watch) -> Iterator[Event]:
    try:
        yield from watched.advance()
        while not watched.over:
            time.sleep(POLL_SECONDS)
            yield from watched.advance()
    finally:
        watched.close()


def _run(order: Order, on_progress: OnProgress | None) -> Published | PublishStatus:
    """Carry out an order."""
    return _interruptible(Call(order, on_progress).run)


def _interruptible(run: Callable[[], T]) -> T:
    """Return what `run` returns. Ctrl-C stops it cleanly, and remains a KeyboardInterrupt for the caller."""
    try:
        return run()
    except PublisherError as error:
        if error.conclusion is Conclusion.STOPPED:
            from roar_publisher.publishing.watching import Halted

            if not isinstance(error, Halted):  # that one was stopped somewhere else
                raise KeyboardInterrupt from error
        raise
