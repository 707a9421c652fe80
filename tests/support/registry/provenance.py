"""Lineages of jobs that use and make numbered artifacts, and what a registry says of them."""

import httpx2

from tests.support.registry.harness import (
    NO_AUTH,
    Json,
    Registry,
    link,
    succeeded,
)


async def publish(
    registry: Registry, *jobs: tuple[Json, list[int], list[int]], auth: httpx2.Auth = NO_AUTH, **finalize: object
) -> str:
    """Publish jobs, each given with the numbers of its inputs and outputs; the hash."""
    session = await registry.open(auth=auth)
    await session.add_jobs(*(each for each, _, _ in jobs))
    for each, inputs, outputs in jobs:
        for kind, numbers in (("inputs", inputs), ("outputs", outputs)):
            body = {"artifacts": [link(number) for number in numbers]}
            succeeded(await session.post(f"/jobs/{each['job_uid']}/{kind}", body))
    return str((await session.finalize(**finalize))["hash"])


async def read(registry: Registry, path: str, auth: httpx2.Auth = NO_AUTH) -> Json:
    return succeeded(await registry.client.get(f"/api/v1/{path}", auth=auth))


def uids(reply: Json) -> list[str]:
    return [each["jobUid"] for each in reply["jobs"]]
