"""The HTML pages: a lineage, and the list of the newest ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.registry.api.public import LARGEST_OFFSET, number_in_query
from roar_publisher.registry.api.service import RegistryService, path_text
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.reading import recent_lineages, view_lineage
from roar_publisher.registry.pages.html import lineage_page, problem_page, recent_page

JOBS_PER_PAGE = 50
LINEAGES_LISTED = 50
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""The pages show untrusted text. It must not run scripts or load resources, and no other page may frame these pages
or keep a reference to their window. `browsers` adds the headers of every reply."""


@dataclass(frozen=True, slots=True)
class Pages:
    """Endpoints that return HTML."""

    service: RegistryService

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes. Receipts look up a lineage's address under the route name `page`."""
        return [
            Route("/dag/{hash}", self.lineage, methods=["GET"], name="page"),
            Route("/", self.recent, methods=["GET"]),
        ]

    async def lineage(self, request: Request) -> HTMLResponse:
        """Show a published lineage: its page `?page=`, or the jobs starting at `?from=`. Both count from 1."""
        try:
            page = number_in_query(request, "page", default=1, maximum=LARGEST_OFFSET // JOBS_PER_PAGE) or 1
            first = (
                number_in_query(request, "from", default=(page - 1) * JOBS_PER_PAGE + 1, maximum=LARGEST_OFFSET) or 1
            )
            lineage_hash = path_text(request, "hash")
            reader = await self.service.reader(await self.service.visitor(request))
            view = await self.service.read(view_lineage, lineage_hash, reader, offset=first - 1, limit=JOBS_PER_PAGE)
        except Refusal as refusal:
            return HTMLResponse(problem_page(refusal.status.phrase, refusal.detail), refusal.status, HEADERS)
        return HTMLResponse(lineage_page(view, first=first, jobs_per_page=JOBS_PER_PAGE), HTTPStatus.OK, HEADERS)

    async def recent(self, request: Request) -> HTMLResponse:
        """Show the newest public lineages."""
        lineages = await self.service.read(recent_lineages, LINEAGES_LISTED)
        return HTMLResponse(recent_page(lineages), HTTPStatus.OK, HEADERS)
