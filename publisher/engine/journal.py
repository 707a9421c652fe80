"""The journal and the private files of a publish for asynchronous code.

Each method has the parameters, the result and the errors of the blocking method of its name. Blocking calls run in a
worker thread, one at a time, because an SQLite connection has one user. A call finishes even if its caller is
cancelled, so a commit is never undone half-way.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from roar_publisher.blocking import RunBlocking
from roar_publisher.state.journal import Journal
from roar_publisher.state.objects import Objects
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.queue import Queue
from roar_publisher.state.units import Units

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


class _Blocking(Generic[S]):
    """An object with blocking methods, and what runs them."""

    def __init__(self, subject: S, run_blocking: RunBlocking) -> None:
        self._subject = subject
        self._run_blocking = run_blocking

    async def call(self, function: Callable[Concatenate[S, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking function, whose first argument is the blocking object."""
        return await self._run_blocking(function, self._subject, *args, **kwargs)


def _awaitable(
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[_Blocking[S], P], Coroutine[Any, Any, T]]:
    """Return the asynchronous form of a blocking method.

    It is looked up by its name when it is called, so that a subclass may override it.
    """
    name = method.__name__

    async def call(self: _Blocking[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        bound: Callable[P, T] = getattr(self._subject, name)
        return await self._run_blocking(bound, *args, **kwargs)

    return call


class AsyncUnits(_Blocking[Units]):
    """The units in the journal."""

    acknowledge = _awaitable(Units.acknowledge)
    split = _awaitable(Units.split)
    pending = _awaitable(Units.pending)
    unacknowledged_nodes = _awaitable(Units.unacknowledged_nodes)
    tally = _awaitable(Units.tally)


class AsyncQueue(_Blocking[Queue]):
    """The daemon's row in the journal."""

    read = _awaitable(Queue.read)
    configure = _awaitable(Queue.configure)
    postpone = _awaitable(Queue.postpone)
    set_notified = _awaitable(Queue.set_notified)


class AsyncObjects(_Blocking[Objects]):
    """The objects of a put in the journal."""

    all = _awaitable(Objects.all)
    acknowledge_stored = _awaitable(Objects.acknowledge_stored)
    forget_stored = _awaitable(Objects.forget_stored)
    revise = _awaitable(Objects.revise)
    parts = _awaitable(Objects.parts)
    acknowledge_part = _awaitable(Objects.acknowledge_part)
    forget_parts = _awaitable(Objects.forget_parts)


class AsyncJournal(_Blocking[Journal]):
    """The journal of a publish."""

    def __init__(self, journal: Journal, run_blocking: RunBlocking) -> None:
        super().__init__(journal, run_blocking)
        self.units = AsyncUnits(journal.units, run_blocking)
        self.queue = AsyncQueue(journal.queue, run_blocking)
        self.objects = AsyncObjects(journal.objects, run_blocking)

    plan = _awaitable(Journal.plan)
    progress = _awaitable(Journal.progress)
    checkpoint = _awaitable(Journal.checkpoint)
    note = _awaitable(Journal.note)
    note_wait = _awaitable(Journal.note_wait)
    remember = _awaitable(Journal.remember)
    history = _awaitable(Journal.history)
    start = _awaitable(Journal.start)
    park = _awaitable(Journal.park)


class AsyncFiles(_Blocking[PublishPaths]):
    """The private files of a publish."""

    read_session_token = _awaitable(PublishPaths.read_session_token)
    write_session_token = _awaitable(PublishPaths.write_session_token)
    forget_session_token = _awaitable(PublishPaths.forget_session_token)
    write_upload = _awaitable(PublishPaths.write_upload)
    forget_upload = _awaitable(PublishPaths.forget_upload)
    has_receipt = _awaitable(PublishPaths.has_receipt)
    write_receipt = _awaitable(PublishPaths.write_receipt)
