"""Several workers over one socket: they are replaced, summed, drained, and never left alone."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import httpx2
import psycopg
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from roar_publisher.cli.registry.command import registry as command
from roar_publisher.registry.server import workers
from roar_publisher.registry.server.serve import ServeOptions, serve
from roar_publisher.registry.server.workers import SIGNALS, Supervisor, _Worker
from roar_publisher.registry.store.errors import StoreError
from roar_publisher.registry.store.postgres_schema import LINEAGES_LOCK
from roar_publisher.state.errors import UsageProblem
from tests.support.ports import reserved_port
from tests.support.registry.mortal import PATIENCE, MortalRegistry
from tests.support.registry.postgres import Postgres
from tests.support.sampling import sample

REQUESTS = 20
OPENINGS = 8
BACKGROUND_CALLS = 4
"""Calls of two workers that may wait for the store beside requests: each sweeps and indexes."""


@contextlib.contextmanager
def served(tmp_path: Path, database: str, *options: str) -> Iterator[MortalRegistry]:
    registry = MortalRegistry(tmp_path, ("--workers", "2", "--database", database, *options))
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup, the registry would ignore it, too
    try:
        registry.start()
    finally:
        signal.signal(signal.SIGHUP, hangup)
    try:
        yield registry
    finally:
        registry.kill()


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for another process. A condition that never holds fails the test."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ask(registry: MortalRegistry, path: str = "/readyz") -> int:
    """The status of a reply, over a connection of its own."""
    return httpx2.get(registry.url + path, timeout=PATIENCE).status_code


def figure(port: int, name: str, **labels: str) -> float:
    """The sum of a figure with these labels, of all workers."""
    text = httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(
        sample.value
        for sample in samples
        if sample.name == f"roar_registry_{name}" and labels.items() <= sample.labels.items()
    )


def counted(port: int) -> float:
    """The requests to `/readyz` that all workers answered."""
    return figure(port, "requests_total", route="/readyz")


def test_a_dead_worker_is_replaced_and_its_requests_stay_counted(tmp_path: Path, postgres: Postgres) -> None:
    port = reserved_port()
    with served(tmp_path, postgres.new_database(), "--metrics", f"127.0.0.1:{port}") as registry:
        assert {ask(registry) for _ in range(REQUESTS)} == {200}
        eventually(lambda: counted(port) == REQUESTS)  # a reply may arrive before it is counted
        dead = {*registry.workers}
        for pid in dead:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: len({*registry.workers} - dead) == 2 and ask(registry, "/healthz") == 200)
        assert {ask(registry) for _ in range(REQUESTS)} == {200}
        eventually(lambda: answers(port))  # the first worker serves the figures
        eventually(lambda: counted(port) == 2 * REQUESTS)
        status, err = registry.stop()
    assert status == 0
    assert err.count("another one takes its place") == 2


IMPATIENT = """
from roar_publisher.__main__ import main
from roar_publisher.registry.server import process, workers
process.TICKS_A_SECOND, workers.LOOK_SECONDS = 1, 0.2
main()
"""
"""The command line with a tenth of the patience for workers that hang, which still write as often as they can."""


WITH_ORPHANS = """
import ctypes, os, signal, sys, time
from roar_publisher.registry.server import workers

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
workers.LOOK_SECONDS = 0.05

def be_orphan(parent):
    while os.getppid() == parent:
        time.sleep(0.001)
    os.write(1, b"%d\\n" % os.getpid())
    os._exit(0)

def work(number, alive, supervisor):
    for _ in range(3):
        parent = os.fork()
        if parent == 0:
            parent = os.getpid()
            if os.fork() == 0:
                be_orphan(parent)
            os._exit(0)
        os.waitpid(parent, 0)
    alive()
    signal.pause()

workers.Supervisor(work).run(2, lambda: None)
"""
"""A supervisor that gets orphans as the first process of a container does, with workers that leave some behind."""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the orphans")
def test_orphans_are_reaped_and_workers_stay() -> None:
    with subprocess.Popen([sys.executable, "-c", WITH_ORPHANS], stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None
        try:
            orphans = [int(supervisor.stdout.readline()) for _ in range(6)]
            eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans))
            supervisor.terminate()
            assert supervisor.wait(PATIENCE) == 0
        finally:
            supervisor.kill()


def test_a_worker_that_hangs_is_replaced_and_its_connections_end(tmp_path: Path, postgres: Postgres) -> None:
    database = postgres.new_database()
    registry = MortalRegistry(tmp_path, ("--workers", "2", "--database", database), program=("-c", IMPATIENT))
    registry.start()
    try:
        hanging = {*registry.workers}
        with httpx2.Client(base_url=registry.url, timeout=PATIENCE) as client:
            assert client.get("/readyz").status_code == 200
            for pid in hanging:
                os.kill(pid, signal.SIGSTOP)
            with pytest.raises(httpx2.TransportError):
                client.get("/readyz")
        eventually(lambda: len({*registry.workers} - hanging) == 2)
        assert {ask(registry) for _ in range(REQUESTS)} == {200}
        status, err = registry.stop()
    finally:
        registry.kill()
    assert status == 0
    assert all(f"worker {number} hangs, so it is killed" in err for number in range(2))


def test_a_jump_of_the_clock_makes_no_worker_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a machine has slept, its workers have time to write again: each wait is one look at most."""
    times = iter(range(0, 10**9, 10**6))
    killed: list[int] = []
    monkeypatch.setattr(workers, "LOOK_SECONDS", 0)
    monkeypatch.setattr("roar_publisher.registry.server.workers.time.monotonic", lambda: next(times))
    monkeypatch.setattr("roar_publisher.registry.server.workers.os.kill", lambda pid, number: killed.append(pid))
    supervisor = Supervisor(lambda number, alive, supervisor: None)
    read, write = os.pipe()
    supervisor._workers[1] = _Worker(0, read)
    for _ in range(3):
        for _ in range(workers.MOST_SILENT_LOOKS - 1):
            assert supervisor._wait() is None
        os.write(write, workers.ALIVE)
    assert not killed
    for _ in range(workers.MOST_SILENT_LOOKS + 1):
        assert supervisor._wait() is None
    assert killed == [1]
    for descriptor in (read, write, supervisor._supervisor_read, supervisor._supervisor_write):
        os.close(descriptor)


