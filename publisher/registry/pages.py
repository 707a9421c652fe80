"""The pages for people."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Route

from publisher.registry.lineages import view_lineage
from publisher.registry.service import Service, path_text


@dataclass(frozen=True, slots=True)
class Pages:
    """HTML over HTTP."""

    service: Service

    def routes(self) -> Sequence[BaseRoute]:
        """The routes."""
        return [Route("/dag/{hash}", self.lineage, methods=["GET"], name="page")]

    async def lineage(self, request: Request) -> HTMLResponse:
        """A published lineage."""
        view = await self.service.read(view_lineage, path_text(request, "hash"), offset=0, limit=50)
        return HTMLResponse(f"<h1>{view.hash}</h1>")
