"""What every test shares: an anyio backend, no way out of this machine, and folders of its own."""

import signal
import socket
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from roar_publisher.net.address import is_loopback
from roar_publisher.state.paths import StateFolder
from tests.support.order import begin_elsewhere, longest_first
from tests.support.registry.quick_tables import copy_tables
from tests.support.sampling import EXHAUSTIVE, SEED

INTERNET = (socket.AF_INET, socket.AF_INET6)
BACKENDS = ("asyncio", "trio")
TESTS = Path(__file__).parent


def _stay_on_this_machine(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect":
        connection, address = arguments
        if isinstance(connection, socket.socket) and connection.family in INTERNET and isinstance(address, tuple):
            if not is_loopback(str(address[0])):
                connection.close()  # libraries expect an OSError, and close it after no other
                raise RuntimeError(f"a test tried to connect to {address[0]}")


sys.addaudithook(_stay_on_this_machine)
# A shell's background job ignores Ctrl-C, and so would every program that it starts: tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)
copy_tables()


def pytest_report_header() -> str:
    """Return the line that says how to repeat this run."""
    return "every case of every sweep" if EXHAUSTIVE else f"samples: ROAR_TEST_SAMPLE={SEED}"


def pytest_configure(config: pytest.Config) -> None:
    """Let the workers of a whole run collect from different places on."""
    worker = getattr(config, "workerinput", None)
    if worker is not None and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        config.args = begin_elsewhere(TESTS, int(worker["workerid"].removeprefix("gw")), worker["workercount"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long."""
    items[:] = longest_first(items, TESTS)


@pytest.fixture(params=BACKENDS if EXHAUSTIVE else None)
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each async test on one backend, chosen by the seed, or on both; a module may override this."""
    chosen = BACKENDS[zlib.crc32(f"{SEED}/{request.node.nodeid}".encode()) % len(BACKENDS)]
    return str(getattr(request, "param", chosen))


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, where the system has one: commits of thousands of journals do not wait for a disk."""
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    """A state folder of its own."""
    return StateFolder(tmp_path / "state")


@pytest.fixture
def clock() -> Callable[[], float]:
    """Unix seconds that grow by one each time they are asked for."""
    seconds = count(1_700_000_000)
    return lambda: float(next(seconds))
