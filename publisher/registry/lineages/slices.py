"""The jobs of a graph in the order of the lineage hash (`protocol.md §6`), read in bounded slices.

`wide_steps.parts_in_order` is a generator that yields None where other requests may run. Small steps are read whole,
several at a time. The jobs of a step that is too large for that are sorted on disk by `wide_steps`.
"""

from collections.abc import Generator, Sequence

from msgspec import Struct

from roar_publisher.registry.store.canonical_texts import next_jobs, texts_of_steps
from roar_publisher.registry.store.database import Connection

SLICE_JOBS = 100
"""Maximum jobs that are read at once."""
SLICE_BYTES = 256 * 1024
"""Maximum bytes of jobs and links that are read at once."""


class TextPart(Struct, frozen=True):
    """A part of a job's canonical text. `last` means that the text ends here."""

    uid: str
    text: str
    last: bool = True


Parts = Generator[TextPart | None, None, None]
"""Parts in order, with None after each bounded slice of work."""


def small_steps(connection: Connection, graph_id: int, after: int) -> tuple[int | None, int | None]:
    """Return the last step after `after` that can be read in the next slice, and the first step after it.

    The last is None if the first step alone is too large. Both are None if there are no more jobs.
    """
    found = next_jobs(connection, graph_id, after, SLICE_JOBS + 1)
    if not found:
        return None, None
    first, _size = found[0]
    return _last_whole_step(found), first


def read_steps(connection: Connection, graph_id: int, after: int, last: int) -> list[TextPart]:
    """Return the jobs of the steps after `after` up to `last`, which comes from `small_steps`."""
    return [TextPart(uid, text) for uid, text in texts_of_steps(connection, graph_id, after, last)]


def advance(parts: Parts) -> list[TextPart] | None:
    """Return the next bounded slice of parts, which may be empty; None at the end."""
    taken: list[TextPart] = []
    for part in parts:
        if part is None:
            return taken
        taken.append(part)
    return taken or None


def _last_whole_step(jobs: Sequence[tuple[int, int]]) -> int | None:
    whole: int | None = None
    before: int | None = None
    total = 0
    for number, (step, size) in enumerate(jobs):
        if step != before:
            whole, before = before, step
        total += size
        if number == SLICE_JOBS or total > SLICE_BYTES:
            return whole
    return before
