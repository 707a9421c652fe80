"""A publish is cancelled: what is said about it is true, and what is published counts as published."""

from contextlib import ExitStack

from roar_publisher.checking.targets import own_target
from roar_publisher.fetching.published import published_here
from roar_publisher.publishing.changing import cancel_publish
from roar_publisher.publishing.running import run_here
from roar_publisher.state.debts import DebtKind
from roar_publisher.state.machine import Event, State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.status_reader import read_status
from roar_publisher.state.units import Kind
from tests.support.lineages import chain, cut, frozen

HASH, URL = "ab" * 32, "https://registry.example/dag/" + "ab" * 32
LINEAGE = cut(chain(2), labels=True)


def finalizing(folder: StateFolder, *, published: bool) -> PublishPaths:
    """A publish that was interrupted in FINALIZE, before its labels were sent."""
    with frozen(folder, LINEAGE) as owned:
        for event in (Event.PROBED, Event.SELECTED, Event.OPENED, Event.STAGED):
            owned.journal.checkpoint(event)
        if published:
            owned.journal.remember(hash=HASH, url=URL)
        return owned.paths


def test_what_the_registry_has_published_stays_published(folder: StateFolder) -> None:
    paths = finalizing(folder, published=True)
    text = cancel_publish(paths, folder, run_here)
    assert text.startswith(f"It is published, and stays so: {URL}.")
    assert f"roar publish --resume {paths.id}" in text
    progress = read_status(paths).progress
    assert (progress.state, progress.hash) == (State.DONE, HASH)
    assert [debt.what for debt in progress.owed] == [DebtKind.REFUSED_LABELS, DebtKind.MARKS]
    assert [found.paths for found in published_here(folder)] == [paths]


def test_labels_that_were_taken_are_not_owed(folder: StateFolder) -> None:
    paths = finalizing(folder, published=True)
    with OwnedPublish.open(paths) as owned:
        for unit in owned.journal.units.pending([Kind.LABELS], limit=10, max_bytes=1_000_000):
            owned.journal.units.acknowledge([(unit.seq, unit.part)])
    cancel_publish(paths, folder, run_here)
    assert [debt.what for debt in read_status(paths).progress.owed] == [DebtKind.MARKS]


def test_it_stays_published_while_another_credential_is_looked_for(folder: StateFolder) -> None:
    paths = finalizing(folder, published=True)
    with OwnedPublish.open(paths) as owned:
        owned.journal.checkpoint(Event.CREDENTIAL_REJECTED)
    assert "It is published" in cancel_publish(paths, folder, run_here)
    assert read_status(paths).progress.state is State.DONE


def test_nobody_is_told_that_a_request_in_flight_had_no_effect(folder: StateFolder) -> None:
    paths = finalizing(folder, published=False)
    assert "unless the registry was publishing it" in cancel_publish(paths, folder, run_here)
    assert read_status(paths).progress.state is State.CANCELLED


def test_what_is_published_can_be_verified_before_its_labels_are_sent(folder: StateFolder) -> None:
    with ExitStack() as files:
        order = own_target(finalizing(folder, published=True), files)
        assert order is not None
        assert order.hash == HASH
        assert own_target(finalizing(folder, published=False), files) is None
