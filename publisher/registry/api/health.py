"""Whether the process lives (`/healthz`), and whether it can serve (`/readyz`); for supervisors and load balancers."""

import logging
from collections.abc import Sequence
from http import HTTPStatus

import anyio
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route

from roar_publisher.registry.api.service import RegistryService
from roar_publisher.registry.http.lifecycle import Lifecycle
from roar_publisher.registry.store.errors import StoreError
from roar_publisher.registry.store.graphs import newest_ids

READY_SECONDS = 5.0
"""How long the store may take to answer."""

logger = logging.getLogger(__name__)


class HealthApi(Struct, frozen=True):
    """The two endpoints. They need no credential and say nothing of the data."""

    service: RegistryService
    lifecycle: Lifecycle

    def routes(self) -> Sequence[BaseRoute]:
        """Return the routes."""
        return [Route("/healthz", self.alive, methods=["GET"]), Route("/readyz", self.ready, methods=["GET"])]

    async def alive(self, request: Request) -> JSONResponse:
        """Answer. That is all."""
        return JSONResponse({"status": "alive"})

    async def ready(self, request: Request) -> JSONResponse:
        """Answer 200 if the store answers and the registry is not about to stop, or else 503."""
        if self.lifecycle.draining:
            return JSONResponse({"status": "draining"}, HTTPStatus.SERVICE_UNAVAILABLE)
        try:
            with anyio.fail_after(READY_SECONDS):
                await self.service.read(newest_ids)
        except (StoreError, TimeoutError) as error:
            logger.error("not ready: the store does not answer: %s", error)
            return JSONResponse({"status": "the store does not answer"}, HTTPStatus.SERVICE_UNAVAILABLE)
        return JSONResponse({"status": "ready"})
