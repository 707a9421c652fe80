"""A person stops a command where no step of a publish listens for it."""

import pytest

from roar_publisher.publishing.stopping import park_stopped, unfinished_error
from roar_publisher.state.errors import Conclusion, Interrupted, LocalProblem, Transient
from roar_publisher.state.machine import Event
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.reasons import Reason
from roar_publisher.state.status_reader import read_status
from tests.support.lineages import chain, cut, frozen

LINEAGE = cut(chain(1))


@pytest.fixture
def publish(folder: StateFolder) -> OwnedPublish:
    return frozen(folder, LINEAGE)


def test_a_stopped_publish_is_parked_with_both_next_commands(publish: OwnedPublish) -> None:
    error = park_stopped(publish)
    resume, cancel = f"roar publish --resume {publish.paths.id}", f"roar journal cancel {publish.paths.id}"
    assert (error.conclusion, error.next_step) == (Conclusion.STOPPED, f"{resume} (or cancel it: {cancel})")
    found = read_status(publish.paths)
    assert (found.queued.parked, found.reason, found.owner) == (True, "interrupted", None)
    publish.release()


def test_an_ended_publish_is_not_changed(publish: OwnedPublish) -> None:
    publish.journal.checkpoint(Event.CANCELLED)
    assert f"Publish {publish.paths.id} is cancelled." in park_stopped(publish).kept
    assert not read_status(publish.paths).queued.parked


def test_a_publish_that_the_daemon_took_meanwhile_continues_there(publish: OwnedPublish) -> None:
    publish.release()
    with OwnedPublish.open(publish.paths):
        error = park_stopped(publish)
    assert f"roar publish --watch {publish.paths.id}" in error.next_step
    assert f"roar journal cancel {publish.paths.id}" in error.next_step
    assert not read_status(publish.paths).queued.parked


def test_an_error_after_finalize_says_that_the_lineage_is_published(publish: OwnedPublish) -> None:
    url = "https://registry.example/dag/" + "ab" * 32
    for event in (Event.PROBED, Event.SELECTED, Event.OPENED, Event.STAGED):
        publish.journal.checkpoint(event)
    publish.journal.remember(hash="ab" * 32, url=url)
    publish.release()
    cause = LocalProblem("the state folder cannot be used", kept="Nothing was changed.", resumable=True)
    error = unfinished_error(cause, publish.paths, StateFolder(publish.paths.folder.parents[1]))
    assert error.kept.startswith(f"The lineage is published: {url}.")
    assert "--registry URL" not in error.next_step
    stopped = unfinished_error(Interrupted(), publish.paths, StateFolder(publish.paths.folder.parents[1]))
    assert stopped.next_step == f"roar publish --resume {publish.paths.id}", "it cannot be cancelled any more"


def test_no_cancel_is_offered_for_what_is_published(publish: OwnedPublish) -> None:
    for event in (Event.PROBED, Event.SELECTED, Event.OPENED, Event.STAGED):
        publish.journal.checkpoint(event)
    publish.journal.remember(hash="ab" * 32)
    publish.release()
    stopped = unfinished_error(Interrupted(), publish.paths, StateFolder(publish.paths.folder.parents[1]))
    assert stopped.next_step == park_stopped(publish).next_step == f"roar publish --resume {publish.paths.id}"


@pytest.mark.parametrize(
    ("reason", "named"), [(Reason.OFFLINE, True), (Reason.NOT_GLAAS, True), (Reason.DISK_FULL, False)]
)
def test_another_registry_is_named_if_the_address_may_be_wrong(
    publish: OwnedPublish, reason: Reason, named: bool
) -> None:
    publish.release()
    cause = Transient("no", reason=reason)
    error = unfinished_error(cause, publish.paths, StateFolder(publish.paths.folder.parents[1]))
    assert (f"roar publish --resume {publish.paths.id} --registry URL" in error.next_step) is named
