"""Blocking calls from asynchronous code: the journal, private files, roar.db, the files of a put."""

import functools
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import NoReturn, ParamSpec, Protocol, TypeVar

from anyio import CapacityLimiter, Event, from_thread, to_thread
from anyio.lowlevel import current_token

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

P = ParamSpec("P")
T = TypeVar("T")


class RunBlocking(Protocol):
    """Runs a blocking call and returns its result."""

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


NO_THREAD = "can't start new thread"
"""The text of Python's RuntimeError if the system has no thread left for this user or this control group."""


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call in a worker thread, so that the network continues meanwhile.

    The call finishes even if its caller is cancelled. Raises LocalProblem if no thread can be started.
    """
    return await _in_thread(functools.partial(call, *args, **kwargs), None)


async def in_thread_while_wanted(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call as `in_thread`, but wait for it only until the caller is cancelled.

    It then goes on without an effect that anyone sees, and the program can end before it. For what may hang, such as
    another program.
    """
    return await _in_daemon_thread(functools.partial(call, *args, **kwargs))


async def in_thread_of_its_own(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call as `in_thread`, but not in one of the threads that the program's other calls share.

    For one that takes minutes, of which there may be many.
    """
    return await _in_thread(functools.partial(call, *args, **kwargs), CapacityLimiter(1))


def one_at_a_time() -> RunBlocking:
    """Return a runner like `in_thread` that runs one call at a time, because an SQLite connection has one user."""
    limiter = CapacityLimiter(1)

    async def run(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _in_thread(functools.partial(call, *args, **kwargs), limiter)

    return run


async def _in_thread(call: Callable[[], T], limiter: CapacityLimiter | None) -> T:
    try:
        return await to_thread.run_sync(call, limiter=limiter)
    except RuntimeError as error:
        if problem := no_thread(error):
            raise problem from error
        raise


async def _in_daemon_thread(call: Callable[[], T]) -> T:
    """Run a call in a daemon thread: the interpreter waits at its exit for every other one, and so for anyio's."""
    ended, token, context = Event(), current_token(), copy_context()
    outcome: list[Callable[[], T]] = []

    def run() -> None:
        try:
            result = context.run(call)
            outcome.append(lambda: result)
        except BaseException as error:  # whatever it is, it belongs to the caller
            outcome.append(functools.partial(_raise, error))
        with suppress(RuntimeError):  # the event loop, whose caller was cancelled, has ended meanwhile
            from_thread.run_sync(ended.set, token=token)

    try:
        Thread(target=run, name="may be abandoned", daemon=True).start()
    except RuntimeError as error:
        if problem := no_thread(error):
            raise problem from error
        raise
    await ended.wait()
    return outcome[0]()


def _raise(error: BaseException) -> NoReturn:
    raise error


def end_if_cancelled() -> None:
    """End a call of `in_thread` whose caller was cancelled; elsewhere, do nothing. For calls that take seconds."""
    with suppress(RuntimeError):  # not in a thread of anyio
        from_thread.check_cancelled()


def no_thread(error: RuntimeError) -> LocalProblem | None:
    """Return the problem if the error says that no thread can be started, or None."""
    if str(error) != NO_THREAD:
        return None
    return LocalProblem(
        "this machine may not start more threads",
        next_step="stop programs that use many threads, or raise the limit (ulimit -u)",
        reason=Reason.LOCAL,
        resumable=True,
    )
