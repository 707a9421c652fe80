"""The transition table: what is in it happens, what is not in it never does."""

from itertools import product

import pytest

from roar_publisher.state.machine import (
    BEFORE_VERIFY,
    CLEARS_ACKNOWLEDGEMENTS,
    ENDED,
    LIVE,
    MAX_RECOUNTS,
    TABLE,
    Event,
    ImpossibleEvent,
    State,
    Transition,
    next_state,
)

KNOWN = {(row.source, row.event) for row in TABLE}
UNKNOWN = sorted(set(product(State, Event)) - KNOWN)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.source}-{row.event}-{row.target}")
def test_every_row_of_the_table_happens(row: Transition) -> None:
    recounts = MAX_RECOUNTS if row.event is Event.COUNTS_DIFFER and row.guard is None else 0
    verifies = row.guard == "is_to_be_verified"
    published = row.guard == "is_published"
    assert next_state(row.source, row.event, recounts=recounts, verifies=verifies, published=published) is row.target


@pytest.mark.parametrize(("state", "event"), UNKNOWN)
def test_an_event_outside_of_the_table_is_impossible(state: State, event: Event) -> None:
    with pytest.raises(ImpossibleEvent, match=f"{event} does not happen in {state}"):
        next_state(state, event)


def test_counts_may_differ_once_before_the_publish_fails() -> None:
    assert next_state(State.FINALIZE, Event.COUNTS_DIFFER, recounts=0) is State.STAGE
    assert next_state(State.FINALIZE, Event.COUNTS_DIFFER, recounts=1) is State.FAILED
    assert next_state(State.FINALIZE, Event.COUNTS_DIFFER, recounts=7) is State.FAILED


def test_every_state_either_has_a_step_or_has_ended() -> None:
    assert set(LIVE) | set(ENDED) == set(State)
    assert not set(LIVE) & set(ENDED)


def test_every_state_before_the_publish_is_published_can_fail_and_be_cancelled() -> None:
    assert set(LIVE) - set(BEFORE_VERIFY) == {State.VERIFY}
    assert next_state(State.VERIFY, Event.CANCELLED) is State.DONE
    for state in BEFORE_VERIFY:
        assert next_state(state, Event.REJECTED) is State.FAILED
        assert next_state(state, Event.CANCELLED) is State.CANCELLED
        assert next_state(state, Event.CANCELLED, published=True) is State.DONE


def test_nothing_leads_out_of_done_and_cancelled() -> None:
    assert {row.source for row in TABLE} == {*LIVE, State.FAILED}


def test_done_is_reached_from_every_live_state() -> None:
    reached = {State.DONE}
    while more := {row.source for row in TABLE if row.target in reached} - reached:
        reached |= more
    assert reached >= set(LIVE)


def test_an_impossible_event_leaves_the_shared_machine_as_it_was() -> None:
    for _ in range(3):
        with pytest.raises(ImpossibleEvent):
            next_state(State.DONE, Event.PROBED)
    assert next_state(State.PROBE, Event.PROBED) is State.AUTH_SELECT


def test_only_events_of_a_live_session_clear_acknowledgements() -> None:
    assert {row.source for row in TABLE if row.event in CLEARS_ACKNOWLEDGEMENTS} == {State.STAGE, State.FINALIZE}
