"""The OpenAPI 3.1 document of an app: its routes, with what `operations` says of them."""

import re
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from importlib.metadata import version
from inspect import getdoc
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.json import schema_components
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute, Route

from roar_publisher.registry.api.fragments import TOKEN_HEADER
from roar_publisher.registry.api.openapi.operations import OPERATIONS, Callers, Operation, Query
from roar_publisher.registry.api.openapi.staging_replies import ErrorReply

Json = dict[str, Any]
T = TypeVar("T")
ANY_REQUEST = (400, 403, 421, 503)
"""Statuses that each request may get: for its `Host`, from a web page of another site, while the store is away."""
ANY_BODY = (408, 413, 415, 422, 429)
_PARAMETER = re.compile(r"{(\w+)(:\w+)?}")
SCHEMES: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A sign-in, or a token of a pipeline."},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "An SSH signature of the request: `Signature keyid=…`.",
    },
    "registrationSession": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The token of an anonymous registration session: `RegistrationSession TOKEN`.",
    },
    "fragmentToken": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
    "cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-roar", "description": "A browser's sign-in."},
}


def openapi_document(routes: Sequence[BaseRoute], base_path: str) -> Json:
    """Return the document of these routes, whose addresses are below the base path."""
    paths: dict[str, Json] = {}
    for route in routes:
        assert isinstance(route, Route)
        path = shown_path(route)
        for method in methods_of(route):
            operation = OPERATIONS[f"{method} {path}"]
            paths.setdefault(path, {})[method.lower()] = _operation(method, path, route, operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "roar registry", "version": version("roar-publisher")},
        "servers": [{"url": base_path or "/"}],
        "paths": paths,
        "components": {"schemas": _schemas(), "securitySchemes": SCHEMES},
    }


def shown_path(route: Route) -> str:
    """Return the path of a route as OpenAPI writes it, without converters."""
    return _PARAMETER.sub(r"{\1}", route.path)


def methods_of(route: Route) -> list[str]:
    """Return the methods of a route, without HEAD, which Starlette adds to each GET."""
    return sorted((route.methods or set()) - {"HEAD"})


def _schemas() -> Json:
    bodies = {each.body for each in OPERATIONS.values() if each.body is not None}
    replies = {each.reply for each in OPERATIONS.values() if each.reply is not None}
    models = {body for body in bodies if issubclass(body, BaseModel)} | replies | {ErrorReply}
    structs = {body for body in bodies if issubclass(body, Struct)}
    _, found = models_json_schema(
        [(model, "validation") for model in _by_name(models)], ref_template="#/components/schemas/{model}"
    )
    _, of_structs = schema_components(_by_name(structs), ref_template="#/components/schemas/{name}")
    return {**found["$defs"], **of_structs}


def _by_name(types: Iterable[type[T]]) -> list[type[T]]:
    return sorted(types, key=lambda each: each.__name__)


def _operation(method: str, path: str, route: Route, operation: Operation) -> Json:
    words = re.sub(r"\W+", " ", path).split()
    described: Json = {
        "operationId": "_".join([method.lower(), *words]),
        "summary": operation.summary or (getdoc(route.endpoint) or "").partition("\n")[0],
        "parameters": [*_in_path(path), *map(_in_query, operation.query)],
        "responses": {str(status): _response(status, operation) for status in _statuses(path, operation)},
        "security": [{name: []} if name else {} for name in operation.callers.value],
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(operation.body)}}}
    elif operation.form:
        fields = {"type": "object", "properties": {name: {"type": "string"} for name in operation.form}}
        described["requestBody"] = {"content": {"application/x-www-form-urlencoded": {"schema": fields}}}
    return described


def _in_path(path: str) -> Iterable[Json]:
    for name, _ in _PARAMETER.findall(path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _in_query(query: Query) -> Json:
    schema: Json = {"type": "string"}
    if query.maximum is not None:
        schema = {"type": "integer", "minimum": 0, "maximum": query.maximum}
    elif query.choices:
        schema["enum"] = list(query.choices)
    return {"name": query.name, "in": "query", "required": query.required, "schema": schema}


def _statuses(path: str, operation: Operation) -> list[int]:
    statuses = {*operation.successes, *operation.also, *ANY_REQUEST}
    if operation.body is not None or operation.form:
        statuses.update(ANY_BODY)
    if operation.query or "{" in path:
        statuses.update((404, 409, 422))
    if operation.callers is not Callers.ANYBODY:
        statuses.add(401)
    if operation.is_page:
        statuses.update((404, 422))
    if operation.body is not None and "signature" in operation.callers.value:
        statuses.update((404, 409, 425))
    return sorted(statuses)


def _response(status: int, operation: Operation) -> Json:
    described: Json = {"description": HTTPStatus(status).phrase}
    if status not in operation.successes:
        described["content"] = {"application/json": {"schema": _ref(ErrorReply)}}
        if operation.is_page:
            described["content"]["text/html"] = {}
    elif operation.is_page:
        described["content"] = {} if status == HTTPStatus.SEE_OTHER else {"text/html": {}}
    elif operation.reply is not None:
        described["content"] = {"application/json": {"schema": _ref(operation.reply)}}
    elif status != HTTPStatus.NO_CONTENT:
        described["content"] = {"application/json": {}}
    return described


def _ref(model: type[BaseModel | Struct]) -> Json:
    return {"$ref": f"#/components/schemas/{model.__name__}"}
