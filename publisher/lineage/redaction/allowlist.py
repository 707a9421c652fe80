"""Apply the exceptions of a configuration: `[registration.omit.allowlist]`.

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

from roar_publisher.lineage.redaction.patterns import searchable, usable_pattern
from roar_publisher.lineage.redaction.rules import all_keywords, literals

OTHER_VALUES = 32
"""The number of other values that are tried in place of a secret.

A set of exceptions that matches 1 of 10 values is detected 29 times out of 30.
"""
_CACHE_LIMIT = 4096
_ALPHABETS = (ascii_lowercase, ascii_uppercase, digits)
# Parts that are the same in every credential of a kind, beyond the keywords of the rules.
_CONSTANT = (
    r"eyJ[\w-]+\.|-----[A-Z ]+-----|(?:api|oat|admin|sid)\d\d-|_pat_11\w?|[sr]k_(?:live|test)_5\d|Sy[A-D]|CAESI"
    r"|ATATT3xFfGF0|\.a0|webhookb2/|IncomingWebhook|services/"
)


class AllowlistResult(Enum):
    """What the exceptions say about a secret.

    REDACT: no exception matches.
    KEEP: the secret stays.
    REFUSE: an exception of the project matches but is not followed, so the secret is redacted.
    """

    REDACT = "redact"
    KEEP = "keep"
    REFUSE = "refuse"


class Allowlist:
    """The patterns of the user's and of the project's allowlist.

    Raises LocalProblem for an invalid regular expression. The same text always gets the same result.
    """

    def __init__(self, *, user: Sequence[str], project: Sequence[str]) -> None:
        self._user = [usable_pattern("allowlist.patterns", pattern) for pattern in user if pattern]
        self._project = [usable_pattern("allowlist.patterns", pattern) for pattern in project if pattern]
        self._cache: dict[tuple[str, str, int], AllowlistResult] = {}

    def of(self, rule: str, text: str, start: int) -> AllowlistResult:
        """Return the result for a rule's finding, which begins at `start` in `text`; `text` begins with its name."""
        if not self._user and not self._project:
            return AllowlistResult.REDACT
        key = (rule, text, start)
        result = self._cache.get(key)
        if result is None:
            if len(self._cache) >= _CACHE_LIMIT:
                self._cache.clear()
            result = self._cache[key] = self._judge(rule, searchable(text), start)
        return result

    def _judge(self, rule: str, text: str, start: int) -> AllowlistResult:
        if _matches_any(self._user, text):
            return AllowlistResult.KEEP
        if not _matches_any(self._project, text):
            return AllowlistResult.REDACT
        others = (text[:start] + other for other in _other_values(rule, text[start:]))
        return (
            AllowlistResult.REFUSE
            if any(_matches_any(self._project, other) for other in others)
            else AllowlistResult.KEEP
        )


def _matches_any(patterns: Sequence[Any], text: str) -> bool:
    return any(pattern.search(text) for pattern in patterns)


@cache
def _constants(rule: str) -> re.Pattern[str]:
    known = sorted({*all_keywords(), *literals(rule)}, key=lambda text: (-len(text), text))
    return re.compile(f"({'|'.join((_CONSTANT, *map(re.escape, known)))})", re.IGNORECASE)


def _other_values(rule: str, value: str) -> Iterator[str]:
    """Yield values of the same form, derived from the value itself, which a project does not know."""
    pieces = _constants(rule).split(value)
    seed = sha256(value.encode("utf-8", "replace")).digest()
    rng = random.Random(seed)  # nosec B311  # reproducible values, not secrets
    for _ in range(OTHER_VALUES):
        drawn: dict[int, str] = {}
        for letters in _ALPHABETS:
            drawn |= {ord(one): other for one, other in zip(letters, rng.sample(letters, len(letters)), strict=True)}
        # Odd pieces are the constants; the even pieces between them are replaced.
        yield "".join(piece if place % 2 else piece.translate(drawn) for place, piece in enumerate(pieces))
