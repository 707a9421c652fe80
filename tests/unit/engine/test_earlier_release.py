"""A publish that the release before this one began, and left in the middle of STAGE, ends here."""

import sqlite3

import pytest

from roar_publisher.state.errors import Conclusion, LocalProblem
from roar_publisher.state.lock import Lock
from roar_publisher.state.machine import State
from roar_publisher.state.paths import PublishPaths, StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.status_poller import StatusPoller
from roar_publisher.state.units import Kind
from tests.support.checkout import DATA
from tests.support.engine.publishing import Publishing
from tests.support.lineages import chain, cut

pytestmark = pytest.mark.anyio
DUMP = DATA / "journal-before-redesign.sql"
"""The journal, as SQL. Its schema has the migrations up to m006; four of its links and its labels were not sent yet."""
PUBLISH_ID = "065633af"
LINEAGE = cut(chain(4))


@pytest.fixture
def begun(folder: StateFolder) -> Publishing:
    publishing = Publishing(folder, None)
    publishing.lineage = LINEAGE
    publishing.paths = PublishPaths(folder.publishes / PUBLISH_ID)
    publishing.paths.folder.mkdir(parents=True, mode=0o700)
    connection = sqlite3.connect(publishing.paths.journal)
    connection.executescript(DUMP.read_text(encoding="utf-8"))
    connection.close()
    return publishing


async def test_it_can_be_watched_before_anything_else_has_migrated_it(begun: Publishing) -> None:
    with StatusPoller(begun.paths) as poller:
        assert poller.poll().status.progress.state is State.STAGE


async def test_a_watch_says_that_an_older_release_works_on_it(begun: Publishing) -> None:
    with Lock(begun.paths.lock), StatusPoller(begun.paths) as poller:
        with pytest.raises(LocalProblem, match="an older release works on publish") as caught:
            poller.poll()
    assert caught.value.conclusion is Conclusion.INTERRUPTED


async def test_it_ends_with_the_hash_that_it_was_planned_for(begun: Publishing) -> None:
    with OwnedPublish.open(begun.paths) as owned:
        assert owned.journal.progress().state is State.STAGE
        missing = [unit.body for unit in owned.journal.units.pending(Kind, limit=100, max_bytes=10**6)]
    progress = await begun.run()
    assert (progress.state, progress.hash) == (State.DONE, LINEAGE.hash)
    assert begun.published() == begun.expected()
    assert len(missing) == 7
    assert "credential-rejected" in begun.events(), "this registry never issued the session's token"
    assert begun.events().count("opened") == 2
