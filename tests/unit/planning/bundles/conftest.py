"""A machine with a valid bundle; importing a forged one must leave nothing behind."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from roar_publisher.__main__ import run
from tests.support.bundles.forge import Members, members_of
from tests.support.bundles.good import World, world_in
from tests.support.cli.program import Ended


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world_in(tmp_path_factory.mktemp("world").resolve())


@pytest.fixture(scope="module")
def members(world: World) -> Members:
    """The members of the valid bundle."""
    return members_of(world.bundle)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A file for databases that are being changed."""
    return tmp_path / "scratch.db"


Import = Callable[..., Ended]


@pytest.fixture
def imports(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Import:
    """Run `roar journal import FILE --yes` in the project, in this process, which takes milliseconds."""
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(world.project)

    def perform(file: Path, *arguments: str, yes: bool = True) -> Ended:
        capsys.readouterr()
        code = run(["journal", "import", str(file), *(["--yes"] if yes else []), *arguments])
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return perform


def everything(world: World) -> Mapping[str, tuple[int, int, bytes]]:
    """Return every file of the machine with what a write changes: inode, time and content.

    Not SQLite's index into roar.db's log, which every reader of it writes.
    """
    found = {}
    for folder, _, names in os.walk(world.root):
        found[folder] = (0, 0, b"")
        for name in (name for name in names if not name.endswith("-shm")):
            path = Path(folder, name)
            status = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (status.st_ino, status.st_mtime_ns, content)
    return found


Attack = Callable[..., Ended]


@pytest.fixture
def attacks(world: World, imports: Import, tmp_path: Path) -> Attack:
    """Import a forged bundle, and assert that it is refused with one message and this code, and changes no file."""
    before = everything(world)

    def perform(bundle: bytes, code: int = 1, *words: str, arguments: tuple[str, ...] = ()) -> Ended:
        file = tmp_path / "forged.tar"
        file.write_bytes(bundle)
        answer = imports(file, *arguments)
        answer.blames(code, *(words or ("is damaged, or is not an exported publish", "nothing was imported")))
        assert everything(world) == before
        return answer

    return perform


Harmless = Callable[[bytes], Ended]


@pytest.fixture
def harmless(world: World, imports: Import, tmp_path: Path) -> Harmless:
    """Import a bundle, and assert that it is accepted as a whole or refused with one message."""
    before = everything(world)

    def perform(bundle: bytes) -> Ended:
        file = tmp_path / "forged.tar"
        file.write_bytes(bundle)
        answer = imports(file)
        if answer.code == 0:
            for publish in world.state.all_publishes():
                if str(publish.folder) not in before:
                    shutil.rmtree(publish.folder)
        else:
            assert answer.code in (1, 2), answer
            answer.blames(answer.code)
        assert not any(ord(character) < 32 and character != "\n" for character in answer.out + answer.err)
        assert everything(world) == before
        return answer

    return perform
