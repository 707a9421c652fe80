"""Chooses the next publish and decides what follows an error. Pure functions; `service` acts on the results.

| what stopped the publish | what follows |
| --- | --- |
| the user must act: sign in, confirm, fix a file | PARK: not tried again until the user asks for it |
| nothing answers at an address | UNREACHABLE: resumed as soon as something answers there; not counted as an attempt |
| the server asked for a pause | RETRY at that time, or in a minute; not counted as an attempt |
| a disk is full | RETRY every half minute until there is room; not counted as an attempt |
| the server fails, or a problem of this machine | RETRY with growing delays, `MAX_ATTEMPTS` times in a row |
| it was asked to stop, or another process owns it or has changed it | LEAVE: the next scan finds it |
| its journal cannot be used, so nothing can be recorded | PAUSE: not tried again for a while |
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

from msgspec import Struct

from roar_publisher.state.errors import Interrupted, NeedsUser, Owned, PublisherError, Transient
from roar_publisher.state.meanings import MEANINGS, Turn
from roar_publisher.state.reasons import Reason

FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 900.0
"""The longest delay between attempts at a failing server: four attempts an hour."""
LONGEST_LOCAL_RETRY_SECONDS = 60.0
"""The longest delay for problems of this machine. Retrying them puts no load on a server."""
FULL_DISK_RETRY_SECONDS = 30.0
UNUSABLE_PAUSE_SECONDS = 30.0
THROTTLED_SECONDS = 60.0
"""The delay if a server asks for a pause without saying how long."""
LONGEST_LATENESS_SECONDS = 4.0
"""The maximum jitter after a pause that a server asked for, so that clients do not all return at once."""
LONGEST_WAIT_SECONDS = 2 * 3600.0
"""No delay is longer, so a later time was written before the clock was set back."""
MAX_ATTEMPTS = 60
"""Attempts in a row without a new acknowledgement: about half a day of a server that answers with failures."""


class Action(Enum):
    """What follows an error."""

    RETRY = "retry"
    UNREACHABLE = "unreachable"
    PARK = "park"
    LEAVE = "leave"
    PAUSE = "pause"


class FollowUp(Struct, frozen=True):
    """The decision about a publish that could not continue.

    attempts: failed attempts in a row, for the journal. seconds: until the next attempt. probe_url: the URL that must
    answer first.
    """

    action: Action
    attempts: int = 0
    seconds: float = 0.0
    probe_url: str = ""


def follow_up_of(error: PublisherError, *, attempts: int, rng: random.Random) -> FollowUp:
    """Return what follows an error.

    attempts: failed attempts in a row before this one, without a new acknowledgement.
    """
    if isinstance(error, Interrupted | Owned):
        return FollowUp(Action.LEAVE, attempts)
    turn = MEANINGS[error.reason].turn
    if isinstance(error, NeedsUser) or turn is Turn.USER:
        return FollowUp(Action.PARK, attempts)
    if isinstance(error, Transient):
        if error.probe_url:
            return FollowUp(Action.UNREACHABLE, attempts, probe_url=error.probe_url)
        if error.retry_after or error.reason == Reason.THROTTLED:
            seconds = error.retry_after or THROTTLED_SECONDS
            lateness = min(seconds / 10, LONGEST_LATENESS_SECONDS) * rng.random()
            return FollowUp(Action.RETRY, attempts, seconds + lateness)
    if error.reason == Reason.DISK_FULL:
        return FollowUp(Action.RETRY, attempts, FULL_DISK_RETRY_SECONDS)
    if attempts + 1 >= MAX_ATTEMPTS:
        return FollowUp(Action.PARK, attempts + 1)
    longest = LONGEST_LOCAL_RETRY_SECONDS if turn is Turn.MACHINE else LONGEST_RETRY_SECONDS
    seconds = min(longest, FIRST_RETRY_SECONDS * 2.0 ** min(attempts, 16)) * rng.uniform(0.5, 1.0)
    return FollowUp(Action.RETRY, attempts + 1, seconds)


def due(next_attempt: float | None, now: float) -> bool:
    """Return whether a publish postponed until `next_attempt` may be tried at `now` (both Unix seconds)."""
    return next_attempt is None or next_attempt <= now or next_attempt - now > LONGEST_WAIT_SECONDS


class Candidate(Struct, frozen=True):
    """A publish that could be started now. created_at: Unix seconds."""

    id: str
    project: str
    created_at: float


def choose(
    candidates: Iterable[Candidate], active: Mapping[str, int], served: Mapping[str, float], room: int
) -> Iterator[Candidate]:
    """Yield up to `room` candidates to start, fair between projects and oldest first within a project.

    The project with the fewest active publishes comes first. Among equals, the one served longest ago comes first.
    active: number of active publishes by project. served: when each project's last publish was started.
    """
    waiting: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.created_at, reverse=True):
        waiting.setdefault(candidate.project, []).append(candidate)
    busy = {project: active.get(project, 0) for project in waiting}
    last = {project: served.get(project, 0.0) for project in waiting}
    for _ in range(room):
        if not waiting:
            return
        project = min(waiting, key=lambda name: (busy[name], last[name], waiting[name][-1].created_at))
        yield waiting[project].pop()
        busy[project] += 1
        if not waiting[project]:
            del waiting[project]
