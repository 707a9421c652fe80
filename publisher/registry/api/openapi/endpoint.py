"""The endpoint of the OpenAPI document."""

import json
from collections.abc import Sequence

from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from roar_publisher.registry.http.base_path import BASE_PATH


class OpenApi(Struct, frozen=True):
    """`/openapi.json`, which needs no credential and says nothing of the data. `made` is kept by base path."""

    made: dict[str, bytes] = field(default_factory=dict)

    def routes(self) -> Sequence[BaseRoute]:
        """Return the route."""
        return [Route("/openapi.json", self.document, methods=["GET"])]

    async def document(self, request: Request) -> Response:
        """Return this document."""
        base = BASE_PATH.get()
        if base not in self.made:
            from roar_publisher.registry.api.openapi.document import openapi_document  # few ask for it

            self.made[base] = json.dumps(openapi_document(request.app.routes, base)).encode()
        return Response(self.made[base], media_type="application/json")
