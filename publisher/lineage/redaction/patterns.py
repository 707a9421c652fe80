"""Regular expressions of the rules and of a configuration, which run in linear time (RE2).

A project may have come with a clone. In Python's own engine a pattern like `(a+)+$` would run forever. RE2 does not
support lookaround and backreferences; a pattern that needs them is refused with a message.
"""

import re
from typing import Any

from msgspec import Struct

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

MARK = "[REDACTED]"
"""What takes the place of a secret."""
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class PatternProblem(Exception):
    """A pattern is not a regular expression, or RE2 cannot run it. The text says why."""


class CustomShape(Struct, frozen=True):
    """A secret's shape from the configuration: `[[registration.omit.patterns]]`."""

    id: str
    pattern: str
    replacement: str = MARK


class CustomRule:
    """A configured pattern, compiled, with its replacement (`\\1` inserts a group).

    Raises LocalProblem if the pattern or its replacement cannot be used.
    """

    def __init__(self, shape: CustomShape) -> None:
        self.id = shape.id
        self.pattern = usable_pattern(shape.id, shape.pattern)
        # RE2 takes the UTF-8 of a replacement for Latin-1; it reads escapes of what is not ASCII correctly.
        self.replacement = shape.replacement.encode("ascii", "backslashreplace").decode("ascii")
        if fault := _fault_of(self.replacement, self.pattern):
            raise _bad_pattern(shape.id, f"its replacement {fault}")


def compile_pattern(pattern: str) -> Any:
    """Return the pattern as an object with `search`, `finditer` and `groups`, as in `re`. Raises PatternProblem."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        # RE2 spells the end of the text as Perl does.
        return re2.compile(pattern.replace(r"\Z", r"\z"), options)
    except (re2.error, UnicodeError) as error:
        text = error.args[0] if error.args else error
        raise PatternProblem(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)) from error


def usable_pattern(name: str, pattern: str) -> Any:
    """Return a configured pattern, compiled. Raises LocalProblem, with its name, if it cannot be used."""
    try:
        return compile_pattern(pattern)
    except PatternProblem as error:
        raise _bad_pattern(name, str(error)) from error


def searchable(text: str) -> str:
    """Return the text as RE2 can search it: without lone surrogates, which UTF-8 does not have. All places stay."""
    return _LONE_SURROGATE.sub("?", text)


def _fault_of(replacement: str, pattern: Any) -> str:
    """Return why a replacement cannot be inserted for matches of a pattern, as a clause; empty if it can."""
    names = {number: f"?P<{name}>" for name, number in pattern.groupindex.items()}
    groups = "".join(f"({names.get(number, '')})" for number in range(1, pattern.groups + 1))
    try:
        compile_pattern(groups).match("").expand(replacement)
    except IndexError:
        return "refers to a group that the pattern does not have"
    except UnicodeError:
        return "has a backslash that begins no escape"
    return ""


def _bad_pattern(name: str, why: str) -> LocalProblem:
    """Return the error for an unusable configured pattern."""
    return LocalProblem(
        f"[registration.omit]: the pattern {name!r} cannot be used: {why}",
        kept="Nothing was sent.",
        next_step="change it in .roar/config.toml; lookaround and backreferences are not supported",
        reason=Reason.CONFIG,
    )


def too_slow(name: str) -> LocalProblem:
    """Return the error for a pattern whose matches take too long."""
    return LocalProblem(
        f"[registration.omit]: the pattern {name!r} takes too long",
        kept="Nothing was sent.",
        next_step="change it in .roar/config.toml so that it matches less",
        reason=Reason.CONFIG,
    )
