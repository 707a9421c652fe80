"""`roar registry backup | restore | prune | key`: on which registry they work."""

import asyncio
import errno
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from roar_publisher.cli.registry.command import registry
from roar_publisher.registry.accounts.callers import ANONYMOUS_CALLER
from roar_publisher.registry.control import answer_commands, control_socket
from roar_publisher.registry.data import Store
from roar_publisher.registry.lineages.registration import LIFETIME, open_session
from roar_publisher.registry.store.database import Connection
from roar_publisher.state.errors import LocalProblem, UsageProblem
from tests.support.registry.postgres import Postgres
from tests.support.registry.processes import PATIENCE

NOWHERE = "postgresql://roar@127.0.0.1:1/roar"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(registry, list(map(str, arguments)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The files of a registry that may have been moved to PostgreSQL."""
    Store.open(tmp_path / "data").close()
    return tmp_path / "data"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("named", ["option", "environment"])
@pytest.mark.parametrize("command", ["backup", "restore"])
def test_files_are_not_taken_for_a_registry_on_postgresql(
    command: str, named: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.tar"
    assert run("backup", file, "--data", data).exit_code == 0
    before = file.read_bytes()
    arguments: list[str | Path] = [command, file, "--data", data]
    if named == "option":
        arguments += ["--database", NOWHERE]
    else:
        monkeypatch.setenv("ROAR_REGISTRY_DATABASE", NOWHERE)
    refused = run(*arguments)
    assert isinstance(refused.exception, UsageProblem), refused.output
    assert "pg_dump" in refused.exception.detail
    assert file.read_bytes() == before


def test_pruning_works_on_the_database_that_is_named(data: Path, tmp_path: Path, postgres: Postgres) -> None:
    url = postgres.new_database()
    with closing(Store.open(data, url)) as store:
        store.write(
            open_session,
            ANONYMOUS_CALLER,
            client_session_id=None,
            mode="anonymous_public",
            now=1_000_000_000.0 - 2 * LIFETIME,
            client="",
            most_open=1,
        )
    files, elsewhere = content(data), tmp_path / "elsewhere"
    pruned = run("prune", "--json", "--data", elsewhere, "--database", url)
    assert json.loads(pruned.stdout)["sessions"] == 1
    assert content(data) == files
    assert not elsewhere.exists()

    def sessions(connection: Connection) -> int:
        return int(connection.execute("SELECT count(*) FROM sessions").fetchone()[0])

    with closing(Store.open(data, url)) as store:
        assert store.read(sessions) == 0


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_pruning_makes_no_registry(options: tuple[str, ...], tmp_path: Path) -> None:
    mistyped = tmp_path / "mistyped"
    mistyped.mkdir()
    for folder in (mistyped, tmp_path / "missing"):
        refused = run("prune", *options, "--data", folder)
        assert isinstance(refused.exception, LocalProblem), refused.output
        assert "there is no registry in" in refused.exception.detail
    assert [path.name for path in tmp_path.iterdir()] == ["mistyped"]
    assert content(mistyped) == {}


@pytest.mark.parametrize("command", ["show", "rotate"])
def test_the_key_of_another_folder_is_not_asked_for(command: str, tmp_path: Path) -> None:
    """A registry's folder becomes private."""
    program = tmp_path / "project" / "program"
    program.parent.mkdir(mode=0o755)
    program.touch()
    program.chmod(0o755)
    refused = run("key", command, "--data", program.parent)
    assert isinstance(refused.exception, LocalProblem), refused.output
    assert "there is no registry in" in refused.exception.detail
    assert [stat.S_IMODE(path.stat().st_mode) for path in (program, program.parent)] == [0o755, 0o755]
    assert content(program.parent) == {"program": b""}


class Confined(Store):
    """The store of a process that may write into its data folder alone, as the unit of docs/registry.md lets it."""

    folder: Path

    def copy_to(self, target: Path) -> None:
        if not target.is_relative_to(self.folder):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(target))
        super().copy_to(target)


@contextmanager
def running(store: Confined, data: Path) -> Iterator[None]:
    """Answer commands for `store`, in a thread, until the block ends."""
    begun, loops = threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def answer() -> None:
        ended = asyncio.Event()
        loops.append((asyncio.get_running_loop(), ended))
        with control_socket(data) as listener:
            async with await answer_commands(store, store.folder, listener):
                begun.set()
                await ended.wait()

    thread = threading.Thread(target=lambda: asyncio.run(answer()))
    thread.start()
    try:
        assert begun.wait(PATIENCE)
        yield
    finally:
        for loop, ended in loops:
            loop.call_soon_threadsafe(ended.set)
        thread.join()


def test_a_registry_that_sees_only_its_data_is_backed_up(data: Path, tmp_path: Path) -> None:
    """Perhaps under another path, as in a container."""
    mounted, file = tmp_path / "mounted", tmp_path / "backups" / "a.tar"
    mounted.symlink_to(data)
    file.parent.mkdir()
    with closing(Confined.open(data)) as store:
        store.folder = mounted
        before = set(content(data))
        with running(store, data):
            done = run("backup", file, "--data", data)
        assert done.exit_code == 0, done.exception
        assert set(content(data)) == before
    assert [path.name for path in file.parent.iterdir()] == ["a.tar"]
    assert run("restore", file, "--data", tmp_path / "restored").exit_code == 0
