"""Turn the chosen jobs of roar.db into units, in bounded memory.

Makes two passes over the same snapshot. The first reads the jobs with their links: it hashes the lineage as captured
and as sent (`hashing`), cuts jobs and artifacts into units, each distinct artifact once, and keeps the links, which
depend on the units of their jobs and artifacts, until those are written (`kept_links`). The second writes the labels.
Memory holds a `JobHead` and two numbers per job, and one number per artifact.
"""

from array import array
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.lineage.artifacts import is_composite
from roar_publisher.lineage.batches import MAX_ITEM_BYTES, Batch, UnitWriter
from roar_publisher.lineage.composites import composite_items
from roar_publisher.lineage.database import RoarDatabase
from roar_publisher.lineage.git.context import GitContext
from roar_publisher.lineage.hashing import LineageHashes
from roar_publisher.lineage.items import (
    artifact_item,
    canonical_key,
    described_link_item,
    distinct_digests,
    job_item,
    link_item,
    redacted_job,
    redacted_sides,
    sendable,
)
from roar_publisher.lineage.jsontext import encode
from roar_publisher.lineage.kept_links import KeptLinks
from roar_publisher.lineage.labels import label_items
from roar_publisher.lineage.metadata import MetadataRedactor
from roar_publisher.lineage.redaction.redactor import Redactor
from roar_publisher.lineage.rows import JobRow, LinkRow, LinkStream
from roar_publisher.lineage.selection import JobHead
from roar_publisher.state.units import Kind

PUT_TYPE = "put"
_SENT_FIRST = 1
"""A batch number that no artifact batch gets: it marks artifacts that were sent before all others, as composites."""


