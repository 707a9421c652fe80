"""Click parameters that several commands have. The types of their values are imported when a command runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from roar_publisher.state.limit_texts import MOST_JOBS, parse_jobs, parse_rate

if TYPE_CHECKING:
    from roar_publisher.state.limits import TransferLimits

F = TypeVar("F", bound=Callable[..., Any])


class Parsed(click.ParamType[Any]):
    """A value that a function parses. A ValueError of it is a usage error with that text."""

    name = "value"

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._parse(str(value).strip())
        except ValueError as error:
            self.fail(str(error), param, ctx)


TRANSFER_LIMITS = (
    click.option(
        "--jobs",
        type=Parsed(parse_jobs),
        metavar="N",
        help=f"Maximum number of concurrent requests to the registry and to the store, up to {MOST_JOBS}.",
    ),
    click.option(
        "--limit-rate",
        type=Parsed(parse_rate),
        metavar="RATE",
        help="Maximum bytes per second between this machine and a store, such as 500k or 10M; not for local folders.",
    ),
)


def declare(*parameters: Callable[[F], F]) -> Callable[[F], F]:
    """Return a decorator that adds parameters to a command, in this order."""

    def decorate(command: F) -> F:
        for parameter in reversed(parameters):
            command = parameter(command)
        return command

    return decorate


def take_limits(given: dict[str, Any]) -> "TransferLimits":
    """Remove the values of TRANSFER_LIMITS from `given`, and return them."""
    from roar_publisher.state.limits import TransferLimits

    return TransferLimits(jobs=given.pop("jobs"), limit_rate=given.pop("limit_rate"))
