"""The HTML pages: lineages, jobs and artifacts, lists, search, and what descends from an artifact."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from http import HTTPStatus
from urllib.parse import quote

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.registry.api.digests import whole_digest
from roar_publisher.registry.api.public import LARGEST_OFFSET
from roar_publisher.registry.api.service import RegistryService, number_in_query, path_text
from roar_publisher.registry.http.base_path import path_below
from roar_publisher.registry.http.refusals import Refusal
from roar_publisher.registry.lineages.finding import HIT_KINDS, list_lineages, may_be_beginning, moment_of, search
from roar_publisher.registry.lineages.impact import MAX_DESCENDANTS, impact_of
from roar_publisher.registry.lineages.indexing import MAX_GROUPS
from roar_publisher.registry.lineages.node_views import view_artifact, view_job
from roar_publisher.registry.lineages.page_views import PictureFocus, view_lineage_page
from roar_publisher.registry.pages.addresses import sign_in_address
from roar_publisher.registry.pages.html import problem_page
from roar_publisher.registry.pages.impact import impact_page
from roar_publisher.registry.pages.lineage import lineage_page
from roar_publisher.registry.pages.lists import list_page, search_page
from roar_publisher.registry.pages.nodes import artifact_page, job_page
from roar_publisher.registry.store.access import Reader
from roar_publisher.registry.store.listing import Moment

JOBS_PER_PAGE = 50
LONGEST_QUERY = 200
"""Characters of a search that count."""
Show = Callable[[Request, Reader], Awaitable[str]]
"""Makes the page that a request asks for. Raises `Refusal`."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self';"
    " frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""The pages show untrusted text. It must not run scripts or load resources, and no other page may frame these pages
or keep a reference to their window. `browsers` adds the headers of every reply."""


class Pages(Struct, frozen=True):
    """Endpoints that return HTML."""

    service: RegistryService

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes. Receipts look up a lineage's address under the route name `page`."""
        shown: dict[str, Show] = {
            "/dag/{hash}/jobs/{uid:path}": self.job,
            "/artifacts/{digest:path}": self.artifact,
            "/impact": self.impact,
            "/repository": partial(self.lineages, "repository"),
            "/owner": partial(self.lineages, "owner"),
            "/project": partial(self.lineages, "project"),
            "/search": self.search,
            "/": partial(self.lineages, None),
        }
        return [
            Route("/dag/{hash}", _page(self.service, self.lineage), methods=["GET"], name="page"),
            *(Route(path, _page(self.service, show), methods=["GET"]) for path, show in shown.items()),
        ]

    async def lineage(self, request: Request, reader: Reader) -> str:
        """Show a published lineage: its page `?page=`, or the jobs starting at `?from=`. Both count from 1.

        The picture is that around `?node=`, or of the part `?part=` of the `?group=`.
        """
        page = number_in_query(request, "page", default=1, maximum=LARGEST_OFFSET // JOBS_PER_PAGE) or 1
        first = number_in_query(request, "from", default=(page - 1) * JOBS_PER_PAGE + 1, maximum=LARGEST_OFFSET) or 1
        lineage_hash, focus = path_text(request, "hash"), _focus(request)
        shown = await self.service.read(
            view_lineage_page, lineage_hash, reader, focus, offset=first - 1, limit=JOBS_PER_PAGE
        )
        return lineage_page(shown, first=first, jobs_per_page=JOBS_PER_PAGE)

    async def job(self, request: Request, reader: Reader) -> str:
        """Show a job, with its inputs and outputs after `?inputs_after=` and `?outputs_after=`."""
        viewed = await self.service.read(
            view_job,
            path_text(request, "hash"),
            path_text(request, "uid"),
            reader,
            inputs_after=request.query_params.get("inputs_after", ""),
            outputs_after=request.query_params.get("outputs_after", ""),
        )
        return job_page(viewed)

    async def artifact(self, request: Request, reader: Reader) -> str:
        """Show an artifact, with the lineages that have it before a moment."""
        digest = await whole_digest(self.service, path_text(request, "digest"), reader)
        return artifact_page(await self.service.read(view_artifact, digest, reader, _moment(request)))

    async def impact(self, request: Request, reader: Reader) -> str:
        """Show the page `?page=` of what descends from the artifact `?digest=`."""
        page = number_in_query(request, "page", default=1, maximum=MAX_DESCENDANTS) or 1
        digest = await whole_digest(self.service, request.query_params.get("digest", ""), reader)
        return impact_page(await self.service.read(impact_of, digest, reader), page)

    async def lineages(self, kind: str | None, request: Request, reader: Reader) -> str:
        """Show a list of lineages, before a moment. `kind` is a key of `listing.FILTERS`, of the name `?name=`."""
        only = None if kind is None else (kind, request.query_params.get("name", ""))
        visibility, before = request.query_params.get("visibility", ""), _moment(request)
        page = await self.service.read(list_lineages, reader, only=only, visibility=visibility, before=before)
        return list_page(page, only=only, visibility=visibility, is_first=before is None)

    async def search(self, request: Request, reader: Reader) -> str:
        """Show what is found for `?q=`, of the `?kind=` or of all kinds."""
        query, kind = request.query_params.get("q", "")[:LONGEST_QUERY], request.query_params.get("kind", "")
        kinds = (kind,) if kind in HIT_KINDS else HIT_KINDS
        artifact = await self._artifact(query, reader)
        return search_page(query, kind, await self.service.read(search, query, kinds, reader, artifact))

    async def _artifact(self, query: str, reader: Reader) -> str | None:
        if not may_be_beginning(query):
            return None
        try:
            return await whole_digest(self.service, query.strip(), reader)
        except Refusal:  # none, or several
            return None


def refusal_page(refusal: Refusal, *, sign_in: str = "") -> HTMLResponse:
    """Answer a refusal with a page. `sign_in` is as in `problem_page`."""
    page = problem_page(refusal.status.phrase, refusal.detail, sign_in=sign_in)
    return HTMLResponse(page, refusal.status, {**HEADERS, **refusal.headers})


def _page(service: RegistryService, show: Show) -> Callable[[Request], Awaitable[HTMLResponse]]:
    """Return an endpoint that shows a page to its reader, or what is wrong."""

    async def endpoint(request: Request) -> HTMLResponse:
        reader = Reader()
        try:
            reader = await service.reader(await service.visitor(request))
            return HTMLResponse(await show(request, reader), HTTPStatus.OK, HEADERS)
        except Refusal as refusal:
            unseen = refusal.status is HTTPStatus.NOT_FOUND and not reader.user_id
            return refusal_page(refusal, sign_in=sign_in_address(_address(request)) if unseen else "")

    return endpoint


def _address(request: Request) -> str:
    """Return the address of a request below the base path, as it was sent."""
    path, query = quote(path_below(request.scope)), request.scope["query_string"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _moment(request: Request) -> Moment | None:
    return moment_of(request.query_params.get("at"), request.query_params.get("after"))


def _focus(request: Request) -> PictureFocus:
    group = number_in_query(request, "group", default=0, maximum=MAX_GROUPS)
    part = number_in_query(request, "part", default=1, maximum=LARGEST_OFFSET // JOBS_PER_PAGE) or 1
    shown = group if "group" in request.query_params else None
    return PictureFocus(request.query_params.get("node", ""), shown, part)
