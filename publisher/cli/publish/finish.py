"""Ends a command whose publish is published."""

from roar_publisher.cli.display.base import Display
from roar_publisher.cli.display.result import Result
from roar_publisher.cli.errors import Unconfirmed
from roar_publisher.exit_codes import ExitCode


def finish(display: Display, result: Result, *, again: bool) -> int:
    """Show the result and return the exit code. again: the lineage was published before.

    Raises Unconfirmed if the registry's answers about the labels do not match what was sent.
    """
    display.published(result, again=again)
    debt = result.progress.unconfirmed
    if debt is not None:
        raise Unconfirmed(result.plan.id, debt)
    return ExitCode.PUBLISHED
