"""Regular expressions that run in linear time (RE2), for the rule table and for what a project's configuration says.

A project may have come with a clone: with Python's own engine a pattern like `(a+)+$` would run for ever.  RE2 knows no
lookaround and no backreferences; a pattern that needs them is refused with a message.
"""

from typing import Any


class PatternProblem(Exception):
    """A pattern is no regular expression, or one that RE2 can't run.  Its text says why."""


def compiled(pattern: str) -> Any:
    """The pattern as an object with `search`, `finditer` and `groups`, as in `re`.  Raises PatternProblem."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        # RE2 spells the end of the text as Perl does.
        return re2.compile(pattern.replace(r"\Z", r"\z"), options)
    except (re2.error, UnicodeError) as error:
        text = error.args[0] if error.args else error
        raise PatternProblem(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)) from error
