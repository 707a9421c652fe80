"""The endpoints that anybody may ask: health, who am I, published lineages (`protocol.md §4`)."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from publisher.glaas.wire import API_ROOT
from publisher.registry.auth import require_user
from publisher.registry.lineages import find_artifact, view_lineage
from publisher.registry.refusals import Refusal
from publisher.registry.service import Service, caller_of, lineage_url, path_text

JOBS_A_PAGE = 100
MOST_JOBS_A_PAGE = 1000
LARGEST_OFFSET = 10**9


@dataclass(frozen=True, slots=True)
class PublicApi:
    """Reading over HTTP."""

    service: Service

    def routes(self) -> Sequence[BaseRoute]:
        """The routes."""
        return [
            Route(f"{API_ROOT}/health", self.health, methods=["GET"]),
            Route(f"{API_ROOT}/sessions", self.own_sessions, methods=["GET"]),
            Route(f"{API_ROOT}/sessions/{{hash}}", self.lineage, methods=["GET"]),
            Route(f"{API_ROOT}/artifacts/{{hash}}", self.artifact, methods=["GET"]),
            Route(f"{API_ROOT}/auth/me", self.own_sessions, methods=["GET"]),
            Route(f"{API_ROOT}/auth/access-context", self.own_sessions, methods=["GET"]),
        ]

    async def health(self, request: Request) -> JSONResponse:
        """That the registry lives, and what it can do."""
        features = self.service.features
        advertised = {} if features is None else {"registration_sessions": features.model_dump()}
        return JSONResponse({"status": "healthy", "features": advertised})

    async def own_sessions(self, request: Request) -> JSONResponse:
        """What belongs to the caller: nobody can be signed in yet, so nobody gets past 401."""
        require_user(caller_of(request))
        raise Refusal(HTTPStatus.NOT_FOUND, "this registry knows no users")

    async def lineage(self, request: Request) -> JSONResponse:
        """A published lineage; its jobs in step order from `?offset=` on, `?limit=` of them."""
        offset = number_in_query(request, "offset", default=0, most=LARGEST_OFFSET)
        limit = number_in_query(request, "limit", default=JOBS_A_PAGE, most=MOST_JOBS_A_PAGE)
        view = await self.service.read(view_lineage, path_text(request, "hash"), offset=offset, limit=limit)
        return JSONResponse({**asdict(view), "url": lineage_url(request, view.hash), "offset": offset})

    async def artifact(self, request: Request) -> JSONResponse:
        """A published artifact."""
        return JSONResponse(await self.service.read(find_artifact, path_text(request, "hash")))


def number_in_query(request: Request, name: str, *, default: int, most: int) -> int:
    """A whole number from the query, 0 to `most`.  Raises `Refusal` (422) for anything else."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most:
        return int(text)
    raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{name} is a number from 0 to {most}")
