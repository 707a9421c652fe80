"""What stops a publish is reported by one documented code, by the process itself or by what it left."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

from roar_publisher.exit_codes import exit_code_of
from roar_publisher.state.lock import Lock
from roar_publisher.state.meanings import MEANINGS, Turn
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from tests.support.cli.program import Ended, Program, ended
from tests.support.cli.servers import ANSWER_SECONDS, answering
from tests.support.daemon.daemons import program_with_daemons
from tests.support.daemon.reasons import PATIENCE_SECONDS, SIGN_IN, check_reason, paths_of, queue, why
from tests.support.daemon.surroundings import registry_at, wait_until
from tests.support.lineage.captured import captured_project

DISK_BYTES = 8 * 1024 * 1024


def code_of(reason: Reason) -> int:
    return int(exit_code_of(MEANINGS[reason].conclusion))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return captured_project("linear", tmp_path)


@pytest.fixture
def alone(tmp_path: Path, project: Path) -> Program:
    """A program without a daemon and without a sign-in."""
    return Program.within(project, tmp_path)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_at(tmp_path_factory.mktemp("registry")) as registry:
        yield registry.url


def only_publish(program: Program) -> str:
    [publish_id] = program.publishes
    return publish_id


def check_error(done: Ended, reason: Reason) -> None:
    """Assert that the process said so, and ended as is documented."""
    assert (done.code, done.last["event"], done.last["reason"]) == (code_of(reason), "error", reason), done.out
    assert done.last["exit_code"] == done.code
    assert "Traceback" not in done.err


def test_not_signed_in(alone: Program, registry: str) -> None:
    check_error(alone("publish", "--private", "-y", "--json", "--registry", registry), Reason.AUTH)


def test_an_expired_sign_in(alone: Program, registry: str, tmp_path: Path) -> None:
    folder = tmp_path / "home" / ".config" / "roar"
    folder.mkdir(parents=True)
    (folder / "auth.json").write_text(json.dumps(SIGN_IN | {"issuer": registry, "expires_at": "2020-01-01T00:00:00Z"}))
    (folder / "auth.json").chmod(0o600)
    check_error(alone("publish", "--private", "-y", "--json", "--registry", registry), Reason.AUTH)


def test_a_locked_key_without_an_agent(alone: Program, registry: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "a passphrase", "-f", str(key)], check=True)
    locked = Program(alone.cwd, alone.state, alone.env | {"ROAR_SSH_KEY": str(key)})
    done = locked("publish", "--private", "-y", "--json", "--registry", registry)
    assert (done.code, done.last["exit_code"]) == (4, 4), done.out
    assert done.last["reason"] == Reason.SSH_KEY
    assert str(key) in done.last["what"]
    assert "no SSH agent holds it" in done.last["what"]


def test_not_confirmed(alone: Program, registry: str) -> None:
    check_error(alone("publish", "--public", "--json", "--registry", registry), Reason.NEEDS_CONFIRMATION)


def test_a_state_folder_that_is_a_file_is_reported(alone: Program, registry: str) -> None:
    alone.state.write_text("in the way")
    done = alone("publish", "--anonymous", "-y", "--json", "--registry", registry)
    assert (done.code, done.last["reason"]) == (1, Reason.STATE_DIRECTORY), "there is nothing to resume"


def test_owned_by_another_process(alone: Program) -> None:
    publish_id = queue(alone, "http://127.0.0.1:9")
    with Lock(paths_of(alone, publish_id).lock):
        answer = why(alone, publish_id)
        check_reason(answer, Reason.OWNED)
        assert answer["owner"] == os.getpid()
        resumed = alone("publish", "--resume", publish_id, "-y", "--json")
        assert (resumed.code, resumed.last["exit_code"]) == (5, 5)
        assert str(os.getpid()) in resumed.last["what"]


@pytest.mark.parametrize(
    ("number", "reason", "code"),
    [
        (signal.SIGINT, Reason.INTERRUPTED, 130),
        (signal.SIGTERM, Reason.INTERRUPTED, 130),
        (signal.SIGKILL, Reason.CRASHED, -signal.SIGKILL),
    ],
)
def test_stopped_and_killed(alone: Program, number: signal.Signals, reason: Reason, code: int) -> None:
    silence = threading.Event()
    requests = count()

    def silent(request: bytes) -> bytes:
        if next(requests):  # the first one is sent while the publish is planned
            asked.set()
            silence.wait(ANSWER_SECONDS)
        return b""

    asked = threading.Event()
    with answering(silent) as server:
        typed = ("publish", "--anonymous", "-y", "--json", "--registry", server.url)
        with alone.started(*typed) as process:
            assert asked.wait(ANSWER_SECONDS)
            process.send_signal(number)
            done = ended(process)
        silence.set()
    assert done.code == code, done.err
    check_reason(why(alone, only_publish(alone)), reason, Turn.USER if reason is Reason.INTERRUPTED else None)


def test_queued_while_no_daemon_runs(alone: Program) -> None:
    answer = why(alone, queue(alone, "http://127.0.0.1:9"))
    check_reason(answer, Reason.QUEUED)
    assert answer["next"].startswith("roar daemon start")


def test_published_in_the_foreground(alone: Program, registry: str) -> None:
    done = alone("publish", "--anonymous", "-y", "--json", "--registry", registry)
    assert (done.code, done.last["event"]) == (0, "published"), done.out
    check_reason(why(alone, only_publish(alone)), Reason.PUBLISHED)


def test_a_journal_of_a_newer_release(alone: Program) -> None:
    publish_id = queue(alone, "http://127.0.0.1:9")
    with closing(sqlite3.connect(paths_of(alone, publish_id).journal)) as connection, connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
            " SELECT migration_set, 'm999_of_tomorrow', applied_at FROM _sqlite_migrations LIMIT 1"
        )
    assert alone("journal", "show", publish_id, "--why", "--json").last["reason"] == Reason.NEWER_JOURNAL
    check_error(alone("publish", "--resume", publish_id, "-y", "--json"), Reason.NEWER_JOURNAL)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of some megabytes at `folder`, for root on Linux."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0700", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a disk that is small enough")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_postpones_the_publish(tmp_path: Path, registry: str) -> None:
    with small_disk(tmp_path / "state"), program_with_daemons(tmp_path, tmp_path) as program:
        publish_id = queue(program, registry)
        StateFolder(program.state).user_key()  # as every earlier publish made it
        with Lock(StateFolder(program.state).daemon_lock):  # as an earlier daemon left it
            pass
        filler = program.state / "filler"
        with pytest.raises(OSError, match="No space left"):
            filler.write_bytes(bytes(DISK_BYTES))
        with program.started("daemon", "run", "-q"):
            wait_until((program.state / "daemon.sock").exists, PATIENCE_SECONDS)
            check_reason(why(program, publish_id), Reason.DISK_FULL)
            filler.unlink()
            wait_until(lambda: why(program, publish_id)["reason"] == Reason.PUBLISHED, PATIENCE_SECONDS)
