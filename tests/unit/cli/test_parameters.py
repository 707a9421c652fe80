"""Options that the fields of a dataclass declare."""

from dataclasses import dataclass, field
from typing import Any

import click
import pytest
from click.testing import CliRunner

from roar_publisher.cli.parameters import build, declare, option
from roar_publisher.cli.publish.options import Options, PutOptions
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.limits import TransferLimits


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a test command is asked for. note: not a parameter."""

    name: str | None = option(required=False)
    loud: bool = option("-l", "--loud", is_flag=True, help="Shout.")
    label: str = option("--label", required=True)
    limits: TransferLimits = field(default_factory=TransferLimits)
    note: str = ""


def ask(*words: str, without: tuple[str, ...] = ()) -> Wish:
    """The wish that a command line makes. Raises click.UsageError as click does."""
    wishes: list[Wish] = []

    @click.command()
    @declare(Wish, without=without)
    def command(**given: Any) -> None:
        wishes.append(build(Wish, given, note="built"))

    result = CliRunner().invoke(command, words, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return wishes[0]


def test_a_field_is_set_by_the_parameter_that_it_declares() -> None:
    asked = ask("a", "-l", "--label", "b", "--jobs", "3", "--limit-rate", " 2k ")
    assert asked == Wish(name="a", loud=True, label="b", limits=TransferLimits(jobs=3, limit_rate=2_000), note="built")


def test_a_parameter_that_is_not_typed_has_the_default_of_its_field() -> None:
    assert ask("--label", "b") == Wish(label="b", note="built")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Missing option '--label'"),
        (("--label", "b", "--jobs", "65"), "Invalid value for '--jobs': '65' is not a number from 1 to 64"),
        (("--label", "b", "--limit-rate", "x"), "Invalid value for '--limit-rate': 'x' is not a rate"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        ask(*words)
    assert message in caught.value.format_message()


def test_a_command_may_leave_out_parameters() -> None:
    assert ask("--label", "b", without=("name",)) == Wish(label="b", note="built")
    with pytest.raises(click.UsageError):
        ask("a", "--label", "b", without=("name",))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"private": True, "public": True}, "--private contradicts --public"),
        ({"quiet": True, "verbose": True}, "-q and -v contradict"),
        ({"resume": "", "dry_run": True}, "--resume does not go with --dry-run"),
        ({"watch": "", "detach": True}, "--watch does not go with --detach"),
        ({"target": " "}, "the target is empty"),
        ({"put": PutOptions(sources=("a",), destination="", message="m")}, "the destination is empty"),
    ],
)
def test_options_that_contradict_each_other_cannot_be_built(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        Options(**given)