@pytest.mark.parametrize("missing", ["fork", "pipe"])
def test_a_worker_that_cannot_be_started_now_ends_no_other(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """The supervisor tries again a second later. Until then, it still gets its signals, and keeps no descriptor."""

    def exhausted() -> NoReturn:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    supervisor = Supervisor(lambda number, alive, supervisor: None)
    blocked, opened = signal.pthread_sigmask(signal.SIG_BLOCK, ()), len(os.listdir("/dev/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(f"roar_publisher.registry.server.workers.os.{missing}", exhausted)
        assert supervisor._start(0) == os.strerror(errno.EAGAIN)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked
    assert len(os.listdir("/dev/fd")) == opened
    assert not supervisor._workers
    for descriptor in (supervisor._supervisor_read, supervisor._supervisor_write):
        os.close(descriptor)


ALONE = """
import os
from roar_publisher.registry.server import workers

def work(number, alive, supervisor):
    raise OSError("the database is away")

read, write = os.pipe()
os.close(read)
try:
    workers.Supervisor(work)._be_worker(0, open(write, "wb", buffering=0))
finally:
    os._exit(42)
"""
"""A worker that fails after its supervisor has ended."""


def test_a_worker_that_cannot_say_why_it_failed_ends_all_the_same() -> None:
    """Otherwise it would go on as a second supervisor, and stop the other workers."""
    assert subprocess.run([sys.executable, "-c", ALONE], timeout=PATIENCE).returncode == 1


def answers(port: int) -> bool:
    with contextlib.suppress(httpx2.ConnectError):
        return httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).is_success
    return False


@pytest.mark.parametrize("number", sample("signals to workers", SIGNALS, 1))
def test_a_stop_signal_lets_all_workers_finish(tmp_path: Path, postgres: Postgres, number: signal.Signals) -> None:
    """The opening of sessions waits for a lock while the signal comes; it is answered all the same."""
    database, port = postgres.new_database(), reserved_port()
    with (
        served(tmp_path, database, "--metrics", f"127.0.0.1:{port}") as registry,
        ThreadPoolExecutor(OPENINGS) as pool,
        psycopg.connect(database) as locking,
    ):
        locking.execute("SELECT pg_advisory_xact_lock(%s)", (LINEAGES_LOCK,))
        url = f"{registry.url}/api/v1/registration-sessions"
        body = {"mode": "anonymous_public"}
        openings = [pool.submit(httpx2.post, url, json=body, timeout=PATIENCE) for _ in range(OPENINGS)]
        eventually(lambda: figure(port, "store_queue") >= OPENINGS)
        eventually(lambda: waiting(database) == 2)  # one transaction of each worker
        registry.signal(number)
        eventually(lambda: ask(registry, "/api/v1/health") == 503)  # asks nothing of the store
        locking.commit()
        statuses = [status_of(opening) for opening in openings]
        assert statuses.count(201) >= OPENINGS - BACKGROUND_CALLS
        assert {*statuses} <= {201, 503, None}  # others may have arrived after the signal
        code, said = registry.ended()
        assert code == 0
        # What deletes expired data gives up waiting for the lock, if this machine takes long to come here.
        assert [line for line in said.splitlines() if "lock timeout" not in line] == []


def status_of(reply: Future[httpx2.Response]) -> int | None:
    """The status of a reply, or None if the connection was closed before the request was read."""
    try:
        return reply.result().status_code
    except httpx2.TransportError:
        return None


def waiting(database: str) -> int:
    """How many transactions wait for a lock of the tables."""
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = %s", (LINEAGES_LOCK,)
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_workers_end_with_their_supervisor(tmp_path: Path, postgres: Postgres) -> None:
    with served(tmp_path, postgres.new_database()) as registry:
        err = registry.kill_supervisor()
        assert err.count("so the worker stops") == 2
        with pytest.raises(httpx2.ConnectError):
            ask(registry)


def test_if_one_cannot_start_none_is_left(tmp_path: Path, postgres: Postgres) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        metrics = f"127.0.0.1:{taken.getsockname()[1]}"
        registry = MortalRegistry(
            tmp_path, ("--workers", "2", "--database", postgres.new_database(), "--metrics", metrics)
        )
        with pytest.raises(AssertionError, match="Address already in use"):
            registry.start()
    with pytest.raises(httpx2.ConnectError):
        ask(registry)


def test_several_workers_need_postgresql(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["serve", "--data", str(tmp_path / "data"), "--workers", "2"])
    assert isinstance(done.exception, UsageProblem)
    with pytest.raises(StoreError, match="a SQLite file belongs to one process"):
        serve("127.0.0.1", 0, tmp_path / "data", pytest.fail, options=ServeOptions(workers=2))
    assert not (tmp_path / "data").exists()
