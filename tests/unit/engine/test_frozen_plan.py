"""What is frozen stays frozen: a resume sends the same bytes, whatever became of roar.db meanwhile."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from roar_publisher.auth.choice import Flag
from roar_publisher.lineage.project import find_project
from roar_publisher.planning.freezing import freeze
from roar_publisher.planning.plans import PublishRequest
from roar_publisher.state.errors import Transient
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.record import NamedBy
from tests.support.engine.publishing import Publishing, Sent
from tests.support.lineage.captured import captured_project, recorded
from tests.support.lineages import REGISTRY

pytestmark = pytest.mark.anyio
NONSENSE = b"<html>"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return captured_project("diamond", tmp_path)


@pytest.fixture
def publishing(folder: StateFolder, project: Path) -> Publishing:
    """The captured project, frozen."""
    publishing = Publishing(folder, None)
    request = PublishRequest(find_project(project), None, project, REGISTRY, Flag.PUBLIC, NamedBy.OPTION)
    frozen = freeze(request, folder, clock=lambda: 1_700_000_000.0)
    publishing.paths = frozen.publish.paths
    frozen.publish.release()
    return publishing


def database(project: Path) -> Path:
    return project / ".roar" / "roar.db"


def remove(project: Path) -> None:
    project.rename(project.with_name("gone"))


def bodies(publishing: Publishing) -> set[tuple[str, bytes]]:
    return {(sent.path.split("/")[-1], sent.body) for sent in publishing.sent if sent.call not in ("health",)}


async def interrupt_at(publishing: Publishing, call: str) -> None:
    publishing.intercept = lambda sent: httpx2.Response(200, content=NONSENSE) if sent.call == call else None
    with pytest.raises(Transient):
        await publishing.run(patience=0)
    publishing.intercept = lambda sent: None


@pytest.mark.parametrize("call", ["health", "registration-sessions", "jobs/batch", "outputs", "finalize"])
async def test_roar_may_go_on_while_a_publish_is_interrupted(
    publishing: Publishing, project: Path, folder: StateFolder, call: str
) -> None:
    await interrupt_at(publishing, call)
    with closing(sqlite3.connect(database(project))) as roar, roar:
        roar.execute("UPDATE jobs SET command = 'rm -rf /', metadata = NULL")
        roar.execute("DELETE FROM job_outputs")
    progress = await publishing.run()
    assert (progress.state, progress.hash) == (State.DONE, recorded("diamond", "session")["finalized_hash"])
    sent = [body for body in bodies(publishing) if b"rm -rf" in body[1]]
    assert sent == []


async def test_a_resume_sends_the_very_bytes_that_the_first_try_sent(publishing: Publishing) -> None:
    await interrupt_at(publishing, "jobs/batch")
    first = {(sent.path, sent.body) for sent in publishing.calls("jobs/batch")}
    publishing.sent.clear()
    await publishing.run()
    assert {(sent.path, sent.body) for sent in publishing.calls("jobs/batch")} == first


async def test_the_project_may_even_be_gone(publishing: Publishing, project: Path) -> None:
    await interrupt_at(publishing, "outputs")
    remove(project)
    progress = await publishing.run()
    assert (progress.state, progress.owed) == (State.DONE, ())
    assert progress.hash == recorded("diamond", "session")["finalized_hash"]


async def test_a_finished_publish_leaves_its_marks_in_roar_db(publishing: Publishing, project: Path) -> None:
    progress = await publishing.run()
    assert progress.owed == ()
    with closing(sqlite3.connect(database(project))) as roar:
        metadata, synced_at = roar.execute("SELECT metadata, synced_at FROM sessions WHERE is_active = 1").fetchone()
        (unmarked,) = roar.execute("SELECT count(*) FROM jobs WHERE synced_at IS NULL").fetchone()
    publication = json.loads(metadata)["roar"]["remote_publication"]["glaas"]
    assert publication["session_hash"] == progress.hash
    uids = {job["job_uid"] for sent in publishing.calls("jobs/batch") for job in sent.document["jobs"]}
    assert set(publication["jobs"].values()) == uids
    assert synced_at is not None
    assert unmarked == 0


async def test_an_interrupted_publish_leaves_no_marks(publishing: Publishing, project: Path) -> None:
    await interrupt_at(publishing, "finalize")
    with closing(sqlite3.connect(database(project))) as roar:
        (marked,) = roar.execute("SELECT count(*) FROM jobs WHERE synced_at IS NOT NULL").fetchone()
    assert marked == 0


async def test_no_credential_is_left_anywhere(publishing: Publishing, project: Path, folder: StateFolder) -> None:
    tokens: list[bytes] = []

    def collect(sent: Sent) -> None:
        tokens.extend(publishing.tokens())

    publishing.intercept = collect
    await publishing.run()
    assert tokens
    kept = [path for root in (folder.root, project) for path in root.rglob("*") if path.is_file()]
    assert not [path for path in kept if any(token in path.read_bytes() for token in tokens)]
    assert not [report for report in publishing.reports if any(token.decode() in repr(report) for token in tokens)]
