"""A publish that is killed on one machine and continued on another: the same lineage, once, with the same identity."""

import shutil
import sqlite3
import tarfile
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from tests.support.auth.desk import Desk, alices_desk, recorded_hash
from tests.support.auth.front import Answer, Front, Seen, front
from tests.support.cli.program import PATIENCE, Program
from tests.support.faults.simulation import COUNTS
from tests.support.lineage.captured import captured_project

CREDENTIALS = ("bearer", "ssh", "none")


class Stopped:
    """Holds the first request whose path ends so, until the process that sent it is killed."""

    def __init__(self, ending: str) -> None:
        self._ending = ending
        self._reached = threading.Event()
        self._over = threading.Event()

    def __call__(self, seen: Seen) -> Answer | None:
        if self._over.is_set() or not seen.path.endswith(self._ending):
            return None
        self._reached.set()
        self._over.wait(PATIENCE)
        return Answer(500)

    def kill_there(self, desk: Desk, *arguments: str) -> str:
        """Publish until that request, then SIGKILL; returns the id of what is left."""
        with desk.program.started("publish", "-y", *arguments) as process:
            assert self._reached.wait(PATIENCE), process.communicate(timeout=PATIENCE)
            process.kill()
            process.wait(PATIENCE)
        self._over.set()
        [publish_id] = desk.program.publishes
        return publish_id


def sign_in(desk: Desk, credential: str) -> None:
    if credential == "bearer":
        desk.sign_in()
    elif credential == "ssh":
        desk.make_key()


def another_machine(desk: Desk, folder: Path, credential: str) -> Desk:
    """Where Alice has the same project and the same credential, and nothing else."""
    folder.mkdir()
    program = Program.within(captured_project("linear", folder), folder)
    there = Desk(replace(program, env=desk.program.env | program.env), folder / "home", desk.data, desk.url)
    if credential == "bearer":
        there.sign_in()
    elif credential == "ssh":
        shutil.copytree(desk.home / ".ssh", there.home / ".ssh")
    return there


def moved(here: Desk, publish_id: str, folder: Path, credential: str) -> Desk:
    """Another machine, with what was exported from here."""
    file = str(folder / "moved.tar")
    here.roar("journal", "export", publish_id, file)
    there = another_machine(here, folder / "there", credential)
    there.roar("journal", "import", file, "--yes")
    return there


def published(data: Path) -> tuple[int, str]:
    """How many lineages the registry has, and the hash of the first, once it has stopped."""
    with closing(sqlite3.connect(data / "registry.db")) as connection:
        count, lineage_hash, *_ = connection.execute(COUNTS).fetchone()
        return count, lineage_hash


def interrupted(desk: Desk, fore: Front, ending: str, credential: str) -> str:
    sign_in(desk, credential)
    fore.rule = stop = Stopped(ending)
    return stop.kill_there(desk, "--anonymous" if credential == "none" else "--private")


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize("ending", ["/links/batch", "/finalize"])
def test_a_publish_killed_here_is_published_there_once(tmp_path: Path, credential: str, ending: str) -> None:
    with alices_desk(tmp_path) as alone, front(alone.url) as fore:
        here = alone.with_environment(GLAAS_URL=fore.url)
        publish_id = interrupted(here, fore, ending, credential)
        file = tmp_path / "moved.tar"
        exported = here.roar("journal", "export", publish_id, str(file), "--json")
        assert exported.code == 0, exported.err
        there = another_machine(here, tmp_path / "there", credential)
        imported = there.roar("journal", "import", str(file), "--yes", "--json")
        assert imported.code == 0, imported.err
        assert (imported.last["publish_id"], imported.last["noted_in_roar_db"]) == (publish_id, True)
        resumed = there.roar("publish", "--resume", publish_id, "-y", "--json")
        assert resumed.code == 0, resumed.err
        assert resumed.last["hash"] == recorded_hash(credential)
        assert there.roar("publish", "-y", "--json", *kind(credential)).last["hash"] == recorded_hash(credential)
    assert published(alone.data) == (1, recorded_hash(credential))


def kind(credential: str) -> list[str]:
    return ["--anonymous"] if credential == "none" else ["--private"]


