"""Runs of a program in forks of one process that has imported it: most of a short run is imports.

`python -m tests.support.fork_server PROGRAM SOCKET` serves until its stdin ends. Each connection to the Unix socket is
one run: it sends an order as JSON with the descriptors for stdout and stderr, and gets the wait status of the fork as
text. A run whose connection closes is killed.
"""

import atexit
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib import import_module
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Literal, NoReturn

from tests.support.imported import import_program, import_roar_cli
from tests.support.processes import environment, line_of, running
from tests.support.sampling import EXHAUSTIVE

Program = Literal["roar_publisher", "roar", "tests.support.auth.loud"]
"""This project's program, real roar-cli, or ours as it logs everything: packages that `python -m` runs."""
READ_AT_START = ("PYTHON", "LANG", "LC_", "_ROAR_COMPLETE")
"""Beginnings of the variables that an interpreter reads only when it starts: a run that sets one is no fork."""
_open = ExitStack()


@dataclass(frozen=True)
class Order:
    """One command line, and where to run it."""

    program: Program
    arguments: Sequence[str]
    cwd: str
    env: Mapping[str, str]


class ForkServer:
    """The client of a running server. Threads may share it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def run(self, order: Order, timeout: float, kill_after: Callable[[], object] | None = None) -> tuple[int, str, str]:
        """Run a command line to its end. Return its exit code (negative for a signal), stdout and stderr.

        timeout: in seconds. Raises TimeoutError; the run is killed then. kill_after: returns when it is to be killed
        before.
        """
        with TemporaryFile() as out, TemporaryFile() as err, self._begun(order, out.fileno(), err.fileno()) as run:
            if kill_after is not None:
                kill_after()
                run.shutdown(socket.SHUT_WR)
            run.settimeout(timeout)
            status = int(run.recv(16))
            texts = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode() for file in (out, err)]
        return os.waitstatus_to_exitcode(status), texts[0], texts[1]

    @contextmanager
    def started(self, order: Order) -> Iterator[str]:
        """Start a command line, yield the first line that it prints, and kill it on leaving."""
        reader, writer = os.pipe()
        with open(reader) as output, self._begun(order, writer, 2) as run:
            os.close(writer)
            try:
                yield output.readline().strip()
            finally:
                run.shutdown(socket.SHUT_WR)
                run.recv(16)  # it has ended

    def _begun(self, order: Order, stdout: int, stderr: int) -> socket.socket:
        content = json.dumps(asdict(order)).encode()
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._path)
        socket.send_fds(connection, [len(content).to_bytes(4, "big")], [stdout, stderr])
        connection.sendall(content)
        return connection


def server_for(order: Order) -> ForkServer | None:
    """Return this process's server for a program, started on first use, if a fork behaves as a new process would.

    An exhaustive run and a system without pidfd_open start a process each time.
    """
    ours = environment()
    # An empty PYTHONPATH is for what the run starts itself: the fork has imported its program.
    read = {name: value for name, value in order.env.items() if name.startswith(READ_AT_START) and value}
    same = read.items() <= ours.items()
    starts_itself_again = list(order.arguments[:2]) == ["daemon", "run"]
    if EXHAUSTIVE or not same or starts_itself_again or not hasattr(os, "pidfd_open"):
        return None
    return _started_server(order.program)


@cache
def _started_server(program: Program) -> ForkServer:
    """Start a server, which ends with this process."""
    path = f"{_open.enter_context(TemporaryDirectory(prefix='roar-'))}/socket"
    atexit.register(_open.close)  # before the folder's own handler, which would warn
    process = _open.enter_context(running("-m", "tests.support.fork_server", program, path))
    assert line_of(process) == "ready"
    return ForkServer(path)


# ---------------------------------------------------------------- the server


def _begin(connection: socket.socket) -> int:
    """Run the order of a connection in a child of this process, and return its id."""
    header, descriptors, _, _ = socket.recv_fds(connection, 4, 2)
    with connection.makefile("rb") as stream:
        order = Order(**json.loads(stream.read(int.from_bytes(header, "big"))))
    child = os.fork()
    if child == 0:
        _leave(_exit_code_of(partial(_become, order, descriptors)))
    for descriptor in descriptors:
        os.close(descriptor)
    return child


def _become(order: Order, descriptors: Sequence[int]) -> None:
    """Be the program, as `python -m` runs it."""
    os.environ.clear()
    os.environ.update(order.env)
    time.tzset()
    os.chdir(order.cwd)
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), *descriptors)):
        os.dup2(descriptor, number)
        os.close(descriptor)
    main = import_module(f"{order.program}.__main__")
    sys.argv = [str(main.__file__), *order.arguments]
    main.main()


def _exit_code_of(program: Callable[[], object]) -> int:
    try:
        program()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _leave(code: int) -> NoReturn:
    """End as an interpreter does, but destroy nothing: that would copy all the memory that the forks share."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            code = 120
    os._exit(code)


class _Runs(selectors.DefaultSelector):
    """The runs under way: of each, the connection, which closes when the caller no longer waits, and its process."""

    def __init__(self) -> None:
        super().__init__()
        self._children: set[int] = set()

    def add(self, connection: socket.socket) -> None:
        child = _begin(connection)
        self._children.add(child)
        ended = os.pidfd_open(child)
        self.register(connection, selectors.EVENT_READ, partial(self._kill, child))
        self.register(ended, selectors.EVENT_READ, partial(self._end, connection, child, ended))

    def _kill(self, child: int) -> None:
        if child in self._children:
            os.kill(child, signal.SIGKILL)

    def _end(self, connection: socket.socket, child: int, ended: int) -> None:
        self._children.remove(child)
        _, status = os.waitpid(child, 0)
        self.unregister(ended)
        os.close(ended)
        self.unregister(connection)
        with connection, suppress(OSError):
            connection.sendall(str(status).encode())

    def close(self) -> None:
        """Kill what is left."""
        for child in self._children:
            self._kill(child)
        super().close()


def main() -> None:
    program, path = sys.argv[1:]
    (import_roar_cli if program == "roar" else import_program)()
    with socket.socket(socket.AF_UNIX) as listener, _Runs() as runs:
        listener.bind(path)
        listener.listen(64)
        runs.register(listener, selectors.EVENT_READ, lambda: runs.add(listener.accept()[0]))
        runs.register(sys.stdin, selectors.EVENT_READ, sys.exit)
        print("ready", flush=True)  # noqa: T201
        while True:
            for key, _ in runs.select():
                key.data()


if __name__ == "__main__":
    main()
