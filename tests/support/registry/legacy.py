"""Legacy writes under a hash that a registration session will have."""

import httpx2

from roar_publisher.registry.data import Store
from tests.support.registry.harness import (
    GIT,
    NO_AUTH,
    Json,
    Registry,
    Session,
    artifact,
    job,
    link,
    make_registry,
    run_inline,
    succeeded,
    uid,
)
from tests.support.registry.people import Bearer, Person

OWN: Json = {"owner_resolution": "current_user", "owner_type": "user", "visibility": "private"}
COUNTS = {"jobs": 2, "inputs": 1, "outputs": 2}


async def staged(registry: Registry, auth: httpx2.Auth = NO_AUTH, *, artifacts: bool = True) -> Session:
    """Two jobs, the second of which reads what the first one wrote."""
    session = await registry.open(auth=auth)
    await session.add_jobs(job(1), job(2))
    if artifacts:
        await session.add_artifacts(artifact(1), artifact(2))
    await session.add_links(1, "outputs", link(1))
    await session.add_links(2, "inputs", link(1))
    await session.add_links(2, "outputs", link(2))
    return session


async def hash_beforehand(person: Person | None = None) -> str:
    """Return the hash that `staged` will have, which every owner of the same lineage knows."""
    elsewhere = make_registry(Store.in_memory(), run=run_inline)
    async with elsewhere.client:
        auth = NO_AUTH
        if person is not None:
            auth = Bearer(elsewhere.person("same", sub=person.user.sub, user_id=person.user.id))
        found: str = (await (await staged(elsewhere, auth)).finalize())["hash"]
    elsewhere.store.close()
    return found


class Legacy:
    """Legacy writes under one hash."""

    def __init__(self, registry: Registry, lineage_hash: str, auth: httpx2.Auth = NO_AUTH) -> None:
        self._client = registry.client
        self._auth = auth
        self.hash = lineage_hash

    async def post(self, path: str, body: Json) -> httpx2.Response:
        return await self._client.post(f"/api/v1/{path}", json=body, auth=self._auth)

    async def open(self, **scope: object) -> None:
        succeeded(await self.post("sessions", {"hash": self.hash, **GIT, **scope}))

    async def add_jobs(self, *jobs: Json) -> None:
        succeeded(await self.post(f"sessions/{self.hash}/jobs/batch", {"jobs": jobs}))

    async def add_links(self, number: int, kind: str, *links: Json) -> None:
        succeeded(await self.post(f"sessions/{self.hash}/jobs/{uid(number)}/{kind}", {"artifacts": links}))

    async def add_artifacts(self, *artifacts: Json) -> None:
        named = [{**each, "session_hash": self.hash} for each in artifacts]
        succeeded(await self.post("artifacts/batch", {"artifacts": named}))

    async def label(self, metadata: Json, **entity: str) -> None:
        label = {"entity_type": "dag", "session_hash": self.hash, "metadata": metadata, **entity}
        succeeded(await self.post("labels/sync", {"labels": [label]}))
