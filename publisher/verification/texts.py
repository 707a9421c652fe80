"""The canonical texts of a lineage's jobs, each with the uid of its job, sorted without holding them in memory."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self

from roar_publisher.lineage.canonical import canonical_job, sort_key
from roar_publisher.lineage.sorting import ExternalSort, Key

SEPARATOR = "\t"
"""Between a text and its uid: JSON has no raw tab, so that the order of texts stays."""

Link = tuple[str, str]


class JobText(NamedTuple):
    """A job's canonical text in its place in the lineage. uid: the name of the job there."""

    key: Key
    uid: str

    @property
    def text(self) -> str:
        """The canonical text."""
        return self.key[2]

    @property
    def document(self) -> dict[str, Any]:
        """What the text says."""
        document: dict[str, Any] = json.loads(self.text)
        return document


class SortedJobs:
    """Takes jobs in any order and yields their texts in the order of the lineage hash.

    Use as a context manager: leaving it removes temporary files. Raises LocalProblem if there is no room for them.
    """

    def __init__(self) -> None:
        self._sorter = ExternalSort()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._sorter.__exit__()

    def add(self, uid: str, job: dict[str, Any], inputs: Sequence[Link], outputs: Sequence[Link]) -> None:
        """Add a job. job: with the fields of `canonical_job` but the links; others are ignored."""
        text = canonical_job(
            command=job["command"],
            job_type=job.get("job_type"),
            step_number=job.get("step_number"),
            parent_step_number=job.get("parent_step_number"),
            inputs=inputs,
            outputs=outputs,
            metadata=job.get("metadata"),
        )
        self._sorter.add(sort_key(job.get("step_number"), f"{text}{SEPARATOR}{json.dumps(uid)}"))

    def sorted(self) -> Iterator[JobText]:
        """Return all jobs in order. Call once."""
        for known, step, line in self._sorter.sorted():
            text, _, uid = line.rpartition(SEPARATOR)
            yield JobText((known, step, text), json.loads(uid))


def links_of(items: Iterable[dict[str, Any]]) -> list[Link]:
    """Return the digests and paths of links."""
    return [(item["hash"], item["path"]) for item in items]
