"""The endpoints that need no credential: health and published lineages (`protocol.md §4`)."""

from collections.abc import Sequence
from dataclasses import asdict

from msgspec import Struct, structs
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.registry.api.service import RegistryService, lineage_url, number_in_query, path_text
from roar_publisher.registry.lineages.readback import read_back
from roar_publisher.registry.lineages.readback_labels import read_labels_back
from roar_publisher.registry.lineages.reading import view_lineage

JOBS_PER_PAGE = 100
MAX_JOBS_PER_PAGE = 1000
LARGEST_OFFSET = 10**9


class PublicApi(Struct, frozen=True):
    """Endpoints for reading."""

    service: RegistryService

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes."""
        return [
            Route(f"{API_ROOT}/health", self.health, methods=["GET"]),
            Route(f"{API_ROOT}/sessions/{{hash}}", self.lineage, methods=["GET"]),
            Route(f"{API_ROOT}/sessions/{{hash}}/readback", self.readback, methods=["GET"]),
            Route(f"{API_ROOT}/sessions/{{hash}}/readback/labels", self.readback_labels, methods=["GET"]),
        ]

    async def health(self, request: Request) -> JSONResponse:
        """Report that the registry is up, and its features."""
        features = self.service.features
        advertised: dict[str, object] = {"lineage_readback": True, "label_readback": True, "receipts": True}
        if features is not None:
            advertised["registration_sessions"] = structs.asdict(features)
        advertised |= self.service.bulk.advertised()
        if self.service.caller_identifier.checks_signature_hosts:
            advertised["ssh_signature_host"] = True
        return JSONResponse({"status": "healthy", "features": advertised})

    async def lineage(self, request: Request) -> JSONResponse:
        """Return a published lineage with up to `?limit=` jobs in step order, starting at `?offset=`.

        The reply has fewer jobs if they would be too large for one reply. `next_offset` is the offset of the next
        request; null at the end. With `?set_aside=true`, return what the caller wrote under the hash before another
        user finalized it.
        """
        offset = number_in_query(request, "offset", default=0, maximum=LARGEST_OFFSET)
        limit = number_in_query(request, "limit", default=JOBS_PER_PAGE, maximum=MAX_JOBS_PER_PAGE)
        reader = await self.service.reader(await self.service.caller(request))
        view = await self.service.read(
            view_lineage,
            path_text(request, "hash"),
            reader,
            offset=offset,
            limit=limit,
            set_aside=request.query_params.get("set_aside") == "true",
        )
        shown = offset + len(view.jobs)
        rest = {"offset": offset, "next_offset": shown if view.jobs and shown < view.jobs_count else None}
        return JSONResponse({**asdict(view), "url": lineage_url(request, view.hash), **rest})

    async def readback(self, request: Request) -> JSONResponse:
        """Return what the hash of a published lineage covers, a page at a time, from the place `?after=` on."""
        reader = await self.service.reader(await self.service.caller(request))
        after = request.query_params.get("after", "")
        return JSONResponse(await self.service.read(read_back, path_text(request, "hash"), reader, after))

    async def readback_labels(self, request: Request) -> JSONResponse:
        """Return the newest label of every entity of a published lineage, a page at a time."""
        reader = await self.service.reader(await self.service.caller(request))
        after = request.query_params.get("after", "")
        return JSONResponse(await self.service.read(read_labels_back, path_text(request, "hash"), reader, after))
