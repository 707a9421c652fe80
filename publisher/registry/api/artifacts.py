"""The endpoints about artifacts and how to make them again, which `roar show`, `diff` and `reproduce` call.

A credential is optional. A reader sees public lineages and those of its own spaces. Everything else is as if it did not
exist, also where a prefix would be ambiguous or another lineage would be the better source.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.registry.api.digests import whole_digest
from roar_publisher.registry.api.replays import replay
from roar_publisher.registry.api.service import RegistryService, client_of_request, number_in_query, path_text
from roar_publisher.registry.lineages import upstream
from roar_publisher.registry.lineages.artifact_views import find_artifact, find_components
from roar_publisher.registry.lineages.reading import readable_lineage
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.provenance import JobPlace
from roar_publisher.registry.store.queues import Queues

DEEPEST = 10
"""The most jobs in a row that `/lineage` follows, as roar-cli asks for at most."""
SEARCHES, SEARCHES_OF_CLIENT = 8, 2
"""Searches at a time, of all clients and of one, each of which holds the jobs that it has found. Others wait."""


class ArtifactApi(Struct, frozen=True):
    """Endpoints for reading artifacts and the jobs behind them. A digest may be given by its first 8 or more digits."""

    service: RegistryService
    searches: Queues = field(default_factory=Queues)

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes."""
        artifact = f"{API_ROOT}/artifacts/{{hash}}"
        return [
            Route(artifact, self.artifact, methods=["GET"]),
            Route(f"{API_ROOT}/public/artifacts/{{hash}}", self.artifact, methods=["GET"]),
            Route(f"{artifact}/components", self.components, methods=["GET"]),
            Route(f"{artifact}/dag", self.dag, methods=["GET"]),
            Route(f"{artifact}/lineage", self.lineage, methods=["GET"]),
            Route(f"{API_ROOT}/public/sessions/{{hash}}/reproduction", self.reproduction, methods=["GET"]),
        ]

    async def artifact(self, request: Request) -> JSONResponse:
        """Return a published artifact."""
        digest, reader = await self._asked(request)
        return JSONResponse(await self.service.read(find_artifact, digest, reader))

    async def components(self, request: Request) -> JSONResponse:
        """Return the components of a composite artifact."""
        digest, reader = await self._asked(request)
        return JSONResponse(await self.service.read(find_components, digest, reader))

    async def dag(self, request: Request) -> StreamingResponse:
        """Return all jobs that led to an artifact, in the order in which they run.

        If no lineage made it, `is_external` is true and there are none.
        """
        return await self._upstream(request, None)

    async def lineage(self, request: Request) -> StreamingResponse:
        """Return the job that made an artifact, and those that led to it, up to `?depth=` in a row."""
        return await self._upstream(request, number_in_query(request, "depth", default=1, maximum=DEEPEST) or 1)

    async def reproduction(self, request: Request) -> StreamingResponse:
        """Return all jobs of a lineage, in the order in which they run."""
        lineage = await self.service.read(readable_lineage, path_text(request, "hash"), await self._reader(request))
        places: list[JobPlace] = []
        async with self._turn(request):
            while await self.service.read(upstream.list_slice, lineage.graph_id, places):
                continue
            ids = [place.id for place in sorted(places)]
        return await replay(self.service, lineage, ids, {"sessionHash": lineage.hash})

    async def _upstream(self, request: Request, depth: int | None) -> StreamingResponse:
        digest, reader = await self._asked(request)
        artifact = await self.service.read(find_artifact, digest, reader)
        async with self._turn(request):
            search = await self.service.read(upstream.begin, digest, reader, depth)
            while search is not None and not search.complete:
                await self.service.read(upstream.follow_slice, search)
        head: dict[str, object] = {"artifact": artifact, "is_external": search is None}
        if search is None:
            return await replay(self.service, None, [], {**head, "dag": None, "producedBy": None, "external_deps": []})
        maker = await self.service.read(upstream.view_maker, search)
        external = [{"hash": digest, "path": path} for digest, path in search.external.items()]
        head |= {"dag": {"hash": search.lineage.hash}, "producedBy": maker, "external_deps": external}
        return await replay(self.service, search.lineage, search.job_ids(), head)

    @asynccontextmanager
    async def _turn(self, request: Request) -> AsyncIterator[None]:
        """Wait until fewer searches run than may, of this client and of all, and hold a turn for the block."""
        async with self.searches.turn(client_of_request(request), SEARCHES_OF_CLIENT):
            async with self.searches.turn(None, SEARCHES):
                yield

    async def _asked(self, request: Request) -> tuple[str, Reader]:
        """Return the digest that a request is about, and its reader."""
        reader = await self._reader(request)
        return await whole_digest(self.service, path_text(request, "hash"), reader), reader

    async def _reader(self, request: Request) -> Reader:
        return await self.service.reader(await self.service.caller(request))
