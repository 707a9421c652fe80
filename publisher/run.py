"""What every step is given: one process's work on one publish."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from publisher.auth.choice import Choice
from publisher.auth.keyring import Keyring
from publisher.glaas.caller import Caller
from publisher.report import Reporter
from state.journal import Journal
from state.machine import Event
from state.paths import PublishPaths
from state.record import Learned, Plan

P = ParamSpec("P")
T = TypeVar("T")


class OnDisk(Protocol):
    """Runs a blocking call, one at a time, and returns its result."""

    async def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T: ...


def in_thread() -> OnDisk:
    """Blocking calls in a worker thread, so that the network goes on meanwhile.

    One at a time: an SQLite connection has one user.  A cancelled caller still lets its call finish.
    """
    limiter = CapacityLimiter(1)

    async def run(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await to_thread.run_sync(functools.partial(call, *args, **kwargs), limiter=limiter)

    return run


async def inline(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Blocking calls right here: for virtual time, which does not wait for threads."""
    return call(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step found out: the event, and what the journal should keep of it."""

    event: Event
    learned: Learned


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One process's work on one publish.  The process owns the publish for as long as this exists.

    confirm: asks a person whether a publish that names nobody may go out; repeated after a resume.
    user_key: makes this user's session ids unguessable.  clock: Unix seconds.  most_requests, most_uploads: under way
    at once, to the registry and to an object store.
    upload_rate: bytes a second to an object store, None for as many as go.  stop: set when the process should finish
    what is under way and end.
    """

    plan: Plan
    paths: PublishPaths
    journal: Journal
    caller: Caller
    keyring: Keyring
    user_key: bytes
    confirm: Callable[[Choice], Awaitable[bool]]
    report: Reporter
    clock: Callable[[], float]
    on_disk: OnDisk
    most_requests: int
    most_uploads: int
    upload_rate: int | None
    stop: anyio.Event


Step = Callable[[Run], Awaitable[Outcome]]
