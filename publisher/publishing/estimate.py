"""Estimates the remaining time of a phase. It counts work rather than items, and reports only reliable estimates.

An estimate is the remaining work divided by the recent speed. It is reported if

- the recent work is similar to the remaining work, because batches of jobs say nothing about the speed of links;
- it has been accurate so far: earlier estimates, less the time that has passed since, are close to the present one.
  While the limit of concurrent requests still grows, or a server slows down, they are not.
"""

from collections import deque
from collections.abc import Mapping
from itertools import islice

from msgspec import Struct

WINDOW_SECONDS = 10.0
"""The speed is measured over at least this many seconds."""
WINDOW_STEPS = 50
"""The speed is measured over at least this many steps."""
FEWEST_STEPS = 8
"""The number of steps before the speed is known."""
SAMPLE_SECONDS = 0.2
"""The minimum distance between two points of the window."""
UNLIKE = 0.2
"""The maximum share of recent work that may be of other sorts than the remaining work."""
SHORTEST_TRIAL_SECONDS, LONGEST_TRIAL_SECONDS = 3.0, 30.0
"""How long an estimate must have been accurate: a quarter of its value, within these limits."""
TOLERANCE = 1 / 6
"""How far estimates may differ, as a share of the remaining time."""
TOLERATED_SECONDS = 0.5


class _Point(Struct, frozen=True):
    """The state of a phase at one time.

    at: seconds. done: work by sort. ends_at: the estimated end at that time, if known.
    """

    at: float
    steps: int
    done: Mapping[str, float]
    ends_at: float | None


class Estimate:
    """The estimate for one phase. now: seconds on a monotonic clock. left: the work to do by sort, in one unit."""

    def __init__(self, now: float, left: Mapping[str, float]) -> None:
        self._left = {sort: amount for sort, amount in left.items() if amount > 0}
        self._begin(now)

    def advance(self, now: float, sort: str, amount: float) -> None:
        """Record a finished step of work. A negative amount is work to be done again."""
        if sort not in self._left:
            return
        self._steps += 1
        self._done[sort] = self._done.get(sort, 0.0) + amount
        self._left[sort] -= amount
        if self._left[sort] <= 0:
            del self._left[sort]
            self._begin(now)  # the remaining work is of other sorts, whose speed is not known yet
        elif now - self._points[-1].at >= SAMPLE_SECONDS:
            seconds = self._seconds(now)
            ends_at = None if seconds is None else now + seconds
            self._points.append(_Point(now, self._steps, dict(self._done), ends_at))
            self._forget(now)

    def seconds_left(self, now: float) -> float | None:
        """Return the seconds until everything is done, or None while they are not known within a factor of two."""
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
        """Return the time for the remaining work at the recent speed.

        None if too little was done, or if the recent work is of other sorts.
        """
        since = self._window(now)
        done = {sort: amount - since.done.get(sort, 0.0) for sort, amount in self._done.items()}
        amount, left = sum(done.values()), sum(self._left.values())
        if self._steps - since.steps < FEWEST_STEPS or amount <= 0 or left <= 0:
            return None
        sorts = {*done, *self._left}
        unlike = sum(abs(done.get(sort, 0.0) / amount - self._left.get(sort, 0.0) / left) for sort in sorts) / 2
        return left / amount * (now - since.at) if unlike <= UNLIKE else None

    def _window(self, now: float) -> _Point:
        """Return the newest point that is far enough back."""
        for point in reversed(self._points):
            if self._covers(point, now):
                return point
        return self._points[0]

    def _covers(self, point: _Point, now: float) -> bool:
        return now - point.at >= WINDOW_SECONDS and self._steps - point.steps >= WINDOW_STEPS

    def _forget(self, now: float) -> None:
        """Drop the points that neither a window nor a trial needs any more."""
        while len(self._points) > 2 and self._covers(self._points[1], now - LONGEST_TRIAL_SECONDS):
            self._points.popleft()
