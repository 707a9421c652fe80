"""The regular expressions that a configuration gives, and what is said of one that can't be used."""

import re
from typing import Any

from roar_publisher.lineage.linear import PatternProblem, compiled
from roar_publisher.lineage.omission import CustomShape
from roar_publisher.state.errors import LocalProblem


def usable_pattern(name: str, pattern: str) -> Any:
    """A pattern of the configuration, compiled; raises LocalProblem, with its name, for one that can't be used."""
    try:
        return compiled(pattern)
    except PatternProblem as error:
        raise bad_pattern(name, str(error)) from error


def bad_pattern(name: str, why: str) -> LocalProblem:
    """The error of a pattern of the configuration."""
    return LocalProblem(
        f"[registration.omit]: the pattern {name!r} can't be used: {why}.",
        kept="Nothing was sent.",
        next_step="Change it in .roar/config.toml; lookaround and backreferences are not supported.",
        reason="config",
    )


class CustomRule:
    """A pattern of the configuration with its replacement (`\\1` keeps a group)."""

    def __init__(self, shape: CustomShape) -> None:
        self.id = shape.id
        self.pattern = usable_pattern(shape.id, shape.pattern)
        self.replacement = shape.replacement
        groups = [int(number) for number in re.findall(r"\\(\d{1,2})", shape.replacement)]
        if any(number > self.pattern.groups for number in groups):
            raise bad_pattern(shape.id, "its replacement names a group that it has not")


def too_slow(name: str) -> LocalProblem:
    """The error of a pattern that matches too often to be waited for."""
    return LocalProblem(
        f"[registration.omit]: the pattern {name!r} takes too long.",
        kept="Nothing was sent.",
        next_step="Change it in .roar/config.toml so that it matches less.",
        reason="config",
    )
