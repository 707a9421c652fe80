"""What differs between two lineages: job by job, and field by field."""

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct, field

from roar_publisher.verification.texts import JobText

MOST_JOBS, MOST_CHARACTERS = 300, 8 * 1024 * 1024
"""Differing jobs, and characters of their texts, that are kept and compared. The other jobs are only counted."""
LINK_KINDS = ("inputs", "outputs")
LINEAGE = "lineage"
"""The place of a difference that is not one of a job."""


class Difference(Struct, frozen=True):
    """One field that differs.

    job: the job, as its step and the uid that the registry serves, or else the local one; or `LINEAGE`.
    ours, theirs: what was planned or asked for, and what the registry serves; None for nothing.
    """

    job: str
    field: str
    ours: object
    theirs: object


class UnmatchedJobs(Struct):
    """The jobs that only one of two lineages has. omitted: how many more there are than are kept."""

    ours: list[JobText] = field(default_factory=list)
    theirs: list[JobText] = field(default_factory=list)
    omitted: int = 0
    characters: int = 0

    def add(self, side: list[JobText], job: JobText) -> None:
        """Keep a job of a side, if there is room; one that is too large alone only as the first."""
        if len(side) < MOST_JOBS and (not side or self.characters + len(job.text) <= MOST_CHARACTERS):
            side.append(job)
            self.characters += len(job.text)
        else:
            self.omitted += 1


def unmatched(ours: Iterator[JobText], theirs: Iterable[JobText]) -> UnmatchedJobs:
    """Return the jobs that only one side has. Both are in the order of the lineage hash."""
    found = UnmatchedJobs()
    mine = next(ours, None)
    for other in theirs:
        while mine is not None and mine.key < other.key:
            found.add(found.ours, mine)
            mine = next(ours, None)
        if mine is not None and mine.key == other.key:
            mine = next(ours, None)
        else:
            found.add(found.theirs, other)
    while mine is not None:
        found.add(found.ours, mine)
        mine = next(ours, None)
    return found


def job_differences(found: UnmatchedJobs) -> list[Difference]:
    """Return how the jobs differ. A job of ours is compared with the one of theirs that has most fields in common."""
    differences: list[Difference] = []
    theirs = [(job, job.document) for job in found.theirs]
    for mine in found.ours:
        document = mine.document
        candidates = [pair for pair in theirs if _common(document, pair[1])]
        if not candidates:
            differences.append(Difference(_name(mine), "job", document["command"], None))
            continue
        best = max(candidates, key=lambda pair: _common(document, pair[1]))
        theirs.remove(best)
        differences += _fields(_name(best[0]), document, best[1])
    differences += (Difference(_name(job), "job", None, document["command"]) for job, document in theirs)
    return differences


def _common(ours: dict[str, Any], theirs: dict[str, Any]) -> int:
    """Return how alike two jobs are; 0 if they are not the same job, which has its step or its command."""
    if ours["step_number"] != theirs["step_number"] and ours["command"] != theirs["command"]:
        return 0
    return sum(ours[name] == theirs[name] for name in ours)


def _fields(name: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Iterator[Difference]:
    for key in ours:
        if key in LINK_KINDS:
            yield from _links(name, key, ours[key], theirs[key])
        elif ours[key] != theirs[key]:
            yield Difference(name, key, ours[key], theirs[key])


def _links(name: str, kind: str, ours: list[dict[str, str]], theirs: list[dict[str, str]]) -> Iterator[Difference]:
    mine, other = ({link["hash"]: link["path"] for link in links} for links in (ours, theirs))
    for digest in sorted(mine.keys() | other.keys(), key=str):
        if mine.get(digest) != other.get(digest) or (digest in mine) != (digest in other):
            yield Difference(name, f"{kind}[{digest}]", mine.get(digest), other.get(digest))


def _name(job: JobText) -> str:
    known, step, _text = job.key
    return f"step {step}, {job.uid}" if known else job.uid
