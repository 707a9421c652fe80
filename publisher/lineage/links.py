"""Links from roar.db, grouped by job."""

from collections.abc import Iterator

from roar_publisher.lineage.database import LinkRow


class LinkStream:
    """Groups a stream of links by job. Jobs must be requested in the stream's order."""

    def __init__(self, rows: Iterator[LinkRow]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, seq: int) -> list[LinkRow]:
        """Return the links of the job at this place; links of jobs that were not requested are skipped."""
        group: list[LinkRow] = []
        while self._next is not None and self._next.seq <= seq:
            if self._next.seq == seq:
                group.append(self._next)
            self._next = next(self._rows, None)
        return group
