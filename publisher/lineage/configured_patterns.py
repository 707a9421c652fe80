"""The regular expressions of a configuration, and the errors for unusable ones."""

import re
from typing import Any

from roar_publisher.lineage.linear import PatternProblem, compiled
from roar_publisher.lineage.omission import CustomShape
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason


def usable_pattern(name: str, pattern: str) -> Any:
    """Return a configured pattern, compiled. Raises LocalProblem, with its name, if it cannot be used."""
    try:
        return compiled(pattern)
    except PatternProblem as error:
        raise bad_pattern(name, str(error)) from error


def bad_pattern(name: str, why: str) -> LocalProblem:
    """Return the error for an unusable configured pattern."""
    return LocalProblem(
        f"[registration.omit]: the pattern {name!r} cannot be used: {why}.",
        kept="Nothing was sent.",
        next_step="Change it in .roar/config.toml; lookaround and backreferences are not supported.",
        reason=Reason.CONFIG,
    )


class CustomRule:
    """A configured pattern with its replacement (`\\1` keeps a group)."""

    def __init__(self, shape: CustomShape) -> None:
        self.id = shape.id
        self.pattern = usable_pattern(shape.id, shape.pattern)
        self.replacement = shape.replacement
        groups = [int(number) for number in re.findall(r"\\(\d{1,2})", shape.replacement)]
        if any(number > self.pattern.groups for number in groups):
            raise bad_pattern(shape.id, "its replacement names a group that it has not")


def too_slow(name: str) -> LocalProblem:
    """Return the error for a pattern whose matches take too long."""
    return LocalProblem(
        f"[registration.omit]: the pattern {name!r} takes too long.",
        kept="Nothing was sent.",
        next_step="Change it in .roar/config.toml so that it matches less.",
        reason=Reason.CONFIG,
    )
