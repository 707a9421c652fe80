"""The frozen plan of a publish: units with their bodies, made in bounded memory from one snapshot of roar.db.

Three passes over the same snapshot.  The first walks the jobs with their links: it hashes the unredacted lineage
(`protocol.md §6`) and cuts jobs and artifacts into units, each distinct artifact once.  The second writes the links,
which need to know which units their jobs and artifacts went into.  The third writes the labels.  What stays in memory
is a `JobHead` and two numbers for a job, and one number for an artifact.
"""

import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from publisher.lineage.batches import Batch, Sink, UnitWriter, encode
from publisher.lineage.canonical import DEFAULT_JOB_TYPE, LineageHasher, canonical_job, sort_key
from publisher.lineage.composites import composite_items
from publisher.lineage.database import Database, JobRow, LinkRow, open_database
from publisher.lineage.gitcontext import GitContext, read_git_context
from publisher.lineage.labels import label_items
from publisher.lineage.links import LinkStream, hash_entries, is_composite, link_digest
from publisher.lineage.project import Project
from publisher.lineage.redaction import Redactor
from publisher.lineage.selection import JobHead, ordered_jobs
from publisher.lineage.sorting import ExternalSort
from publisher.lineage.targets import pick_target
from state.units import Kind

ANONYMOUS = "anonymous"
REMOTE_SOURCES = frozenset({"s3", "gs", "https", "hf"})
"""The source types that GLaaS knows; any other is sent as null (`protocol.md §7`)."""


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a plan amounts to.

    session_id: the session's row in roar.db.  session_hash: its local hash.
    inputs, outputs: distinct digests per job and kind, as finalize expects them.
    provisional: the hash of the unredacted lineage by identity; `anonymous` is always there.
    digest: names exactly what is sent.  redactions: secrets taken out, by shape.
    """

    git: GitContext
    session_id: int
    session_hash: str | None
    jobs: int
    inputs: int
    outputs: int
    artifacts: int
    labels: int
    units: int
    provisional: dict[str, str]
    digest: str
    redactions: dict[str, int]


def build_plan(
    project: Project, target: str | None, *, cwd: Path, identities: Sequence[str], sink: Sink
) -> PlanSummary:
    """Read the lineage of a target and hand its units, in order and in chunks, to `sink`.

    The same lineage and configuration give the same units and digest.  An error of the sink passes through.  Raises
    UsageProblem for a target that can't be resolved, LocalProblem for whatever is wrong with the project.
    """
    redactor = Redactor(project.config.omit)
    git = published_git_context(project, cwd, redactor)
    with open_database(project.database) as database:
        session = pick_target(database, target, cwd)
        jobs = ordered_jobs(database)
        database.choose(head.row for head in jobs)
        writer = UnitWriter(sink, [git.repo, git.commit, git.branch])
        builder = _Builder(database, jobs, git, redactor, writer)
        builder.write_composites()
        provisional = builder.write_nodes(identities)
        builder.write_links()
        labels = builder.write_labels(session.id)
        return PlanSummary(
            git=git,
            session_id=session.id,
            session_hash=session.hash,
            jobs=len(jobs),
            inputs=builder.inputs,
            outputs=builder.outputs,
            artifacts=builder.artifacts,
            labels=labels,
            units=writer.units,
            provisional=provisional,
            digest=writer.finish(),
            redactions=redactor.findings(),
        )


def published_git_context(project: Project, cwd: Path, redactor: Redactor) -> GitContext:
    """The git context of the folder without credentials: what is hashed, and what finalize sends."""
    git = read_git_context(cwd, project.config.git_remote)
    return GitContext(redactor.git_url(git.repo) if git.repo else None, git.commit, git.branch)


class _Paged:
    """Small numbers by row number, 0 where none was set; memory follows the rows in use, however sparse."""

    _PAGE = 4096

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}

    def get(self, row: int) -> int:
        page = self._pages.get(row // self._PAGE)
        return page[row % self._PAGE] if page is not None else 0

    def set(self, row: int, number: int) -> None:
        page = self._pages.get(row // self._PAGE)
        if page is None:
            page = self._pages[row // self._PAGE] = array("I", bytes(4 * self._PAGE))
        page[row % self._PAGE] = number


class _Builder:
    """One build.  `_job_unit` and `_job_needs` belong to a job's place in the order, `_artifact_batch` to a row."""

    def __init__(
        self, database: Database, jobs: Sequence[JobHead], git: GitContext, redactor: Redactor, writer: UnitWriter
    ) -> None:
        self._database = database
        self._jobs = jobs
        self._git = git
        self._redactor = redactor
        self._writer = writer
        self._job_batch = Batch(Kind.JOBS)
        self._first_in_batch = 0
        self._job_unit = array("I", bytes(4 * len(jobs)))
        self._job_needs = array("I", bytes(4 * len(jobs)))
        self._artifact_pending = Batch(Kind.ARTIFACTS)
        self._artifact_batch = _Paged()
        self._batch_unit = array("I", [0, 0])
        self.inputs = self.outputs = self.artifacts = 0

    def write_composites(self) -> None:
        for item in composite_items(self._database, self._redactor):
            self._writer.write(Kind.COMPOSITE, 1, f"[{encode(item)}]".encode("ascii"), after=0)

    def write_nodes(self, identities: Sequence[str]) -> dict[str, str]:
        """Write jobs and artifacts, and return the provisional hash by identity."""
        hasher = LineageHasher(
            self._git.repo, self._git.commit, self._git.branch, dict.fromkeys((ANONYMOUS, *identities))
        )
        inputs, outputs = LinkStream(self._database.inputs()), LinkStream(self._database.outputs())
        with ExternalSort() as sorter:
            for job in self._database.jobs():
                metadata = _parsed(job.metadata)
                sides = inputs.of(job.seq), outputs.of(job.seq)
                sorter.add(self._canonical(job, metadata, *sides))
                self._add_job(job, metadata)
                self._add_artifacts(job.seq, (*sides[0], *sides[1]))
                self.inputs += len({link_digest(link.hashes) for link in sides[0] if _travels(link)})
                self.outputs += len({link_digest(link.hashes) for link in sides[1] if _travels(link)})
            self._flush_jobs(len(self._jobs))
            self._flush_artifacts()
            for key in sorter.sorted():
                hasher.add(key[2])
        return hasher.digests()

    def write_links(self) -> None:
        """Write every job's inputs and outputs; they wait for its own unit and for its artifacts'."""
        inputs, outputs = LinkStream(self._database.inputs()), LinkStream(self._database.outputs())
        for seq, head in enumerate(self._jobs):
            after = max(self._job_unit[seq], self._batch_unit[self._job_needs[seq]])
            for kind, side in ((Kind.INPUTS, inputs), (Kind.OUTPUTS, outputs)):
                items = (_link_item(link) for link in side.of(seq) if _travels(link))
                self._writer.write_all(kind, items, after=after, job_uid=head.uid)

    def write_labels(self, session_id: int) -> int:
        """Write the labels, which are sent after finalize, and return their number."""
        items = label_items(self._database, session_id, self._jobs, self._published_digest, self._redactor)
        return self._writer.write_all(Kind.LABELS, map(encode, items), after=0)

    def _published_digest(self, artifact: int) -> str:
        if not self._artifact_batch.get(artifact):
            return ""
        row = self._database.one(
            "SELECT group_concat(algorithm || ':' || digest, ' ') FROM artifact_hashes"
            " WHERE artifact_id = (SELECT id FROM artifacts WHERE rowid = ?)",
            artifact,
        )
        return link_digest(tuple(str(row[0]).split())) if row else ""

    def _canonical(
        self, job: JobRow, metadata: object, inputs: Iterable[LinkRow], outputs: Iterable[LinkRow]
    ) -> tuple[int, int, str]:
        head = self._jobs[job.seq]
        text = canonical_job(
            command=job.command,
            job_type=job.job_type,
            step_number=head.step,
            parent_step_number=self._jobs[head.parent].step if head.parent is not None else None,
            inputs=[(link_digest(link.hashes), link.path) for link in inputs if _travels(link)],
            outputs=[(link_digest(link.hashes), link.path) for link in outputs if _travels(link)],
            metadata=metadata,
        )
        return sort_key(head.step, text)

    def _add_job(self, job: JobRow, metadata: object) -> None:
        head = self._jobs[job.seq]
        item: dict[str, object] = {
            "command": self._redactor.text(job.command),
            "timestamp": job.timestamp,
            "job_uid": head.uid,
            "git_commit": job.git_commit or self._git.commit or "",
            "git_branch": job.git_branch or self._git.branch or "",
            "duration_seconds": job.duration_seconds,
            "exit_code": job.exit_code,
            "job_type": job.job_type or DEFAULT_JOB_TYPE,
            "step_number": head.step,
        }
        if job.metadata:
            item["metadata"] = self._redacted_metadata(job.metadata, metadata)
        if head.parent_uid is not None:
            item["parent_job_uid"] = head.parent_uid
        text = encode(item)
        if not self._job_batch.has_room(text):
            self._flush_jobs(job.seq)
        self._job_batch.add(text)

    def _redacted_metadata(self, text: str, parsed: object) -> str:
        if parsed is None:
            return self._redactor.text(text)
        if isinstance(parsed, dict):
            return encode(self._redactor.metadata(parsed))
        return encode(self._redactor.value(parsed))

    def _flush_jobs(self, end: int) -> None:
        """Write the jobs that wait; `end` is the place of the first job after them."""
        if not self._job_batch.items:
            return
        members = range(self._first_in_batch, end)
        parents = (self._jobs[seq].parent for seq in members)
        after = max((self._job_unit[parent] for parent in parents if parent is not None), default=0)
        unit = self._writer.write(Kind.JOBS, *self._job_batch.take(), after=after)
        self._job_unit[self._first_in_batch : end] = array("I", [unit] * len(members))
        self._first_in_batch = end

    def _add_artifacts(self, seq: int, links: Iterable[LinkRow]) -> None:
        """Send the artifacts that no earlier job mentioned, and note which batch this job must wait for."""
        needs = 0
        for link in links:
            if not _travels(link):
                continue
            batch = self._artifact_batch.get(link.artifact)
            if not batch:
                batch = self._add_artifact(link)
                self._artifact_batch.set(link.artifact, batch)
                self.artifacts += 1
            needs = max(needs, batch)
        self._job_needs[seq] = needs

    def _add_artifact(self, link: LinkRow) -> int:
        """The number of the batch that holds the artifact; a composite went ahead of all."""
        if is_composite(link.kind, link.hashes):
            return 1
        text = encode(self._artifact_item(link))
        if not self._artifact_pending.has_room(text):
            self._flush_artifacts()
        self._artifact_pending.add(text)
        return len(self._batch_unit)

    def _artifact_item(self, link: LinkRow) -> dict[str, object]:
        source = (link.source_type or "").strip().lower()
        item: dict[str, object] = {
            "hashes": hash_entries(link.hashes),
            "size": max(0, link.size or 0),
            "source_type": source if source in REMOTE_SOURCES else None,
        }
        if link.source_url and item["source_type"]:
            parsed = _parsed(link.metadata)
            metadata = parsed if isinstance(parsed, dict) else {}
            item["metadata"] = encode(self._redactor.value({"source_url": link.source_url} | metadata))
        return item

    def _flush_artifacts(self) -> None:
        if self._artifact_pending.items:
            unit = self._writer.write(Kind.ARTIFACTS, *self._artifact_pending.take(), after=0)
            self._batch_unit.append(unit)


def _travels(link: LinkRow) -> bool:
    """A link needs a path and a digest to be sent."""
    return bool(link.path and link.hashes)


def _link_item(link: LinkRow) -> str:
    item: dict[str, object] = {"hash": link_digest(link.hashes), "path": link.path}
    ranges = _parsed(link.byte_ranges)
    if ranges is not None:
        item["byte_ranges"] = ranges
    return encode(item)


def _parsed(text: str | None) -> object:
    """The value of a JSON text, None where there is none."""
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
