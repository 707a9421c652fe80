"""Small lineages made by hand: the units that would be frozen for them, and the hash that a registry must come to.

They need no roar.db, so a simulation can make thousands of them.
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from msgspec.structs import asdict

from roar_publisher.auth.choice import Flag
from roar_publisher.auth.scope import RepoScope
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.lineage.canonical import LineageHasher, canonical_job, sort_key
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish
from roar_publisher.state.record import NAMED_BY, NamedBy, Plan
from roar_publisher.state.units import Kind, Unit

REGISTRY = "http://registry.localhost"
GIT = ("https://example.org/acme/sample.git", "0" * 40, "main")
T = TypeVar("T")
Links = dict[str, str]
"""Path by digest."""


@dataclass
class SampleJob:
    """One job; inputs and outputs hold each digest once."""

    uid: str
    step: int
    inputs: Links = field(default_factory=dict)
    outputs: Links = field(default_factory=dict)
    parent: str | None = None
    metadata: str = "{}"

    @property
    def item(self) -> dict[str, Any]:
        """As it stands in a request, under its local uid."""
        parent = {"parent_job_uid": self.parent} if self.parent else {}
        return {
            "command": f"python step{self.step}.py",
            "timestamp": 1_700_000_000.0 + self.step,
            "job_uid": self.uid,
            "git_commit": GIT[1],
            "git_branch": GIT[2],
            "duration_seconds": 1.5,
            "exit_code": 0,
            "job_type": "run",
            "step_number": self.step,
            "metadata": self.metadata,
            **parent,
        }


@dataclass
class Lineage:
    """Jobs with their links, cut into units."""

    jobs: list[SampleJob]
    units: list[Unit]
    labels: int = 0
    composites: int = 0

    @property
    def hash(self) -> str:
        """What the registry must compute for what is not signed, by the rules of protocol.md §6."""
        return self.hash_as(ANONYMOUS_IDENTITY)

    def hash_as(self, identity: str) -> str:
        """What the registry must compute for what `identity` publishes."""
        steps = {job.uid: job.step for job in self.jobs}
        texts = [
            (
                job.step,
                canonical_job(
                    command=job.item["command"],
                    job_type="run",
                    step_number=job.step,
                    parent_step_number=steps[job.parent] if job.parent else None,
                    inputs=job.inputs.items(),
                    outputs=job.outputs.items(),
                    metadata=job.metadata,
                ),
            )
            for job in self.jobs
        ]
        hasher = LineageHasher(*GIT, [identity])
        for _, text in sorted(texts, key=lambda pair: sort_key(*pair)):
            hasher.add(text)
        return hasher.digests()[identity]

    @property
    def inputs(self) -> int:
        return sum(len(job.inputs) for job in self.jobs)

    @property
    def outputs(self) -> int:
        return sum(len(job.outputs) for job in self.jobs)

    @property
    def digests(self) -> set[str]:
        return {digest for job in self.jobs for links in (job.inputs, job.outputs) for digest in links}


def digest(name: str) -> str:
    """A digest of 64 hex digits that goes by a name."""
    return hashlib.sha256(name.encode()).hexdigest()


def chain(jobs: int) -> list[SampleJob]:
    """Jobs that each read what the one before wrote."""
    made = []
    for step in range(1, jobs + 1):
        inputs = {digest(f"file {step - 1}"): f"data/{step - 1}.csv"}
        outputs = {digest(f"file {step}"): f"data/{step}.csv"}
        made.append(SampleJob(f"job{step:05d}", step, inputs, outputs))
    return made


def random_jobs(rng: random.Random) -> list[SampleJob]:
    """Up to nine jobs with shared inputs, several outputs and now and then a parent."""
    made: list[SampleJob] = []
    for step in range(1, rng.randint(1, 9) + 1):
        known = [d for job in made for d in job.outputs] or [digest("source")]
        inputs = {d: f"in/{d[:6]}" for d in rng.sample(known, min(len(known), rng.randint(0, 3)))}
        outputs = {digest(f"out {step} {n}"): f"out/{step}-{n}" for n in range(rng.randint(0, 4))}
        parent = rng.choice(made).uid if made and rng.random() < 0.3 else None
        made.append(SampleJob(f"job{step:05d}", step, inputs, outputs, parent, json.dumps({"seed": step})))
    return made


def cut(
    jobs: list[SampleJob],
    *,
    batch: Callable[[], int] = lambda: 3,
    labels: bool = True,
    link: Callable[[dict[str, Any]], None] = lambda item: None,
) -> Lineage:
    """The lineage of `jobs` in units of at most `batch()` items: composites, nodes, links, labels.

    link: changes every link before it is frozen.
    """
    cutter = _Cutter(batch)
    lineage = Lineage(jobs, cutter.units)
    digests = sorted(lineage.digests)
    composites = digests[:1]
    lineage.composites = len(composites)
    for name in composites:
        cutter.add(Kind.COMPOSITE, [_composite(name)], after=0)
    job_seq: dict[str, int] = {}
    for some in cutter.batches(jobs):
        after = max((job_seq.get(job.parent or "", 0) for job in some), default=0)
        cutter.add(Kind.JOBS, [job.item for job in some], after=after)
        job_seq |= {job.uid: len(cutter.units) for job in some}
    for some_digests in cutter.batches(digests[1:]):
        cutter.add(Kind.ARTIFACTS, [_artifact(d) for d in some_digests], after=0)
    nodes = len(cutter.units)
    for job in jobs:
        for kind, links in ((Kind.INPUTS, job.inputs), (Kind.OUTPUTS, job.outputs)):
            for some_links in cutter.batches(sorted(links.items())):
                items = [{"hash": d, "path": path, "size": 7} for d, path in some_links]
                for item in items:
                    link(item)
                cutter.add(kind, items, after=nodes, job_uid=job.uid)
    if labels:
        for some in cutter.batches(jobs):
            cutter.add(Kind.LABELS, [_label(job.uid) for job in some], after=0)
            lineage.labels += len(some)
    return lineage


def random_lineage(rng: random.Random) -> Lineage:
    """A lineage cut into units of random sizes."""
    return cut(random_jobs(rng), batch=lambda: rng.randint(1, 4), labels=rng.random() < 0.7)


def plan_of(lineage: Lineage, publish_id: str, *, registry: str = REGISTRY, roar_db: str = "/nowhere/roar.db") -> Plan:
    """The plan that would be frozen: an anonymous, public publish of the whole lineage."""
    return Plan(
        id=publish_id,
        created_at=1_700_000_000.0,
        project="/nowhere",
        roar_db=roar_db,
        target=None,
        registry=registry,
        intent={"flag": Flag.ANONYMOUS.value, "scope": asdict(RepoScope()), NAMED_BY: NamedBy.OPTION.value},
        digest=digest(repr([unit.body for unit in lineage.units])),
        fingerprint=digest(repr([unit.body for unit in lineage.units])),
        local_session=1,
        git_repo=GIT[0],
        git_commit=GIT[1],
        git_branch=GIT[2],
        jobs=len(lineage.jobs),
        inputs=lineage.inputs,
        outputs=lineage.outputs,
        artifacts=len(lineage.digests),
        labels=lineage.labels,
        provisional={ANONYMOUS_IDENTITY: lineage.hash},
        redactions={},
    )


def frozen(folder: StateFolder, lineage: Lineage, **plan: str) -> OwnedPublish:
    """A new publish of `lineage`, in this process's hands."""
    publish = OwnedPublish.create(folder)
    publish.journal.units.add(lineage.units)
    publish.journal.freeze(plan_of(lineage, publish.paths.id, **plan))
    return publish


class _Cutter:
    def __init__(self, batch: Callable[[], int]) -> None:
        self._batch = batch
        self.units: list[Unit] = []

    def batches(self, items: Sequence[T]) -> Iterator[Sequence[T]]:
        start = 0
        while start < len(items):
            size = self._batch()
            yield items[start : start + size]
            start += size

    def add(self, kind: Kind, items: list[dict[str, Any]], *, after: int, job_uid: str | None = None) -> None:
        body = json.dumps(items, separators=(",", ":")).encode()
        self.units.append(Unit(len(self.units) + 1, kind, job_uid, len(items), after, body))


def _artifact(name: str) -> dict[str, Any]:
    return {"hashes": [{"algorithm": "blake3", "digest": name}], "size": 7, "source_type": None}


def _composite(name: str) -> dict[str, Any]:
    member = {"relative_path": "part", "component_digest": digest("part")}
    return {"hash": name, "component_count_total": 1, "components": [member], **_artifact(name)}


def _label(uid: str) -> dict[str, Any]:
    return {"entity_type": "job", "job_uid": uid, "metadata": {"stage": uid}, "key_origins": {"stage": "user"}}
