"""The items that a client builds are what the models of the wire parse."""

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from msgspec import Struct, structs

from roar_publisher.glaas import batches, request_dicts, wire
from roar_publisher.glaas.request_dicts import ListField, wrapped
from roar_publisher.glaas.wire import RequestBody

PAIRS: list[tuple[type, type[RequestBody | Struct]]] = [
    (request_dicts.HashItem, batches.Hash),
    (request_dicts.JobItem, batches.Job),
    (request_dicts.ArtifactItem, batches.Artifact),
    (request_dicts.ComponentItem, wire.Component),
    (request_dicts.CompositeItem, wire.CompositeRequest),
    (request_dicts.OpenBody, wire.OpenRequest),
    (request_dicts.CountsBody, wire.ExpectedCounts),
    (request_dicts.FinalizeBody, wire.FinalizeRequest),
    (request_dicts.LegacySessionBody, wire.LegacySessionRequest),
    *((label, wire.Label) for label in get_args(request_dicts.LabelItem)),
]


def test_a_hash_is_what_composites_parse() -> None:
    assert get_type_hints(request_dicts.HashItem) == get_type_hints(wire.CompositeHash)
    assert request_dicts.HashItem.__required_keys__ == wire.CompositeHash.__required_keys__


@pytest.mark.parametrize(("item", "model"), PAIRS)
def test_an_item_is_what_its_model_parses(item: Any, model: type[RequestBody | Struct]) -> None:
    hints, fields = get_type_hints(item), get_type_hints(model)
    if issubclass(model, Struct):
        known = {field.name: field.required for field in structs.fields(model)}
    else:
        known = {name: field.is_required() for name, field in model.model_fields.items()}
    unknown = hints.keys() - known.keys()
    assert not unknown or (issubclass(model, RequestBody) and model.model_config.get("extra") == "allow")
    assert item.__required_keys__ >= {name for name, required in known.items() if required}
    for name in hints.keys() - unknown:
        assert takes(fields[name], hints[name]), f"{name}: {fields[name]} does not take {hints[name]}"


def takes(parsed: Any, built: Any) -> bool:
    """Return whether a field with the type `parsed` takes every value of the type `built`."""
    if parsed is Any or parsed == built:
        return True
    if is_union(built):
        return all(takes(parsed, part) for part in get_args(built))
    if is_union(parsed):
        return any(takes(part, built) for part in get_args(parsed))
    if get_origin(built) is Literal:
        return get_origin(parsed) is Literal and set(get_args(built)) <= set(get_args(parsed))
    if is_typeddict(built):
        return (built, parsed) in [*PAIRS, (request_dicts.HashItem, wire.CompositeHash)]
    if get_origin(parsed) is list and get_origin(built) is list:
        return takes(get_args(parsed)[0], get_args(built)[0])
    return False


def is_union(type_: Any) -> bool:
    return get_origin(type_) in (Union, UnionType)


def test_the_comparison_finds_what_is_wrong() -> None:
    assert takes(str | None, str)
    assert takes(str | None, NoneType)
    assert not takes(str, str | None)
    assert not takes(int, str)
    assert takes(list[batches.Hash], list[request_dicts.HashItem])
    assert not takes(list[batches.Link], list[request_dicts.HashItem])
    assert takes(Literal["dag", "job"], Literal["job"])
    assert not takes(Literal["dag", "job"], Literal["file"])
    assert takes(Literal["dag"] | None, Literal["dag"])
    assert not takes(str | None, Literal["dag"])


@pytest.mark.parametrize(
    ("field", "model"),
    [
        ("jobs", batches.JobsRequest),
        ("artifacts", batches.ArtifactsRequest),
        ("artifacts", batches.LegacyArtifactsRequest),
        ("artifacts", batches.LinksRequest),
        ("links", batches.LinksBatchRequest),
        ("labels", wire.LabelsRequest),
    ],
)
def test_a_list_is_wrapped_in_the_only_field_of_its_model(field: ListField, model: type[RequestBody | Struct]) -> None:
    assert list(get_type_hints(model)) in ([field], ["model_config", field])
    assert wrapped(field, b'[{"a": 1}]') == b'{"%b":[{"a": 1}]}' % field.encode()
