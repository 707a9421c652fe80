"""The jobs of a published lineage as a fetch needs them, one page at a time where the registry serves pages."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from msgspec import Struct

from roar_publisher.fetching.asking import LineageReader
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.state.errors import Rejected
from roar_publisher.verification.errors import CannotCheck
from roar_publisher.verification.reading import pages

Link = tuple[str, str]
"""A digest and a path."""


class ServedJob(Struct, frozen=True):
    """A job, or a part of the links of a large one.

    put: what a put job's metadata says of itself; None for other jobs.
    """

    step: int | None
    put: Mapping[str, Any] | None
    inputs: list[Link]
    outputs: list[Link]


async def jobs_of(reader: LineageReader, lineage_hash: str) -> AsyncGenerator[ServedJob, None]:
    """Yield the jobs of a lineage, given its whole hash. Use it within `aclosing`. Raises Rejected, Transient."""
    if not await reader.serves_pages():
        replay = await reader.ask(f"{API_ROOT}/public/sessions/{lineage_hash}/reproduction")
        for job in _objects(replay.get("jobs")):
            yield served_job(job, "stepNumber", "jobType")
        return
    try:
        async with aclosing(pages(reader.client, lineage_hash, reader.authorizer)) as read:
            async for page in read:
                for job in page.jobs:
                    yield served_job(job)
    except CannotCheck as problem:
        raise Rejected(problem.what, next_step=problem.next_step) from problem


def served_job(job: Mapping[str, Any], step: str = "step_number", kind: str = "job_type") -> ServedJob:
    """Return a job of a reply. step, kind: the names of these fields."""
    metadata = job.get("metadata") if job.get(kind) == "put" else None
    if isinstance(metadata, str):
        try:
            metadata = json.loads(metadata)
        except (ValueError, RecursionError):
            metadata = None
    put = as_object(as_object(metadata).get("put")) if job.get(kind) == "put" else None
    number = job.get(step)
    return ServedJob(
        number if isinstance(number, int) else None, put, _links(job.get("inputs")), _links(job.get("outputs"))
    )


def _links(value: object) -> list[Link]:
    pairs = ((link.get("hash"), link.get("path")) for link in _objects(value))
    return [(digest, path if isinstance(path, str) else "") for digest, path in pairs if isinstance(digest, str)]


def as_object(value: object) -> Mapping[str, Any]:
    """Return a JSON object, or an empty one in the place of anything else."""
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
