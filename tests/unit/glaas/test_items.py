"""The items that a client builds are what the models of the wire parse."""

from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from roar_publisher.glaas import items, wire
from roar_publisher.glaas.items import ListField, wrapped
from roar_publisher.glaas.wire import RequestBody

PAIRS: list[tuple[type, type[RequestBody]]] = [
    (items.JobItem, wire.Job),
    (items.ArtifactItem, wire.Artifact),
    (items.ComponentItem, wire.Component),
    (items.CompositeItem, wire.CompositeRequest),
    (items.OpenBody, wire.OpenRequest),
    (items.CountsBody, wire.ExpectedCounts),
    (items.FinalizeBody, wire.FinalizeRequest),
    (items.LegacySessionBody, wire.LegacySessionRequest),
    *((label, wire.Label) for label in get_args(items.LabelItem)),
]


def test_a_hash_is_what_the_wire_parses() -> None:
    assert get_type_hints(items.HashItem) == get_type_hints(wire.Hash)
    assert items.HashItem.__required_keys__ == wire.Hash.__required_keys__


@pytest.mark.parametrize(("item", "model"), PAIRS)
def test_an_item_is_what_its_model_parses(item: Any, model: type[RequestBody]) -> None:
    hints, fields = get_type_hints(item), get_type_hints(model)
    unknown = hints.keys() - model.model_fields.keys()
    assert not unknown or model.model_config.get("extra") == "allow"
    assert item.__required_keys__ >= {name for name, field in model.model_fields.items() if field.is_required()}
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
        return (built, parsed) in [*PAIRS, (items.HashItem, wire.Hash)]
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
    assert takes(list[wire.Hash], list[items.HashItem])
    assert not takes(list[wire.Link], list[items.HashItem])
    assert takes(Literal["dag", "job"], Literal["job"])
    assert not takes(Literal["dag", "job"], Literal["file"])
    assert takes(Literal["dag"] | None, Literal["dag"])
    assert not takes(str | None, Literal["dag"])


@pytest.mark.parametrize(
    ("field", "model"),
    [
        ("jobs", wire.JobsRequest),
        ("artifacts", wire.ArtifactsRequest),
        ("artifacts", wire.LegacyArtifactsRequest),
        ("artifacts", wire.LinksRequest),
        ("links", wire.LinksBatchRequest),
        ("labels", wire.LabelsRequest),
    ],
)
def test_a_list_is_wrapped_in_the_only_field_of_its_model(field: ListField, model: type[RequestBody]) -> None:
    assert list(model.model_fields) == [field]
    assert wrapped(field, b'[{"a": 1}]') == b'{"%b":[{"a": 1}]}' % field.encode()
