"""The links of a lineage, cut into units, from the pass that reads them until they are written.

In the plan they follow all jobs and artifacts. They are redacted, so that a file may hold them as they are, and reading
it takes a tenth of the time that reading them from roar.db again would take.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, Self

from roar_publisher.lineage.batches import cut
from roar_publisher.state.temporary import no_room, python_folder
from roar_publisher.state.units import Kind

BYTES_IN_MEMORY = 2 * 1024 * 1024
"""Links of this size are kept in memory; more are kept in a file without a name."""


class LinksUnit(NamedTuple):
    """A unit of links of the job at the place `seq`; `items` and `body` are those of `Unit`."""

    seq: int
    kind: Kind
    items: int
    body: bytes


class KeptLinks:
    """Takes the links of one job after the other, and returns their units in the same order.

    Raises LocalProblem if the temporary folder is full. Use as a context manager: leaving it removes the file.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(BYTES_IN_MEMORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):  # what could not be written is not needed any more
            self._file.close()

    def add(self, seq: int, kind: Kind, items: Iterable[str]) -> None:
        """Add links of one kind of a job, as JSON texts."""
        with _problems():
            for count, body in cut(kind, items):
                self._file.write(b"%d %b %d %b\n" % (seq, kind.value.encode("ascii"), count, body))

    def units(self) -> Iterator[LinksUnit]:
        """Yield the units of all links. Call once."""
        with _problems():
            self._file.seek(0)
            for line in self._file:
                seq, kind, count, body = line[:-1].split(b" ", 3)
                yield LinksUnit(int(seq), Kind(kind.decode("ascii")), int(count), body)


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise no_room(python_folder(), error.strerror or "it cannot be written") from error
