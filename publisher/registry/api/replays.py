"""Replies that list jobs completely, sent while they are read, so that none is held in memory as a whole."""

import json
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing

from starlette.responses import StreamingResponse

from roar_publisher.registry.api.service import RegistryService
from roar_publisher.registry.lineages.replay import (
    ReplayedJob,
    git_context,
    links_page,
    replayed_jobs,
)
from roar_publisher.registry.store.jobs import LINK_KINDS
from roar_publisher.registry.store.lineages import Lineage

JOBS_AT_ONCE = 50


async def replay(
    service: RegistryService, lineage: Lineage | None, ids: Sequence[int], head: Mapping[str, object]
) -> StreamingResponse:
    """Return a reply with `head`, the place of the code, and these jobs of a lineage, in this order.

    Without a lineage there are none. If it is replaced while its jobs are sent, the connection ends early. Raises
    `Refusal` as `git_context`.
    """
    code: Mapping[str, object] = dict.fromkeys(("gitRepo", "gitCommit", "gitBranch"))
    if lineage is not None:
        code = await service.read(git_context, lineage, ids[-1] if ids else None)
    return StreamingResponse(
        _document(service, lineage, array("q", ids), {**head, **code}), media_type="application/json"
    )


async def _document(
    service: RegistryService, lineage: Lineage | None, ids: Sequence[int], head: Mapping[str, object]
) -> AsyncIterator[str]:
    yield json.dumps(head)[:-1] + ', "jobs": ['
    sent = 0
    while lineage is not None and sent < len(ids):
        jobs = await service.read(replayed_jobs, lineage, ids[sent : sent + JOBS_AT_ONCE], sent + 1)
        for job in jobs:
            yield ", " if sent else ""
            async with aclosing(_job(service, lineage, job)) as pieces:
                async for piece in pieces:
                    yield piece
            sent += 1
    yield "]}"


async def _job(service: RegistryService, lineage: Lineage, job: ReplayedJob) -> AsyncGenerator[str, None]:
    text = json.dumps(job.document)
    if not job.wide:
        yield text
        return
    yield text[:-1]
    for kind in LINK_KINDS:
        yield f', "{kind}": ['
        after = ""
        while page := await service.read(links_page, lineage, job.id, kind, after):
            yield (", " if after else "") + json.dumps(page)[1:-1]
            after = str(page[-1]["hash"])
        yield "]"
    yield "}"
