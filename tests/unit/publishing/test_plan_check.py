"""What is typed beside `--resume` is compared with the plan as it is meant, not as it is spelled."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from roar_publisher.auth.choice import Flag
from roar_publisher.cli.roar_cli import only_in_roar_cli
from roar_publisher.publishing.order import Order, PutOrder
from roar_publisher.publishing.plan_check import contradictions
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.paths import PublishPaths
from roar_publisher.state.record import Plan

PATHS = cast(PublishPaths, SimpleNamespace(read_put_record=lambda: None))


def plan(destination: str, **facts: Any) -> Plan:
    fields = {"destination": destination, "target": "model.pt", "intent": {}, "tags": [], "redactions": {}} | facts
    return cast(Plan, SimpleNamespace(**fields))


def typed(destination: str, *, tag: bool | None = None, no_redact: bool = False) -> Order:
    put = PutOrder(sources=("model.pt",), destination=destination, message="v1", tag=tag)
    return Order(cwd=Path("/"), flag=Flag.NONE, put=put, no_redact=no_redact)


@pytest.mark.parametrize(
    ("frozen", "destination", "agrees"),
    [
        ("file:///data/run%231", "/data/run#1", True),
        ("file:///data/run%231", "file:///data/run%231", True),
        ("file:///data/x%3Fy", "/data/x?y", True),
        ("file:///data/50%2525", "/data/50%25", True),
        ("file:///data/a", "/data/b/../a/", True),
        ("file:///data/a", "/data/a#b", False),
        ("file:///data/a", "/data/a?b", False),
        ("s3://bucket/run", "s3://bucket/run/", True),
        ("s3://bucket/run", "s3://bucket/run2", False),
        ("s3://bucket/run", "gs://bucket/run", False),
    ],
)
def test_a_destination_is_the_same_if_it_is_the_same_place(frozen: str, destination: str, agrees: bool) -> None:
    assert (contradictions(typed(destination), plan(frozen), PATHS) == []) is agrees


@pytest.mark.parametrize("destination", ["s3://[bucket/x", "ftp://host/x"])
def test_what_is_no_destination_is_a_usage_error(destination: str) -> None:
    with pytest.raises(UsageProblem, match="destination"):
        contradictions(typed(destination), plan("s3://bucket/x"), PATHS)
    assert not only_in_roar_cli(destination)


def test_what_the_user_declines_now_and_the_plan_does_is_named() -> None:
    frozen = plan("s3://bucket/x", tags=[["roar/1", "abc", "", ""]], redactions={"github-token": 1})
    assert contradictions(typed("s3://bucket/x"), frozen, PATHS) == []
    assert contradictions(typed("s3://bucket/x", tag=True), frozen, PATHS) == []
    declined = typed("s3://bucket/x", tag=False, no_redact=True)
    assert contradictions(declined, frozen, PATHS) == [
        "the git tag roar/1, not --no-tag",
        "redacted texts, not --no-redact",
    ]
    assert contradictions(declined, plan("s3://bucket/x"), PATHS) == []


@pytest.mark.parametrize("destination", ["hf://user/model", "HF://user/model", "wandb://x"])
def test_destinations_of_roar_cli_are_handed_over(destination: str) -> None:
    assert only_in_roar_cli(destination)
