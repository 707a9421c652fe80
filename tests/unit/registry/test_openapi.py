"""The OpenAPI document: it is valid, it has every endpoint, and what it says of one is what the endpoint does.

That replies are as it says is asked of every registry of these tests (`tests/support/registry/conformance.py`).
"""

import inspect
import re
from collections.abc import Mapping

import pytest
from openapi_spec_validator import validate
from starlette.routing import Route

from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.api.forms import form_token
from roar_publisher.registry.api.openapi.document import methods_of, openapi_document, shown_path
from roar_publisher.registry.api.openapi.operations import OPERATIONS
from roar_publisher.registry.data import Store
from tests.support.registry.conformance import whole_document
from tests.support.registry.harness import Json, Registry, make_registry, succeeded

COOKIE = "c" * 43

_BODY = re.compile(r"service\.body\(request, (?:wire\.|batches\.)?(\w+)")
_QUERY = re.compile(r"""(?:number_in_query\(request, |query_params\.get\()"(\w+)\"""")


def endpoints() -> list[tuple[str, str]]:
    """Every operation that is served, with the source of its endpoint."""
    routes = [route for route in create_app(Store.in_memory()).routes if isinstance(route, Route)]
    return [
        (f"{method} {shown_path(route)}", inspect.getsource(route.endpoint))
        for route in routes
        for method in methods_of(route)
    ]


def test_it_is_valid() -> None:
    validate(whole_document())


def test_it_has_every_endpoint_and_nothing_else() -> None:
    described = {f"{method.upper()} {path}" for path, each in whole_document()["paths"].items() for method in each}
    assert described == {name for name, _ in endpoints()} == set(OPERATIONS)
    everything = [each for path in whole_document()["paths"].values() for each in path.values()]
    assert all(each["summary"].endswith(".") for each in everything)
    assert len({each["operationId"] for each in everything}) == len(everything)


def test_each_body_and_each_parameter_of_the_query_is_the_one_that_the_endpoint_reads() -> None:
    read = {name: (_BODY.findall(source), set(_QUERY.findall(source))) for name, source in endpoints()}
    assert sum(bool(bodies) for bodies, _ in read.values()) > 20, "the pattern finds them"
    for name, (bodies, query) in read.items():
        operation = OPERATIONS[name]
        assert bodies in ([], [operation.body.__name__ if operation.body else None]), name
        if not operation.is_page:
            assert query <= {each.name for each in operation.query}, name


@pytest.mark.anyio
async def test_it_is_served_with_the_base_path_as_the_address_and_without_what_is_switched_off() -> None:
    store = Store.in_memory()
    registry: Registry = make_registry(store, base_path="/glaas", features=None)
    async with registry.client:
        served = succeeded(await registry.client.get("/openapi.json"))
        again = succeeded(await registry.client.get("/openapi.json"))
    assert served == again == openapi_document(registry.app.routes, "/glaas")
    assert served["servers"] == [{"url": "/glaas"}]
    assert "/api/v1/registration-sessions" not in served["paths"]
    assert "/api/v1/sessions" in served["paths"]
    validate(served)


def test_the_end_of_a_sign_in_is_described_as_such() -> None:
    document = whole_document()
    reply = document["paths"]["/api/v1/auth/logout"]["post"]["responses"]["200"]["content"]["application/json"]
    schema = document["components"]["schemas"][reply["schema"]["$ref"].rpartition("/")[2]]
    assert schema["description"] == "That the sign-in has ended."


CREDENTIALS: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": "Bearer unknown"},
    {"Cookie": f"roar={COOKIE}", "Authorization": "Bearer unknown"},
)
"""None, one that nobody knows, and that beside the cookie that a form belongs to."""


@pytest.mark.anyio
async def test_a_401_is_described_exactly_where_a_credential_is_looked_at() -> None:
    registry: Registry = make_registry(Store.in_memory())
    wrong = []
    async with registry.client:
        for path, methods in whole_document()["paths"].items():
            for method, operation in methods.items():
                replies = [await called(registry, method, path, operation, headers) for headers in CREDENTIALS]
                if (401 in replies) != ("401" in operation["responses"]):
                    wrong.append((method, path, replies))
    assert wrong == []


async def called(registry: Registry, method: str, path: str, operation: Json, headers: Mapping[str, str]) -> int:
    """The status of a reply to a request that has what is looked at before a credential."""
    url = re.sub(r"{\w+}", "a" * 64, path)
    content = operation.get("requestBody", {}).get("content", {})
    if "application/x-www-form-urlencoded" in content:
        form = {"form_token": form_token(COOKIE)}
        content_type = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = await registry.client.request(method, url, data=form, headers={**headers, **content_type})
    elif content:
        body = {"refresh_token": "unknown", "client_id": "roar"}
        reply = await registry.client.request(method, url, json=body, headers=headers)
    else:
        reply = await registry.client.request(method, url, headers=headers)
    return reply.status_code
