"""Regular expressions that run in linear time (RE2), for the rule table and for a project's configuration.

A project may have come with a clone. In Python's own engine a pattern like `(a+)+$` would run forever. RE2 does not
support lookaround and backreferences; a pattern that needs them is refused with a message.
"""

from typing import Any


class PatternProblem(Exception):
    """A pattern is not a regular expression, or RE2 cannot run it. Its text says why."""


def compiled(pattern: str) -> Any:
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
