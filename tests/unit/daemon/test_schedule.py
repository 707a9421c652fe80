"""Who is next, and what follows an error: the table of `publisher.daemon.schedule`, row by row."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from roar_publisher.daemon.schedule import (
    FIRST_RETRY_SECONDS,
    FULL_DISK_RETRY_SECONDS,
    LONGEST_LOCAL_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    LONGEST_WAIT_SECONDS,
    MAX_ATTEMPTS,
    THROTTLED_SECONDS,
    Action,
    Candidate,
    FollowUp,
    choose,
    due,
    follow_up_of,
)
from roar_publisher.net.policy import LONGEST_RETRY_AFTER_SECONDS
from roar_publisher.state.errors import (
    Interrupted,
    LocalProblem,
    NeedsUser,
    Owned,
    PublisherError,
    Rejected,
    Transient,
)
from roar_publisher.state.meanings import MEANINGS, Turn
from roar_publisher.state.reasons import Reason

SOON = 5.0
"""Seconds after which everything that can continue has continued."""
NOW = 1_700_000_000.0


def after(error: PublisherError, attempts: int = 0, seed: int = 1) -> FollowUp:
    return follow_up_of(error, attempts=attempts, rng=random.Random(seed))


@pytest.mark.parametrize("reason", [reason for reason in Reason if MEANINGS[reason].turn is Turn.USER])
def test_an_error_that_needs_the_user_parks(reason: Reason) -> None:
    assert after(LocalProblem("…", reason=reason, resumable=True), attempts=3) == FollowUp(Action.PARK, 3)


@pytest.mark.parametrize("reason", [Reason.NEEDS_CONFIRMATION, Reason.AUTH, Reason.OFFLINE])
def test_an_error_that_needs_the_user_parks_whatever_the_reason(reason: Reason) -> None:
    assert after(NeedsUser("…", reason=reason)).action is Action.PARK


@pytest.mark.parametrize("attempts", [0, 7, MAX_ATTEMPTS])
def test_an_unreachable_server_is_probed_and_costs_no_attempt(attempts: int) -> None:
    error = Transient("…", reason=Reason.OFFLINE, probe_url="http://registry/health")
    assert after(error, attempts) == FollowUp(Action.UNREACHABLE, attempts, probe_url="http://registry/health")


@pytest.mark.parametrize("asked", [0.5, 5.0, 60.0, LONGEST_RETRY_AFTER_SECONDS])
def test_a_server_is_asked_again_after_the_pause_that_it_asked_for(asked: float) -> None:
    follow_ups = [after(Transient("…", reason=Reason.THROTTLED, retry_after=asked), 9, seed) for seed in range(200)]
    assert {(found.action, found.attempts) for found in follow_ups} == {(Action.RETRY, 9)}
    assert asked <= min(found.seconds for found in follow_ups)
    assert max(found.seconds for found in follow_ups) < asked + SOON
    assert len({found.seconds for found in follow_ups}) > 100, "all clients return at the same moment"


def test_a_pause_without_a_length_is_a_minute_and_costs_no_attempt() -> None:
    found = after(Transient("…", reason=Reason.THROTTLED), MAX_ATTEMPTS)
    assert (found.action, found.attempts) == (Action.RETRY, MAX_ATTEMPTS)
    assert THROTTLED_SECONDS <= found.seconds < THROTTLED_SECONDS + SOON


def test_a_full_disk_costs_no_attempt() -> None:
    error = LocalProblem("…", reason=Reason.DISK_FULL, resumable=True)
    assert after(error, MAX_ATTEMPTS) == FollowUp(Action.RETRY, MAX_ATTEMPTS, FULL_DISK_RETRY_SECONDS)


@pytest.mark.parametrize(
    ("error", "longest"),
    [
        (Transient("…", reason=Reason.SERVER_FAILING), LONGEST_RETRY_SECONDS),
        (Transient("…", reason=Reason.SESSION_LOST), LONGEST_RETRY_SECONDS),
        (Transient("…", reason=Reason.NOT_GLAAS), LONGEST_RETRY_SECONDS),
        (LocalProblem("…", reason=Reason.JOURNAL, resumable=True), LONGEST_LOCAL_RETRY_SECONDS),
        (LocalProblem("…", reason=Reason.CLOCK), LONGEST_LOCAL_RETRY_SECONDS),
    ],
    ids=lambda value: value.reason if isinstance(value, PublisherError) else "",
)
def test_a_failure_is_retried_with_growing_delays_and_a_limit(error: PublisherError, longest: float) -> None:
    waits = [after(error, attempts) for attempts in range(MAX_ATTEMPTS - 1)]
    assert {found.action for found in waits} == {Action.RETRY}
    assert [found.attempts for found in waits] == list(range(1, MAX_ATTEMPTS))
    assert waits[0].seconds <= FIRST_RETRY_SECONDS
    assert longest / 2 <= waits[-1].seconds <= longest
    assert all(later.seconds > earlier.seconds for earlier, later in pairwise(waits[:4]))
    assert after(error, MAX_ATTEMPTS - 1) == FollowUp(Action.PARK, MAX_ATTEMPTS)


def test_a_huge_count_of_attempts_does_not_overflow() -> None:
    assert after(Transient("…", reason=Reason.SERVER_FAILING), 10**6).action is Action.PARK


@pytest.mark.parametrize("error", [Interrupted("…"), Owned("…"), Owned("…", reason=Reason.OWNED)])
def test_a_stopped_or_owned_publish_is_released(error: PublisherError) -> None:
    assert after(error, 4) == FollowUp(Action.LEAVE, 4)


def test_a_final_refusal_parks() -> None:
    assert after(Rejected("…")).action is Action.PARK


@pytest.mark.parametrize(
    ("next_attempt", "expected"),
    [
        (None, True),
        (NOW - 1, True),
        (NOW, True),
        (NOW + 0.5, False),
        (NOW + LONGEST_RETRY_AFTER_SECONDS + SOON, False),
        (NOW + LONGEST_WAIT_SECONDS, False),
        (NOW + LONGEST_WAIT_SECONDS + 1, True),
        (NOW + 10 * 365 * 86_400, True),
    ],
)
def test_due_at_its_time_or_if_the_clock_was_set_back(next_attempt: float | None, expected: bool) -> None:
    assert due(next_attempt, NOW) is expected


def queue(**counts: int) -> list[Candidate]:
    """So many candidates of each project, the first project's queued first."""
    made: list[Candidate] = []
    for project, count in counts.items():
        made += [Candidate(f"{project}{number}", project, float(len(made) + number)) for number in range(count)]
    return made


