"""No file is opened and no journal is read on the event loop, which every request of a publish shares."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import anyio
import httpx2
import pytest
import trio

from roar_publisher.auth.choice import Choice, Flag
from roar_publisher.auth.keyring import Keyring
from roar_publisher.engine.run import Frontend, Resources
from roar_publisher.engine.worker import work
from roar_publisher.registry.api.app import create_app
from roar_publisher.state.journal_file import JournalFile
from roar_publisher.state.machine import State
from roar_publisher.state.publish import OwnedPublish
from tests.support.auth.worlds import World
from tests.support.blocking import inline
from tests.support.lineages import chain, cut
from tests.support.send_policies import policy_for

EVENTS = frozenset({"open", "os.listdir", "os.scandir", "os.rename", "os.remove", "os.mkdir", "sqlite3.connect"})


class Recorder:
    """The file operations of one thread, except imports. An audit hook cannot be removed, so there is one recorder."""

    def __init__(self) -> None:
        self._thread: int | None = None
        self.found: list[str] = []
        sys.addaudithook(self._audit)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the operations of this thread during the block."""
        self.found.clear()
        self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._thread = None

    def record(self, what: str) -> None:
        """Record an operation, with the calls that led to it, if this thread is recorded."""
        if self._thread == threading.get_ident():
            calls = list(_calls())
            if not any("importlib" in call for call in calls):
                self.found.append(f"{what}: {' < '.join(call for call in calls if 'roar_publisher' in call)}")

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in EVENTS:
            self.record(f"{event} {arguments[0]!r}")


def _calls() -> Iterator[str]:
    """Yield the places of the calls that led here, the innermost first. Opens no file."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        yield f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back


RECORDER = Recorder()


@pytest.mark.parametrize(
    ("flag", "prepare"),
    [
        (Flag.ANONYMOUS, lambda world: None),
        (Flag.PUBLIC, World.sign_in),
        (Flag.PUBLIC, World.export_token),
        (Flag.PUBLIC, World.make_key),
    ],
    ids=["anonymous", "sign-in", "token", "key"],
)
def test_a_publish_does_not_block_the_event_loop(
    tmp_path: Path, flag: Flag, prepare: Callable[[World], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    translated = JournalFile.translated

    def recorded(journal: JournalFile) -> object:
        RECORDER.record("SQL")
        return translated(journal)

    async def agree(choice: Choice) -> bool:
        return True

    async def publish() -> State:
        world = World(tmp_path, cut(chain(3)), flag)
        prepare(world)
        registry = httpx2.ASGITransport(create_app(world.store, clock=world.now, run=inline))
        with OwnedPublish.open(world.paths) as owned:
            keyring = Keyring(world.environ, world.home, policy_for(world.registry, home=world.home), clock=world.now)
            with RECORDER.recording():
                progress = await work(
                    owned,
                    world.folder,
                    Frontend(report=world.reports.append, confirm=agree),
                    stop=anyio.Event(),
                    keyring=keyring,
                    resources=Resources(clock=world.now, transport=registry),
                )
        return progress.state

    monkeypatch.setattr(JournalFile, "translated", recorded)
    assert trio.run(publish) is State.DONE
    assert RECORDER.found == []


def test_the_recorder_sees_what_this_thread_opens(tmp_path: Path) -> None:
    with RECORDER.recording():
        (tmp_path / "file").write_bytes(b"")
    assert len(RECORDER.found) == 1
