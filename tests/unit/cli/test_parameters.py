"""The options of a command line, and the values that they set."""

from typing import Any

import click
import pytest
from click.testing import CliRunner

from roar_publisher.cli.parameters import TRANSFER_LIMITS, declare, take_limits
from roar_publisher.cli.publish.options import Options
from roar_publisher.cli.publish.parameters import FURTHER, MAIN, PUT, TARGET, WATCH
from roar_publisher.publishing.order import PutOrder
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.limits import TransferLimits
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.publish import OwnedPublish


def parse(*words: str) -> dict[str, Any]:
    """What a command line with every option sets. Raises click.UsageError as click does."""
    given: dict[str, Any] = {}

    @click.command()
    @declare(TARGET, *PUT, *MAIN, WATCH, *FURTHER)
    def command(**values: Any) -> None:
        given.update(values)

    result = CliRunner().invoke(command, words, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return given


def test_every_option_sets_a_field() -> None:
    put = set(PutOrder.__struct_fields__) - {"sources", "destination", "snapshots", "commit"}
    options = set(Options.__struct_fields__) - {"limits", "put"}
    assert parse("-m", "a").keys() == put | options | set(TransferLimits.__struct_fields__)


def test_an_option_that_is_not_typed_has_the_default_of_its_field() -> None:
    given = parse("-m", "a")
    assert take_limits(given) == TransferLimits()
    put = {name: given.pop(name) for name in ("message", "name", "tag", "again", "dataset")}
    assert Options(**given) == Options()
    assert PutOrder(sources=(), destination="d", **put) == PutOrder(sources=(), destination="d", message="a")


def test_limits_are_parsed() -> None:
    given = parse("-m", "a", "--jobs", "3", "--limit-rate", " 2k ")
    assert take_limits(given) == TransferLimits(jobs=3, limit_rate=2_000)
    assert not given.keys() & {"jobs", "limit_rate"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Missing option '-m' / '--message'"),
        (("-m", "b", "--jobs", "65"), "Invalid value for '--jobs': '65' is not a number from 1 to 64"),
        (("-m", "b", "--limit-rate", "x"), "Invalid value for '--limit-rate': 'x' is not a rate"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        parse(*words)
    assert message in caught.value.format_message()


def test_parameters_are_declared_in_their_order() -> None:
    @click.command()
    @declare(*TRANSFER_LIMITS, WATCH)
    def command() -> None: ...

    assert [parameter.name for parameter in command.params] == ["jobs", "limit_rate", "watch"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"private": True, "public": True}, "--private contradicts --public"),
        ({"quiet": True, "verbose": True}, "-q and -v contradict"),
        ({"resume": "", "dry_run": True}, "--resume does not go with --dry-run"),
        ({"watch": "", "detach": True}, "--watch does not go with --detach"),
        ({"target": " "}, "the target is empty"),
        ({"put": PutOrder(sources=("a",), destination="", message="m")}, "the destination is empty"),
    ],
)
def test_options_that_contradict_each_other_cannot_be_built(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageProblem, match=message):
        Options(**given)


@pytest.mark.parametrize("typed", ["10000000000G", "9" * 400])
def test_a_rate_beyond_all_networks_can_be_kept(typed: str, folder: StateFolder) -> None:
    limits = take_limits(parse("-m", "a", "--limit-rate", typed))
    with OwnedPublish.create(folder) as publish:
        publish.journal.queue.configure(limits=limits)
        assert publish.journal.queue.read().limits == limits
