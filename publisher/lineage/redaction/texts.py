"""Redact secrets from texts, and count them.

`scan` finds them, and this module applies the configured values, patterns and exceptions. Findings are counted by rule;
no part of a secret is kept.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from roar_publisher.lineage.redaction.allowlist import Allowlist, AllowlistResult
from roar_publisher.lineage.redaction.patterns import MARK, CustomRule, searchable, too_slow
from roar_publisher.lineage.redaction.rules import Span
from roar_publisher.lineage.redaction.scan import are_harmless_words, find_secrets, may_hold_secrets
from roar_publisher.lineage.redaction.settings import OmitConfig
from roar_publisher.lineage.redaction.values import is_marked

_CONFIGURED = "configured-value"
CUSTOM_SECONDS = 3.0
"""CPU seconds that the configured patterns may take in one publish, beyond the allowances below."""
SECONDS_A_TEXT = 1e-3
SECONDS_A_CHARACTER = 1e-6
"""Additional CPU seconds for each text and each character, because a large lineage has many."""

_CLEAN_LIMIT = 20_000
"""The most clean texts that are cached; versions and host facts repeat in every job."""
_CLEAN_LENGTH = 200
"""Longer texts (in characters) rarely repeat and are not cached."""
_SHORTEST = 4
"""A shorter text (in characters) cannot hold a secret of a built-in shape."""
_SCP_REMOTE = re.compile(r"(?!git@)[^@\s\[\]]++(@[^\s:]++:\S++)")

T = TypeVar("T")


class CleanCache(set[T]):
    """What was found to hold no secret."""

    def remember(self, clean: T, length: int) -> None:
        """Add what has so many characters, unless it is long. All others are forgotten when there are too many."""
        if length <= _CLEAN_LENGTH:
            if len(self) >= _CLEAN_LIMIT:
                self.clear()
            self.add(clean)


class TextRedactor:
    """Redacts texts, and counts the findings.

    clock: returns seconds, for the time limit on the configured patterns. Not thread-safe. Raises LocalProblem if a
    configured pattern is not a regular expression or takes too long.
    """

    def __init__(self, omit: OmitConfig, *, clock: Callable[[], float] = time.thread_time) -> None:
        self._enabled = omit.enabled
        self._values = [value for value in omit.values if value]
        self._variables = frozenset(omit.variables)
        self._custom = [CustomRule(shape) for shape in omit.patterns]
        self._allowlist = Allowlist(user=omit.user_allowlist, project=omit.allowlist)
        self._clock = clock
        self._left = CUSTOM_SECONDS
        self._found: Counter[str] = Counter()
        self._clean: CleanCache[str] = CleanCache()

    def findings(self) -> dict[str, int]:
        """Return the number of redacted secrets so far, by rule."""
        return dict(sorted(self._found.items()))

    @property
    def total(self) -> int:
        """The number of redacted secrets so far."""
        return self._found.total()

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Do not count what is redacted within the block, because it was counted before."""
        found, self._found = self._found, Counter()
        try:
            yield
        finally:
            self._found = found

    def text(self, text: str) -> str:
        """Return the text without its secrets."""
        if (
            not self._enabled
            or (len(text) < _SHORTEST and not self._values and not self._custom)
            or text in self._clean
        ):
            return text
        # Configured values are found together with the secrets. If they were removed first, a value `sk-` would leave
        # the rest of a key.
        result = self._replaced(text, (*self._configured(text), *find_secrets(text)))
        for rule in self._custom:
            result = self._apply_custom(rule, result)
        if result == text:
            self._clean.remember(text, len(text))
        return result

    def certainly_clean(self, texts: Iterable[str]) -> bool:
        """Return True only if `text` changes none of these texts. Reading them together takes less time."""
        if self._values or self._custom:
            return False
        together = "\n".join(texts)
        return not may_hold_secrets(together) or are_harmless_words(together)

    def _configured(self, text: str) -> Iterator[Span]:
        for value in self._values:
            place = text.find(value)
            while place >= 0:
                yield Span(place, place + len(value), _CONFIGURED)
                place = text.find(value, place + len(value))

    def git_url(self, url: str) -> str:
        """Return a remote's URL without credentials. `git@host:path` stays; other `user@host:path` lose their user."""
        result = self.text(url)
        scp = _SCP_REMOTE.fullmatch(result)
        if not self._enabled or "://" in result or scp is None:
            return result
        found = self._rule_to_redact("url-userinfo", result[: scp.start(1)])
        if not found:
            return result
        self._found[found] += 1
        return MARK + scp[1]

    def _replaced(self, text: str, spans: Iterable[Span]) -> str:
        """Return the text with each region that spans cover replaced by a mark; adjacent spans become one."""
        wanted = [span for span in spans if span.start < span.end and not is_marked(text[span.start : span.end])]
        # Of two spans over the same region, the one with a name goes first, because roar-cli leaves that one's mark.
        wanted.sort(key=lambda span: (span.start, -span.end, span.context is None))
        pieces: list[str] = []
        done = 0
        for span in wanted:
            if span.end <= done:
                continue
            context = span.start if span.context is None else span.context
            found = self._rule_to_redact(span.rule, text[context : span.end], span.start - context)
            if not found:
                continue
            if span.start >= done:
                pieces += (text[done : span.start], span.mark)
                self._found[found] += 1
            done = span.end
        return "".join((*pieces, text[done:])) if pieces else text

    def _apply_custom(self, rule: CustomRule, text: str) -> str:
        """Apply one of the configured patterns to the text. A single match is linear; many are limited by time."""
        self._left += SECONDS_A_TEXT + SECONDS_A_CHARACTER * len(text)
        began = self._clock()
        pieces: list[str] = []
        done = 0
        for match in rule.pattern.finditer(searchable(text)):
            if self._clock() - began > self._left:
                raise too_slow(rule.id)
            found = "" if is_marked(match[0]) else self._rule_to_redact(rule.id, match[0])
            if not found:
                continue
            pieces += (text[done : match.start()], match.expand(rule.replacement))
            done = match.end()
            self._found[found] += 1
        self._left -= self._clock() - began
        return "".join((*pieces, text[done:])) if pieces else text

    def _rule_to_redact(self, rule: str, text: str, start: int = 0) -> str:
        """Return the rule to redact and count the secret at `start` under, or "" if it stays."""
        result = AllowlistResult.REDACT if rule == _CONFIGURED else self._allowlist.of(rule, text, start)
        if result is AllowlistResult.REFUSE:
            return f"{rule}, although the project excepts it"
        return rule if result is AllowlistResult.REDACT else ""
