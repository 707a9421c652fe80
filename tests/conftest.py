"""What every test shares: both anyio backends, no way out of this machine, and a state folder of its own."""

import signal
import socket
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from roar_publisher.net.address import is_loopback
from roar_publisher.state.paths import StateFolder

INTERNET = (socket.AF_INET, socket.AF_INET6)


def _stay_on_this_machine(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect":
        connection, address = arguments
        if isinstance(connection, socket.socket) and connection.family in INTERNET and isinstance(address, tuple):
            if not is_loopback(str(address[0])):
                raise RuntimeError(f"a test tried to connect to {address[0]}")


sys.addaudithook(_stay_on_this_machine)
# A shell's background job ignores Ctrl-C, and so would every program that it starts: tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every async test runs on both backends, unless its module says otherwise."""
    return str(request.param)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    """A state folder that nobody else uses."""
    return StateFolder(tmp_path / "state")


@pytest.fixture
def clock() -> Callable[[], float]:
    """Unix seconds that grow by one each time they are asked for."""
    seconds = count(1_700_000_000)
    return lambda: float(next(seconds))
