"""Decides which secrets stay because a configuration excepts them: `[registration.omit.allowlist]`.

The user's own configuration may except anything. A project may have come with a clone, so it can except values that it
knows (`sk-test-…`, an example's password), but no kinds of values. An exception that would also match another value in
the same place (`.*`, `HF_TOKEN=`, `sk-ant-`, a long alternation of letters) is not followed.
"""

import random
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import cache
from hashlib import sha256
from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

from roar_publisher.lineage.configured_patterns import usable_pattern
from roar_publisher.lineage.secret_rules import all_keywords, literals

OTHER_VALUES = 32
"""How many other values are tried in place of a secret.

A set of exceptions that matches 1 of 10 values is detected 29 times out of 30.
"""
_REMEMBERED = 4096
_ALPHABETS = (ascii_lowercase, ascii_uppercase, digits)
# Parts that are the same in every credential of a kind, beyond the keywords of the rules.
_CONSTANT = (
    r"eyJ[\w-]+\.|-----[A-Z ]+-----|(?:api|oat|admin|sid)\d\d-|_pat_11\w?|[sr]k_(?:live|test)_5\d|Sy[A-D]|CAESI"
    r"|ATATT3xFfGF0|\.a0|webhookb2/|IncomingWebhook|services/"
)
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Verdict(Enum):
    """The verdict on a secret.

    HIDE: no exception matches. KEEP: it stays. REFUSE: the project's exceptions match but are not followed.
    """

    HIDE = "hide"
    KEEP = "keep"
    REFUSE = "refuse"


class Exceptions:
    """The patterns of the user's and of the project's allowlist.

    Raises LocalProblem for an invalid regular expression. The same text always gets the same verdict.
    """

    def __init__(self, *, own: Sequence[str], project: Sequence[str]) -> None:
        self._own = [usable_pattern("allowlist.patterns", pattern) for pattern in own if pattern]
        self._project = [usable_pattern("allowlist.patterns", pattern) for pattern in project if pattern]
        self._known: dict[tuple[str, str, int], Verdict] = {}

    def of(self, rule: str, text: str, start: int) -> Verdict:
        """Return the verdict on a rule's finding, which begins at `start` in `text`; `text` begins with its name."""
        if not self._own and not self._project:
            return Verdict.HIDE
        key = (rule, text, start)
        verdict = self._known.get(key)
        if verdict is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            verdict = self._known[key] = self._judged(rule, _LONE_SURROGATE.sub("?", text), start)
        return verdict

    def _judged(self, rule: str, text: str, start: int) -> Verdict:
        if _excepts(self._own, text):
            return Verdict.KEEP
        if not _excepts(self._project, text):
            return Verdict.HIDE
        others = (text[:start] + other for other in _others(rule, text[start:]))
        return Verdict.REFUSE if any(_excepts(self._project, other) for other in others) else Verdict.KEEP


def _excepts(patterns: Sequence[Any], text: str) -> bool:
    return any(pattern.search(text) for pattern in patterns)


@cache
def _constants(rule: str) -> re.Pattern[str]:
    known = sorted({*all_keywords(), *literals(rule)}, key=lambda text: (-len(text), text))
    return re.compile(f"({'|'.join((_CONSTANT, *map(re.escape, known)))})", re.IGNORECASE)


def _others(rule: str, value: str) -> Iterator[str]:
    """Yield values of the same form, derived from the value itself, which a project does not know."""
    pieces = _constants(rule).split(value)
    seed = sha256(value.encode("utf-8", "replace")).digest()
    chance = random.Random(seed)  # nosec B311  # the same values each time are wanted
    for _ in range(OTHER_VALUES):
        drawn: dict[int, str] = {}
        for letters in _ALPHABETS:
            drawn |= {ord(one): other for one, other in zip(letters, chance.sample(letters, len(letters)), strict=True)}
        # Odd pieces are the constants; the even pieces between them are replaced.
        yield "".join(piece if place % 2 else piece.translate(drawn) for place, piece in enumerate(pieces))