def test_a_publish_whose_copies_both_continue_is_published_once(tmp_path: Path) -> None:
    with alices_desk(tmp_path) as alone, front(alone.url) as fore:
        here = alone.with_environment(GLAAS_URL=fore.url)
        publish_id = interrupted(here, fore, "/links/batch", "bearer")
        there = moved(here, publish_id, tmp_path, "bearer")
        hashes = [desk.roar("publish", "--resume", publish_id, "-q").out.split()[0] for desk in (there, here)]
    assert hashes == [recorded_hash("bearer")] * 2
    assert published(alone.data) == (1, recorded_hash("bearer"))


def test_what_was_acknowledged_to_alice_is_not_sent_again_from_there(tmp_path: Path) -> None:
    """The session is hers, wherever she is; an anonymous one is its token's, which stays."""
    with alices_desk(tmp_path) as alone, front(alone.url) as fore:
        here = alone.with_environment(GLAAS_URL=fore.url)
        publish_id = interrupted(here, fore, "/finalize", "bearer")
        there = moved(here, publish_id, tmp_path, "bearer")
        fore.seen.clear()
        assert there.roar("publish", "--resume", publish_id).code == 0
        staged = ("/jobs/batch", "/artifacts/batch", "/composites", "/links/batch")
        assert [seen.path for seen in fore.seen if seen.path.endswith(staged)] == []


def test_another_user_cannot_continue_it(tmp_path: Path) -> None:
    with alices_desk(tmp_path) as alone, front(alone.url) as fore:
        here = alone.with_environment(GLAAS_URL=fore.url)
        publish_id = interrupted(here, fore, "/links/batch", "bearer")
        there = moved(here, publish_id, tmp_path, "none")
        there.admin("user", "add", "bob")
        there.sign_in("bob")
        there.roar("publish", "--resume", publish_id, "-y").blames(4)
    assert published(alone.data)[0] == 0


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_no_credential_travels(tmp_path: Path, credential: str) -> None:
    with alices_desk(tmp_path) as alone, front(alone.url) as fore:
        here = alone.with_environment(GLAAS_URL=fore.url)
        publish_id = interrupted(here, fore, "/links/batch", credential)
        file = tmp_path / "moved.tar"
        assert here.roar("journal", "export", publish_id, str(file)).code == 0
        content = file.read_bytes()
        for seen in fore.seen:
            authorization = seen.headers.get("authorization", "").partition(" ")[2]
            assert not authorization or authorization.encode() not in content
        paths = StateFolder(here.program.state).find(publish_id)
        secrets = [paths.read_session_token() or "", (here.program.state / "key").read_bytes().hex()]
        assert bool(secrets[0]) is (credential == "none")
        for secret in filter(None, secrets):
            assert secret.encode() not in content
        assert (here.program.state / "key").read_bytes() not in content
        with tarfile.open(file) as archive:
            assert archive.getnames() == ["manifest.json", "journal.db"]
        assert file.stat().st_mode & 0o777 == 0o600


def test_an_exported_publish_is_ignored_until_it_is_taken_back(tmp_path: Path) -> None:
    with alices_desk(tmp_path) as alone, front(alone.url) as fore:
        here = alone.with_environment(GLAAS_URL=fore.url)
        publish_id = interrupted(here, fore, "/links/batch", "none")
        here.roar("journal", "export", publish_id, str(tmp_path / "moved.tar"))
        [answer] = here.roar("journal", "show", publish_id, "--why", "--json").events
        assert (answer["reason"], answer["parked"], answer["turn"]) == ("exported", True, "person")
        assert here.roar("publish", "--resume", publish_id, "-y").code == 0
    assert published(alone.data) == (1, recorded_hash("none"))


def test_an_anonymous_session_is_left_for_another(tmp_path: Path) -> None:
    with alices_desk(tmp_path) as alone, front(alone.url) as fore:
        here = alone.with_environment(GLAAS_URL=fore.url)
        publish_id = interrupted(here, fore, "/finalize", "none")
        there = moved(here, publish_id, tmp_path, "none")
        with Journal(StateFolder(there.program.state).find(publish_id).journal) as journal:
            progress = journal.progress()
            assert (progress.state, progress.remote_session, progress.epoch) == (State.OPEN, None, 1)
            assert sum(tally.acked_items for tally in journal.units.tally().values()) == 0
            assert journal.plan().provisional[ANONYMOUS_IDENTITY] == recorded_hash("none")
