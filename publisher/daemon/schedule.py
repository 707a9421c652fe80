"""Who is next, and what follows when a publish could not go on: decided purely, carried out by `service`.

| what stopped it | then |
| --- | --- |
| a person's turn: sign in, confirm, mend a file | PARK: left alone until that person says so |
| nothing answers at an address | AWAY: begun again as soon as something answers there; costs no attempt |
| the server asked for patience | RETRY when it said, or in a minute; costs no attempt |
| a disk is full | RETRY every half minute, until there is room; costs no attempt |
| the server fails, this machine stands in the way | RETRY, later each time, `MAX_ATTEMPTS` times in a row |
| it was asked to stop, or somebody else has it | LEAVE: the next scan finds it |
| its journal can't be used, so nothing can be written down | REST: left alone for a while |
"""

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from roar_publisher.state.errors import Interrupted, NeedsPerson, Owned, PublisherError, Transient
from roar_publisher.state.reasons import Reason, Turn, meaning

FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 900.0
"""A server that fails is asked four times an hour in the end."""
LONGEST_LOCAL_RETRY_SECONDS = 60.0
"""This machine may be asked more often: it costs nobody anything."""
FULL_DISK_RETRY_SECONDS = 30.0
UNUSABLE_REST_SECONDS = 30.0
THROTTLED_SECONDS = 60.0
"""For a server that asks for patience without saying how long."""
LONGEST_LATENESS_SECONDS = 4.0
"""By how much those whom a server asked for patience spread out, so that they do not all come back at once."""
LONGEST_WAIT_SECONDS = 2 * 3600.0
"""Nothing is postponed for longer, so a time further away was written by a clock that has been set back since."""
MAX_ATTEMPTS = 60
"""In a row, without anything new acknowledged: half a day of a server that answers, and fails."""


class Then(Enum):
    """What follows."""

    RETRY = "retry"
    AWAY = "away"
    PARK = "park"
    LEAVE = "leave"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Verdict:
    """attempts: in a row, for the journal.  seconds: until the next one.  knock_at: what has to answer first."""

    then: Then
    attempts: int = 0
    seconds: float = 0.0
    knock_at: str = ""


def verdict(error: PublisherError, *, attempts: int, rng: random.Random) -> Verdict:
    """What follows an error.  attempts: how many in a row had ended before this one, with nothing acknowledged."""
    if isinstance(error, Interrupted | Owned):
        return Verdict(Then.LEAVE, attempts)
    turn = meaning(error.reason).turn
    if isinstance(error, NeedsPerson) or turn is Turn.PERSON:
        return Verdict(Then.PARK, attempts)
    if isinstance(error, Transient):
        if error.knock_at:
            return Verdict(Then.AWAY, attempts, knock_at=error.knock_at)
        if error.retry_after or error.reason == Reason.THROTTLED:
            seconds = error.retry_after or THROTTLED_SECONDS
            lateness = min(seconds / 10, LONGEST_LATENESS_SECONDS) * rng.random()
            return Verdict(Then.RETRY, attempts, seconds + lateness)
    if error.reason == Reason.DISK_FULL:
        return Verdict(Then.RETRY, attempts, FULL_DISK_RETRY_SECONDS)
    if attempts + 1 >= MAX_ATTEMPTS:
        return Verdict(Then.PARK, attempts + 1)
    longest = LONGEST_LOCAL_RETRY_SECONDS if turn is Turn.MACHINE else LONGEST_RETRY_SECONDS
    seconds = min(longest, FIRST_RETRY_SECONDS * 2.0 ** min(attempts, 16)) * rng.uniform(0.5, 1.0)
    return Verdict(Then.RETRY, attempts + 1, seconds)


def due(next_attempt: float | None, now: float) -> bool:
    """Whether a publish that was postponed until `next_attempt` may be tried `now` (Unix seconds)."""
    return next_attempt is None or next_attempt <= now or next_attempt - now > LONGEST_WAIT_SECONDS


@dataclass(frozen=True, slots=True)
class Candidate:
    """A publish that could be begun now.  created_at: Unix seconds."""

    id: str
    project: str
    created_at: float


def choose(
    candidates: Iterable[Candidate], active: Mapping[str, int], served: Mapping[str, float], room: int
) -> Iterator[Candidate]:
    """Up to `room` candidates to begin, fair between projects and oldest first within one.

    The project with the fewest active publishes comes first; among equals, the one that was served longest ago.
    active: publishes under way by project.  served: when a publish of a project was begun last.
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
