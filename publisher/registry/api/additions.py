"""The endpoints that add one thing to a published lineage, for releases of roar-cli that do not send it in a batch."""

from collections.abc import Sequence
from http import HTTPStatus

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas import batches, wire
from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.registry.api.service import RegistryService, path_text
from roar_publisher.registry.lineages import staging
from roar_publisher.registry.lineages.legacy import legacy_graph
from roar_publisher.registry.lineages.view_edges import add_published_view_edges
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.database import Connection


class AdditionsApi(Struct, frozen=True):
    """Endpoints for single additions. All requests may be repeated."""

    service: RegistryService

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes."""
        return [
            Route(f"{API_ROOT}/artifacts", self.add_artifact, methods=["POST"]),
            Route(f"{API_ROOT}/jobs/{{uid}}/artifacts", self.add_view_edges, methods=["POST"]),
        ]

    async def add_artifact(self, request: Request) -> JSONResponse:
        """Add an artifact to the legacy lineage that it names."""
        caller = await self.service.caller(request)
        body = await self.service.body(request, batches.LegacyArtifact)
        reader = await self.service.reader(caller)
        created = await self.service.write_from(request, caller, _add_artifact, reader, body)
        reply = {"hash": staging.primary_digest(body.hashes), "created": created}
        return JSONResponse(reply, HTTPStatus.CREATED if created else HTTPStatus.OK)

    async def add_view_edges(self, request: Request) -> JSONResponse:
        """Record which parts of composites a published job used."""
        caller = await self.service.caller(request)
        edges = (await self.service.body(request, wire.ViewEdgesRequest)).view_edges
        reader, uid, now = await self.service.reader(caller), path_text(request, "uid"), self.service.clock()
        await self.service.write_from(request, caller, add_published_view_edges, reader, uid, edges, now)
        return JSONResponse({"job_uid": uid, "view_edges_linked": len(edges)})


def _add_artifact(connection: Connection, reader: Reader, artifact: batches.LegacyArtifact) -> bool:
    graph_id = legacy_graph(connection, reader, artifact.session_hash)
    return staging.add_artifacts(connection, graph_id, [artifact]) == 1