class UnitBuilder:
    """Builds the units of one plan. Call its public methods once each, in the order of their definition.

    put_job: the row of the job whose links also state the size and source of their artifacts.

    `inputs`, `outputs` and `artifacts` count while the nodes are written.
    """

    def __init__(
        self,
        database: RoarDatabase,
        jobs: Sequence[JobHead],
        git: GitContext,
        redactor: Redactor,
        writer: UnitWriter,
        links: KeptLinks,
        put_job: int | None = None,
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._git = git
        self._redactor = redactor
        self._metadata = MetadataRedactor(redactor)
        self._writer = writer
        self._links = links
        self._put_job = put_job
        self._job_batch = Batch(Kind.JOBS)
        self._first_in_batch = 0
        self._artifact_batch = Batch(Kind.ARTIFACTS)
        # By the job's place in the order: the unit that holds it, and the last artifact batch that its links refer to.
        self._unit_of_job = array("I", bytes(4 * len(jobs)))
        self._batch_for_job = array("I", bytes(4 * len(jobs)))
        # By batch number: the unit that it became. By artifact row: the number of its batch, 0 for none.
        self._unit_of_batch = array("I", [0] * (_SENT_FIRST + 1))
        self._batch_of_artifact = _PagedNumbers()
        self.inputs = self.outputs = self.artifacts = 0

    def write_composites(self) -> None:
        """Write the datasets, one per unit."""
        for item in composite_items(self._database, self._redactor):
            self._writer.write_all(Kind.COMPOSITE, [encode(item)], after=0)

    def write_nodes(self, identities: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Write jobs and artifacts.

        Returns the hash of the lineage as captured (the provisional one) and as sent, each by identity.
        """
        names = dict.fromkeys((ANONYMOUS_IDENTITY, *identities))
        input_rows, output_rows = LinkStream(self._database.inputs()), LinkStream(self._database.outputs())
        with LineageHashes(self._git, names) as hashes:
            for job in self._database.jobs():
                inputs, outputs = sendable(input_rows.of(job.seq)), sendable(output_rows.of(job.seq))
                self._write_job(job, inputs, outputs, hashes)
                batches = [self._add_artifact(link) for link in (*inputs, *outputs)]
                self._batch_for_job[job.seq] = max(batches, default=0)
                self.inputs += distinct_digests(inputs)
                self.outputs += distinct_digests(outputs)
            self._flush_jobs(len(self._jobs))
            self._flush_artifacts()
            return hashes.digests()

    def write_links(self) -> None:
        """Write the inputs and outputs of every job, to be sent after its unit and those of its artifacts."""
        for seq, kind, count, body in self._links.units():
            after = max(self._unit_of_job[seq], self._unit_of_batch[self._batch_for_job[seq]])
            self._writer.write(kind, count, body, after=after, job_uid=self._jobs[seq].uid)

    def write_labels(self, session_id: int) -> int:
        """Write the labels, which are sent after finalize, and return their number."""
        items = label_items(self._database, session_id, self._jobs, self._published_digest, self._redactor)
        return self._writer.write_all(Kind.LABELS, map(encode, items), after=0)

    def _write_job(self, job: JobRow, inputs: list[LinkRow], outputs: list[LinkRow], hashes: LineageHashes) -> None:
        head = self._jobs[job.seq]
        parent_step = self._jobs[head.parent].step if head.parent is not None else None
        before = self._redactor.total
        sent, captured_job = redacted_job(job, self._redactor, self._metadata)
        sides = redacted_sides(inputs, outputs, self._redactor)
        link = described_link_item if head.row == self._put_job else link_item
        for kind, links in zip((Kind.INPUTS, Kind.OUTPUTS), sides, strict=True):
            self._links.add(job.seq, kind, map(link, links))
        changed = self._redactor.total != before
        item = job_item(head, sent, self._git)
        if len(item) > MAX_ITEM_BYTES and job.job_type == PUT_TYPE:
            sent, changed = self._shortened(head, sent, sides[0]), True
            item = job_item(head, sent, self._git)
        captured = canonical_key(head, parent_step, captured_job, inputs, outputs)
        hashes.add(captured, canonical_key(head, parent_step, sent, *sides) if changed else None)
        self._add_job(job.seq, item)

    def _shortened(self, head: JobHead, job: JobRow, inputs: Sequence[LinkRow]) -> JobRow:
        """Return a put job with the addresses of its files in the short form."""
        from roar_publisher.lineage.put_addresses import shortened_metadata  # few publishes need it

        ids = self._database.inputs_of(head.row)
        described = ((link.digest, link.path, ids[link.artifact]) for link in inputs)
        return replace(job, metadata=shortened_metadata(job.metadata, described))

    def _add_job(self, seq: int, item: str) -> None:
        if not self._job_batch.has_room(item):
            self._flush_jobs(seq)
        self._job_batch.add(item)

    def _flush_jobs(self, end: int) -> None:
        """Write the collected jobs; `end` is the place of the first job after them."""
        if not self._job_batch.items:
            return
        members = range(self._first_in_batch, end)
        parents = (self._jobs[seq].parent for seq in members)
        after = max((self._unit_of_job[parent] for parent in parents if parent is not None), default=0)
        unit = self._writer.write(Kind.JOBS, *self._job_batch.take(), after=after)
        self._unit_of_job[self._first_in_batch : end] = array("I", [unit] * len(members))
        self._first_in_batch = end

    def _add_artifact(self, link: LinkRow) -> int:
        """Add the link's artifact to a batch unless an earlier link did, and return the number of its batch."""
        batch = self._batch_of_artifact.get(link.artifact)
        if not batch:
            batch = self._join_batch(link)
            self._batch_of_artifact.set(link.artifact, batch)
            self.artifacts += 1
        return batch

    def _join_batch(self, link: LinkRow) -> int:
        if is_composite(link.kind, link.hashes):
            return _SENT_FIRST
        item = artifact_item(link, self._redactor)
        if not self._artifact_batch.has_room(item):
            self._flush_artifacts()
        self._artifact_batch.add(item)
        return len(self._unit_of_batch)

    def _flush_artifacts(self) -> None:
        if self._artifact_batch.items:
            self._unit_of_batch.append(self._writer.write(Kind.ARTIFACTS, *self._artifact_batch.take(), after=0))

    def _published_digest(self, artifact: int) -> str:
        """Return the digest of an artifact's row if it was sent, else ""."""
        if not self._batch_of_artifact.get(artifact):
            return ""
        return self._database.digest_of(artifact)


class _PagedNumbers:
    """Small numbers by row number, 0 if unset. Memory follows the rows in use, however sparse they are."""

    _PAGE = 4096

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}

    def get(self, row: int) -> int:
        """Return the number of a row."""
        page = self._pages.get(row // self._PAGE)
        return page[row % self._PAGE] if page is not None else 0

    def set(self, row: int, number: int) -> None:
        """Set the number of a row."""
        page = self._pages.get(row // self._PAGE)
        if page is None:
            page = self._pages[row // self._PAGE] = array("I", bytes(4 * self._PAGE))
        page[row % self._PAGE] = number
