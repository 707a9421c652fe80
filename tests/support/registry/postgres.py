"""A real PostgreSQL for tests: one server for each test process, and a database for each use."""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from tests.support.ports import reserved_port

USER = "roar"
PATIENCE = 60.0
"""Seconds to start or stop the server."""
INSTALLED = "/usr/lib/postgresql/*/bin/postgres"
MISSING = "these tests need PostgreSQL 14 or later: install Debian's package postgresql, or put its bin folder on PATH"
UNPRIVILEGED = "nobody"
"""Who runs the server if the tests run as root, as which it refuses to run."""


@dataclass
class Postgres:
    """A running server. `folder` holds its data and its log."""

    folder: Path
    programs: Path
    port: int
    durable: bool
    _names: Iterator[int] = field(default_factory=itertools.count)

    def url(self, database: str) -> str:
        """The address of a database."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The address of a new, empty database."""
        name = f"test{next(self._names)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'".encode())
        return self.url(name)

    def clear(self, url: str) -> None:
        """Delete all rows of a database, but keep its tables."""
        with psycopg.connect(url, autocommit=True) as connection:
            tables = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_versions'"
            ).fetchall()
            deletions = "".join(f"DELETE FROM {table};" for (table,) in tables)
            connection.execute(f"SET session_replication_role = replica; {deletions}".encode())

    def start(self) -> None:
        """Start the server, also after a `kill`."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
            f" -c max_connections=100 -c fsync={'on' if self.durable else 'off'} -c autovacuum=off"
        )
        self._run("pg_ctl", "start", "-w", "-l", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        """Stop the server."""
        self._run("pg_ctl", "stop", "-w", "-m", "fast")

    def kill(self) -> None:
        """Let the server die by SIGKILL-like means: nothing is written any more, and all connections end."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate")

    def create(self) -> None:
        """Make the data of the server."""
        self._run("initdb", "-U", USER, "-A", "trust", "-E", "UTF8", "--no-sync")

    def _run(self, program: str, *arguments: str) -> None:
        command = [*as_unprivileged(), str(self.programs / program), "-D", str(self.folder / "data"), *arguments]
        with (self.folder / "output").open("ab") as output:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=PATIENCE, cwd=self.folder
            )
        assert done.returncode == 0, (self.folder / "output").read_text()[-2000:]


def as_unprivileged() -> Sequence[str]:
    """The beginning of a command that gives up root's rights."""
    if os.geteuid() != 0:
        return ()
    return ("setpriv", f"--reuid={UNPRIVILEGED}", "--regid=nogroup", "--clear-groups")


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A server. It writes through to the disk only if it is `durable`."""
    with tempfile.TemporaryDirectory(prefix="roar-postgres-") as folder:
        if os.geteuid() == 0:
            shutil.chown(folder, UNPRIVILEGED, "nogroup")
        server = Postgres(Path(folder), _programs(), reserved_port(), durable)
        server.create()
        server.start()
        try:
            yield server
        finally:
            if (server.folder / "data" / "postmaster.pid").exists():
                server.stop()


def _programs() -> Path:
    found = shutil.which("postgres")
    installed = sorted(Path("/").glob(INSTALLED.removeprefix("/")), key=lambda path: int(path.parts[-3]))
    assert found or installed, MISSING
    return Path(found).parent if found else installed[-1].parent
