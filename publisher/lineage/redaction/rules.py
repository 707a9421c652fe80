"""Find credentials with a recognisable form, by the table in `secret_rules.json`.

`scripts/secret_rules.py` generates the table from gitleaks' rules (MIT licence, kept in the table) and ours. Its
expressions are RE2's and run in linear time. A rule is compiled when one of its keywords occurs in a text, so that
lineage without secrets needs neither the compilation nor the import of RE2.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

from msgspec import Struct

from roar_publisher.lineage.redaction.patterns import MARK, compile_pattern

_TAIL = re.compile(r"[A-Za-z0-9_+=~%-]*")
"""The rest of a token that is longer than its rule expects."""
_NO_LITERAL = re.compile(r"\\.|\[[^\]]*\]|\{[^}]*\}|\(\?[^:)]*[:)]")
_LITERAL = re.compile(r"[A-Za-z0-9_~-]{2,}")


class Span(Struct, frozen=True):
    """A secret in a text, and the mark to put there.

    context: where its name begins; an allowlist is matched from there.
    """

    start: int
    end: int
    rule: str
    mark: str = MARK
    context: int | None = None


class _Rule(Struct, frozen=True):
    id: str
    pattern: str
    mark: str


def known_tokens(text: str) -> Iterator[Span]:
    """Yield the secrets of a recognisable form, rule by rule."""
    lowered = text.lower()
    called = [rules for keyword, rules in _by_keyword() if keyword in lowered]
    if not called:
        return
    # One byte per character, so that offsets agree; the rules match only ASCII.
    plain = text.encode("ascii", "replace").decode("ascii")
    for rule in dict.fromkeys(rule for rules in called for rule in rules):
        yield from _spans(rule, plain)


def all_keywords() -> tuple[str, ...]:
    """Return the lower-case keywords of all rules, which their credentials contain."""
    return tuple(keyword for keyword, _rules in _by_keyword())


def literals(id: str) -> tuple[str, ...]:
    """Return the literal texts in a rule's patterns, which all or many of its credentials contain."""
    patterns = [rule.pattern for _keyword, rules in _by_keyword() for rule in rules if rule.id == id]
    return tuple(text for pattern in patterns for text in _LITERAL.findall(_NO_LITERAL.sub(" ", pattern)))


def _spans(rule: _Rule, text: str) -> Iterator[Span]:
    expression: Any = _expression(rule.pattern)
    done = 0
    for match in expression.finditer(text):
        start, end = match.span(1 if expression.groups == 1 else 0)
        if end <= done:  # inside a tail that was already consumed
            continue
        tail = _TAIL.match(text, end)
        done = tail.end() if tail else end
        yield Span(start, done, rule.id, rule.mark)


@cache
def _expression(pattern: str) -> object:
    return compile_pattern(pattern)


@cache
def _by_keyword() -> tuple[tuple[str, tuple[_Rule, ...]], ...]:
    file = resources.files("roar_publisher.lineage.redaction").joinpath("secret_rules.json")
    table = json.loads(file.read_text(encoding="utf-8"))
    rules: dict[str, list[_Rule]] = {}
    for row in table["rules"]:
        for keyword in row["keywords"]:
            rules.setdefault(keyword, []).append(_Rule(row["id"], row["pattern"], row["mark"]))
    return tuple((keyword, tuple(known)) for keyword, known in rules.items())
