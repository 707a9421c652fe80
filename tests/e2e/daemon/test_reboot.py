"""What a crashed machine leaves behind blocks no one: pids, locks, sockets, hot journals."""

import os
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from tests.support.cli.program import Program
from tests.support.daemon.daemons import pid_of, program_with_daemons
from tests.support.daemon.reasons import queue
from tests.support.daemon.surroundings import Registry, check_clean, publishes_of, registry_at, wait_until, wanted_of
from tests.support.lineages import chain, cut
from tests.support.processes import line_of, running
from tests.support.state.folders import new_publish

NOBODYS_PID = "4194300"
"""Close to the highest possible pid, so probably unused."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at processes through /proc")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with registry_at(tmp_path / "data") as registry:
        yield registry


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    with program_with_daemons(tmp_path, tmp_path) as program:
        yield program


@pytest.mark.parametrize("pid", [NOBODYS_PID, "this test", "1", "", "not a number"])
def test_stale_pids_locks_and_sockets(program: Program, registry: Registry, pid: str) -> None:
    """Pids start again after a reboot, so a pid that was ours may belong to another process."""
    folder = StateFolder(program.state)
    publish_id = queue(program, registry.url)
    paths = folder.find(publish_id)
    for lock in (folder.daemon_lock, paths.lock, paths.claim):
        lock.write_text(str(os.getpid()) if pid == "this test" else pid)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder.daemon_socket))
    assert pid_of(program) is None
    started = program("daemon", "start")
    assert started.code == 0, started.err
    assert "Started the daemon" in started.out
    wait_until(lambda: publishes_of(program)[0].queued.notified is True)
    assert program("daemon", "stop").code == 0
    registry.kill()
    assert registry.published() == wanted_of(publishes_of(program))
    paths.claim.unlink()
    check_clean(program)


def test_an_interrupted_transaction(program: Program, registry: Registry, tmp_path: Path) -> None:
    """The power fails in the middle of a commit: the next process that opens the journal rolls it back."""
    publish_id = queue(program, registry.url)
    paths = StateFolder(program.state).find(publish_id)
    cut_off = (
        "import sqlite3, sys\n"
        f"connection = sqlite3.connect({str(paths.journal)!r}, isolation_level=None)\n"
        "connection.execute('PRAGMA journal_mode = TRUNCATE'); connection.execute('PRAGMA cache_size = 1')\n"
        "connection.execute('BEGIN IMMEDIATE'); connection.execute(\"UPDATE units SET acked = 1\")\n"
        'connection.execute("CREATE TABLE junk AS SELECT randomblob(200000) AS b")\n'
        "print('half', flush=True); sys.stdin.read()"
    )
    with running("-c", cut_off) as process:
        assert line_of(process) == "half"
        process.kill()
        process.wait()
    hot = paths.folder / "journal.db-journal"
    assert hot.stat().st_size > 0, "nothing was cut off"
    assert program("daemon", "start").code == 0
    wait_until(lambda: publishes_of(program)[0].queued.notified is True)
    registry.kill()
    assert registry.published() == wanted_of(publishes_of(program))


def test_an_unplanned_publish_and_foreign_folders_are_ignored(program: Program, registry: Registry) -> None:
    folder = StateFolder(program.state)
    with OwnedPublish.create(folder) as planning:
        planning.journal.units.add(cut(chain(1)).units)  # planning was killed here
        half = planning.paths
    empty = new_publish(folder)
    (folder.publishes / "not an id").mkdir()
    (folder.publishes / "0123abcd").write_text("a file")
    publish_id = queue(program, registry.url)
    assert program("daemon", "start").code == 0
    found = folder.find(publish_id)
    wait_until(lambda: not found.session_token.exists() and _done(found.journal))
    assert half.journal.exists()
    assert empty.folder.is_dir()
    assert (folder.publishes / "0123abcd").read_text() == "a file"


def _done(journal: Path) -> bool:
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as connection:
        state: tuple[str] = connection.execute("SELECT state FROM progress").fetchone()
    return state == ("done",)


def test_a_daemon_of_before_the_reboot_whose_folder_was_copied(
    program: Program, registry: Registry, tmp_path: Path
) -> None:
    """A backup of a state folder, with the pid of a daemon that really runs, for another folder."""
    assert program("daemon", "start").code == 0
    running_pid = pid_of(program)
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copytree(program.state, copy / "state", ignore=shutil.ignore_patterns("daemon.sock"))
    with program_with_daemons(tmp_path, copy) as restored:
        publish_id = queue(restored, registry.url)
        assert restored("daemon", "stop").out == "No daemon is running.\n"
        assert pid_of(program) == running_pid, "the other one was stopped"
        assert restored("daemon", "start").code == 0
        wait_until(lambda: _done(StateFolder(restored.state).find(publish_id).journal))
