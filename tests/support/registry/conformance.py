"""Whether replies are as the registry's OpenAPI document says. Every test with a registry in its process asks this."""

from functools import cache
from typing import Any

import httpx2
import jsonschema_rs
from starlette.applications import Starlette
from starlette.routing import Route

from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.api.openapi.document import openapi_document, shown_path
from roar_publisher.registry.data import Store


@cache
def whole_document() -> dict[str, Any]:
    """The document of a registry with all features."""
    return openapi_document(create_app(Store.in_memory()).routes, "")


@cache
def _validator(schema: str) -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for({"$ref": schema, "components": whole_document()["components"]})


async def assert_described(app: Starlette, response: httpx2.Response) -> None:
    """Fail if the document does not describe this reply: its status, its media type, its fields."""
    request = response.request
    routes = [route for route in app.routes if isinstance(route, Route) and route.path_regex.match(request.url.path)]
    described = [
        whole_document()["paths"][shown_path(route)][request.method.lower()]
        for route in routes
        if route.methods is not None and request.method in route.methods - {"HEAD"}
    ]
    if not described:
        assert response.status_code in (307, 400, 403, 404, 405, 421, 503), f"{request.url} is not described"
        return
    where = f"{request.method} {request.url}: {response.status_code}"
    found = described[0]["responses"].get(str(response.status_code))
    assert found is not None, f"{where} is not described: {(await response.aread())[:300]!r}"
    media = response.headers.get("content-type", "").partition(";")[0]
    content = found.get("content", {})
    assert media in content or not (content or await response.aread()), f"{where}: {media}"
    if "schema" in content.get(media, {}):
        await response.aread()
        _validator(content[media]["schema"]["$ref"]).validate(response.json())