def test_small_projects_do_not_wait_behind_a_large_one() -> None:
    chosen = list(choose(queue(large=100, small=5, single=1), {}, {}, 4))
    assert Counter(candidate.project for candidate in chosen) == {"large": 2, "small": 1, "single": 1}
    assert {candidate.id for candidate in chosen} >= {"large0", "small0", "single0"}


def test_oldest_first_within_a_project_and_in_the_order_of_their_turn() -> None:
    served: dict[str, float] = {}
    waiting = queue(large=100, small=5, single=1)
    begun = []
    for moment in range(1, 13):  # one place, free again at once
        (chosen,) = choose(waiting, {}, served, 1)
        begun.append(chosen.id)
        served[chosen.project] = float(moment)
        waiting.remove(chosen)
    assert begun[:5] == ["large0", "small0", "single0", "large1", "small1"]
    assert begun[5:] == ["large2", "small2", "large3", "small3", "large4", "small4", "large5"]


def test_a_project_with_active_publishes_yields_to_one_without() -> None:
    (chosen,) = choose(queue(busy=3, idle=1), {"busy": 1}, {"idle": 99.0}, 1)
    assert chosen.project == "idle"


@pytest.mark.parametrize(("room", "begun"), [(0, 0), (-1, 0), (3, 3), (50, 6)])
def test_never_more_than_the_limit(room: int, begun: int) -> None:
    assert len(list(choose(queue(one=5, two=1), {}, {}, room))) == begun


def test_every_candidate_gets_its_turn() -> None:
    waiting = queue(one=30, two=20, three=10)
    assert {chosen.id for chosen in choose(waiting, {}, {}, 60)} == {candidate.id for candidate in waiting}
