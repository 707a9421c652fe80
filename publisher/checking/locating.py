"""Which objects a lineage has, as the registry serves it and as the journal of a put on this machine knows."""

from collections.abc import Mapping
from typing import Any

from roar_publisher.fetching.asking import LineageReader
from roar_publisher.fetching.locating import PutJobs, locate, places_in, whole_hash
from roar_publisher.fetching.reading import served_job
from roar_publisher.inspection.findings import Finding, Inspected
from roar_publisher.inspection.subjects import Subject, merged, put_by
from roar_publisher.lineage.put_addresses import is_redacted
from roar_publisher.state.journal import Journal


class LocatedObjects:
    """Collects what the put jobs of a lineage stored, while it is read back."""

    def __init__(self) -> None:
        self._put = PutJobs()

    def add(self, job: Mapping[str, Any]) -> None:
        """Add a job as it is served, or a part of one."""
        self._put.add(served_job(job), frozenset())

    async def subjects(
        self, reader: LineageReader, lineage_hash: str, journal: Journal | None
    ) -> tuple[list[Subject], list[Inspected]]:
        """Return the objects to inspect, and those of which the lineage does not say where they are.

        journal: of the put, if it is on this machine. Raises Refused, CannotCheck, Transient.
        """
        put_here = [] if journal is None else list(put_by(journal))
        if not self._put.paths():
            return merged([], put_here), []
        await whole_hash(reader, lineage_hash)  # finds out with which credential it is read
        files, unsafe = await locate(reader, lineage_hash, self._put, ignoring_case=False)
        located = [Subject(each.url, each.digest) for each in files]
        located += [Subject(each.url, each.digest) for each in unsafe if each.url]
        located += [
            Subject(each.url, each.digest) for each in places_in(self._put.matched()) if not is_redacted(each.url)
        ]
        known = {each.digest for each in (*located, *put_here)}
        nowhere = [each for each in unsafe if not each.url and each.digest not in known]
        lost = [Inspected(Subject("", each.digest), Finding.UNREADABLE, each.why) for each in nowhere]
        return merged(located, put_here), lost
