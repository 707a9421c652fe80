"""Find where a value in a command line ends: quotes, escapes and words, in linear time.

Commands are recorded as one text, with the quoting as typed. It is parsed as a shell would, but without expansion, and
an unclosed quote is an ordinary character.
"""

import re
from bisect import bisect_right
from typing import NamedTuple

from roar_publisher.lineage.redaction.values import MOST_EXAMINED

_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*+\"|'[^']*+'|\\.", re.DOTALL)
_WORD = re.compile(r"(?:\"(?:[^\"\\]|\\.)*+\"|'[^']*+'|\\.|[^\s\"'\\;&|<>])++", re.DOTALL)
_ESCAPED_QUOTE = re.compile(r"(\\+)([\"'])")
_SUBSTITUTED = re.compile(r"\$\([^()\n]{0,256}\)[^\s\"';&|<>]*+")
_BARE = re.compile(r"[^\s\"'`;&|<>]+")
_WITHIN = {quote: re.compile(rf"[^\s{quote}&;]++") for quote in "\"'"}
_TO_QUOTE = {'"': re.compile(r"(?:[^\"\\]|\\.)*+", re.DOTALL), "'": re.compile(r"[^']*+")}


class Extent(NamedTuple):
    """A value's place in a text, without the quotes around it."""

    start: int
    end: int


class QuotedText:
    """A text with its quoted regions, which are located once."""

    def __init__(self, text: str) -> None:
        self.text = text
        regions = [match.span() for match in _QUOTED.finditer(text) if match[0][0] != "\\"]
        self._starts = [start for start, _end in regions]
        self._ends = [end for _start, end in regions]
        # The last word read: names and values in the same word share its end.
        self._word = Extent(0, 0)

    def region(self, position: int) -> Extent | None:
        """Return the quoted region that contains `position`, without its quotes."""
        index = bisect_right(self._starts, position - 1) - 1
        if index >= 0 and self._starts[index] < position < self._ends[index]:
            return Extent(self._starts[index] + 1, self._ends[index] - 1)
        return None

    def value(self, position: int, *, name: int) -> Extent:
        """Return the value that begins at `position` and belongs to the name that begins at `name`.

        In a quoted region the value ends with the region at the latest. If the name is the first thing in the region,
        it ends exactly there (`-e "DB_PASSWORD=two words"`). A value in escaped quotes ends at the next such quote.
        """
        text = self.text
        escaped = _ESCAPED_QUOTE.match(text, position)
        if escaped is not None:
            closing = text.find(escaped[0], escaped.end())
            if closing >= 0:
                return Extent(escaped.end(), closing)
        region = self.region(position)
        if region is not None:
            return self._within(position, name, region)
        substituted = _SUBSTITUTED.match(text, position)
        if substituted is not None:
            return Extent(*substituted.span())
        quote = text[position : position + 1]
        word = self._read(_WORD, position, len(text)) or self._read(_BARE, position + (quote in ('"', "'")), len(text))
        if word is None:
            return Extent(position, position)
        own = _QUOTED.match(text, position) if quote in ('"', "'") else None
        if own is not None and (own.end() == word.end or text[own.end()] in ",:}])"):
            return Extent(position + 1, own.end() - 1)
        return word

    def examined(self, extent: Extent) -> str:
        """Return the beginning of a value, which is enough to judge it: many names may share a long word."""
        return self.text[extent.start : min(extent.end, extent.start + MOST_EXAMINED)]

    def _within(self, position: int, name: int, region: Extent) -> Extent:
        text, quote = self.text, self.text[region.start - 1]
        inner = text[position : position + 1]
        if inner in _TO_QUOTE and inner != quote:
            end = _TO_QUOTE[inner].match(text, position + 1, region.end)
            return Extent(position + 1, end.end() if end else region.end)
        if region.start in (name, name - 1, name - 2):
            return Extent(position, region.end)
        return self._read(_WITHIN[quote], position, region.end) or Extent(position, position)

    def _read(self, pattern: re.Pattern[str], position: int, end: int) -> Extent | None:
        """Return the word at `position`, or None. A word of many names is read once, which keeps this linear."""
        if not self._word.start <= position < self._word.end:
            match = pattern.match(self.text, position, end)
            if match is None:
                return None
            self._word = Extent(*match.span())
        return Extent(position, self._word.end)
