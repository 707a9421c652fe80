"""The endpoint for the usage counters of roar-cli. They are accepted, so that it stops sending them, and discarded."""

from collections.abc import Sequence
from http import HTTPStatus

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.registry.api.bodies import read_raw
from roar_publisher.registry.api.service import RegistryService


class TelemetryApi(Struct, frozen=True):
    """The telemetry endpoint."""

    service: RegistryService

    def routes(self) -> Sequence[BaseRoute]:
        """Return the route."""
        return [Route(f"{API_ROOT}/telemetry/roar", self.discard, methods=["POST"])]

    async def discard(self, request: Request) -> Response:
        """Read the body, which says nothing that this registry keeps. roar-cli drops its copy after a 204."""
        await read_raw(request, self.service.body_limit)
        return Response(status_code=HTTPStatus.NO_CONTENT)
