"""How long the rest of a phase takes: counted in work, not in items, and not told before it can be relied on.

An estimate is the work that is left divided by the speed of late.  It is told where

- what was done lately is like what is left: batches of jobs say nothing about the speed of links;
- it has come true so far: what was expected a while ago, less the time that has passed since, is about what is expected
  now.  While the limit of requests still grows, or a server slows down, it is not.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

WINDOW_SECONDS = 10.0
"""The speed is that of the last so many seconds,"""
WINDOW_STEPS = 50
"""and of so many steps at the least."""
FEWEST_STEPS = 8
"""Before so many steps nothing is known."""
SAMPLE_SECONDS = 0.2
"""How far apart two points of the window lie, at the least."""
UNLIKE = 0.2
"""The share of work that may be of other sorts than what is left."""
SHORTEST_TRIAL_SECONDS, LONGEST_TRIAL_SECONDS = 3.0, 30.0
"""For how long an estimate must have come true: a quarter of what it says, between these."""
TOLERANCE = 1 / 6
"""How far estimates may be apart, as a share of the time that is left."""
TOLERATED_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Point:
    """Where a phase stood.  at: seconds.  done: by sort.  ends_at: when it would end by the speed of then, if known."""

    at: float
    steps: int
    done: Mapping[str, float]
    ends_at: float | None


class Estimate:
    """Of one phase.  now: seconds of a clock that never goes back.  left: the work to do by sort, in one unit."""

    def __init__(self, now: float, left: Mapping[str, float]) -> None:
        self._left = {sort: amount for sort, amount in left.items() if amount > 0}
        self._begin(now)

    def advance(self, now: float, sort: str, amount: float) -> None:
        """A step of work was done; a negative amount is work to do again."""
        if sort not in self._left:
            return
        self._steps += 1
        self._done[sort] = self._done.get(sort, 0.0) + amount
        self._left[sort] -= amount
        if self._left[sort] <= 0:
            del self._left[sort]
            self._begin(now)  # what is left is of other sorts, whose speed is not known yet
        elif now - self._points[-1].at >= SAMPLE_SECONDS:
            seconds = self._seconds(now)
            ends_at = None if seconds is None else now + seconds
            self._points.append(_Point(now, self._steps, dict(self._done), ends_at))
            self._forget(now)

    def seconds_left(self, now: float) -> float | None:
        """Seconds until everything is done; None while that is not known within a factor of two."""
        left = self._seconds(now)
        if left is None:
            return None
        trial = min(max(left / 4, SHORTEST_TRIAL_SECONDS), LONGEST_TRIAL_SECONDS)
        begins = max((index for index, point in enumerate(self._points) if point.at <= now - trial), default=None)
        if begins is None:
            return None
        tolerated = max(left * TOLERANCE, TOLERATED_SECONDS)
        ends = [point.ends_at for point in islice(self._points, begins, None)]
        return left if all(end is not None and abs(end - now - left) <= tolerated for end in ends) else None

    def _begin(self, now: float) -> None:
        self._steps = 0
        self._done: dict[str, float] = {}
        self._points = deque([_Point(now, 0, {}, None)])

    def _seconds(self, now: float) -> float | None:
        """For what is left at the speed of late; None where too little was done, or other sorts of work."""
        since = self._window(now)
        done = {sort: amount - since.done.get(sort, 0.0) for sort, amount in self._done.items()}
        amount, left = sum(done.values()), sum(self._left.values())
        if self._steps - since.steps < FEWEST_STEPS or amount <= 0 or left <= 0:
            return None
        sorts = {*done, *self._left}
        unlike = sum(abs(done.get(sort, 0.0) / amount - self._left.get(sort, 0.0) / left) for sort in sorts) / 2
        return left / amount * (now - since.at) if unlike <= UNLIKE else None

    def _window(self, now: float) -> _Point:
        """The newest point that is far enough back."""
        for point in reversed(self._points):
            if self._covers(point, now):
                return point
        return self._points[0]

    def _covers(self, point: _Point, now: float) -> bool:
        return now - point.at >= WINDOW_SECONDS and self._steps - point.steps >= WINDOW_STEPS

    def _forget(self, now: float) -> None:
        """Drop the points that neither a window nor a trial goes back to any more."""
        while len(self._points) > 2 and self._covers(self._points[1], now - LONGEST_TRIAL_SECONDS):
            self._points.popleft()
