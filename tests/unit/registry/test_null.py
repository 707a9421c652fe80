"""A field of a request that is null counts as absent (protocol.md §2)."""

import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError

from roar_publisher.glaas.wire import RequestBody
from roar_publisher.registry.api import app
from tests.support.registry.harness import Registry, succeeded

MODULES = app.__name__
"""Imports every model of a request."""


def models(base: type[RequestBody] = RequestBody) -> Iterator[type[RequestBody]]:
    for model in base.__subclasses__():
        if model.__module__.startswith("roar_publisher."):
            yield model
        yield from models(model)


FIELDS = sorted(
    {(model, name) for model in models() for name, field in model.model_fields.items() if not field.is_required()},
    key=str,
)


def faults(model: type[BaseModel], body: dict[str, object]) -> list[tuple[object, ...]]:
    try:
        model.model_validate_json(json.dumps(body))
    except ValidationError as error:
        return [(*fault["loc"], fault["type"]) for fault in error.errors()]
    return []


@pytest.mark.parametrize(("model", "name"), FIELDS, ids=lambda each: getattr(each, "__name__", each))
def test_null_is_as_good_as_nothing(model: type[RequestBody], name: str) -> None:
    assert faults(model, {name: None}) == faults(model, {})


def test_there_are_such_fields() -> None:
    assert len(FIELDS) > 20


@pytest.mark.anyio
async def test_a_program_that_writes_every_field_signs_in(registry: Registry) -> None:
    body = {"client_id": None, "client_name": None}
    succeeded(await registry.client.post("/api/v1/auth/device/start", json=body))
