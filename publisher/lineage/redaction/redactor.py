"""Redact secrets from everything that leaves this machine (`protocol.md §8`)."""

import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from roar_publisher.lineage.redaction.names import Secrecy, secrecy
from roar_publisher.lineage.redaction.options import may_hold_options, secret_in_word
from roar_publisher.lineage.redaction.patterns import MARK
from roar_publisher.lineage.redaction.settings import OmitConfig
from roar_publisher.lineage.redaction.shell_words import Extent
from roar_publisher.lineage.redaction.texts import CleanCache, TextRedactor
from roar_publisher.lineage.redaction.values import is_secret_value
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason

_MOST_WORDS = 256
"""The most words of a list that are read as a command; a longer list is data."""
_SCHEME = re.compile(r"(?:bearer|basic|token|digest|apikey|negotiate)\s+", re.IGNORECASE)


class Redactor(TextRedactor):
    """Redacts texts and JSON values, and counts the findings. Not thread-safe."""

    def __init__(self, omit: OmitConfig, *, clock: Callable[[], float] = time.thread_time) -> None:
        super().__init__(omit, clock=clock)
        self._clean_entries: CleanCache[tuple[str, str]] = CleanCache()

    def value(self, value: object) -> object:
        """Return a JSON value without its secrets: in texts at any depth, under secret names, and after flags.

        Raises LocalProblem if the value is nested too deep.
        """
        return self._at_any_depth(value, self._value)

    def texts(self, value: object) -> object:
        """Do the same as `value`, but check each text alone: names and flags next to it are ignored."""
        return self._at_any_depth(value, partial(self._each_alone, of_text=self.text))

    def keys(self, value: object) -> object:
        """Return the value with secrets removed from its keys only. Counts nothing."""
        with self.uncounted():
            return self._at_any_depth(value, partial(self._each_alone, of_text=str))

    def _at_any_depth(self, value: object, redacted: Callable[[object], object]) -> object:
        if not self._enabled:
            return value
        try:
            return redacted(value)
        except RecursionError:
            raise LocalProblem(
                "a label or some metadata in roar.db is nested too deeply to be searched for secrets",
                kept="Nothing was sent.",
                next_step="publish a target without it (`@N`, a path, a job uid)",
                reason=Reason.TOO_LARGE,
            ) from None

    def _each_alone(self, value: object, of_text: Callable[[str], str]) -> object:
        if isinstance(value, str):
            return of_text(value)
        if isinstance(value, dict):
            return self._renamed((key, self._each_alone(item, of_text)) for key, item in value.items())
        return [self._each_alone(item, of_text) for item in value] if isinstance(value, list) else value

    def _renamed(self, items: Iterable[tuple[str, object]]) -> dict[str, object]:
        """Return the table without secrets in its keys; keys that become equal are numbered."""
        table: dict[str, object] = {}
        for key, item in items:
            table[_numbered(self.text(key), table)] = item
        return table

    def _value(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return self._mapping(value)
        if isinstance(value, list):
            return list(self._arguments(value))
        return value

    def metadata(self, metadata: dict[str, object]) -> dict[str, object]:
        """Return a job's metadata without its secrets and without the values of the configured variables."""
        result = self.value(metadata)
        assert isinstance(result, dict), "redaction keeps the shape"
        runtime = result.get("runtime")
        if not self._enabled or not isinstance(runtime, dict) or not isinstance(runtime.get("env_vars"), dict):
            return result
        variables = runtime["env_vars"]
        hidden = {name for name in self._variables.intersection(variables) if variables[name] != MARK}
        if not hidden:
            return result
        self._found["environment-variable"] += len(hidden)
        return {**result, "runtime": {**runtime, "env_vars": variables | dict.fromkeys(hidden, MARK)}}

    def _mapping(self, table: dict[str, object]) -> dict[str, object]:
        """Return a table without its secrets. Entries without any are remembered: most repeat in every job."""
        result: dict[str, object] = {}
        for key, item in table.items():
            if isinstance(item, str) and (key, item) in self._clean_entries:
                result[_numbered(key, result)] = item
                continue
            redacted = self._named(key, item) if isinstance(item, (str, list, dict)) else item
            sent = self.text(key)
            result[_numbered(sent, result)] = redacted
            if sent == key and redacted == item and isinstance(item, str):
                self._clean_entries.remember((key, item), len(key) + len(item))
        name, value = table.get("name"), table.get("value")
        if isinstance(name, str) and isinstance(value, str) and result["value"] == value:
            result["value"] = self._named(name, value)  # an environment as a list: {"name": "HF_TOKEN", "value": …}
        return result

    def _named(self, name: str, value: object) -> object:
        if isinstance(value, list) and secrecy(name) is not Secrecy.NONE:
            return [self._named(name, item) if isinstance(item, str) else self._value(item) for item in value]
        if not isinstance(value, str):
            return self._value(value)
        redacted = self.text(value)
        if redacted != value:
            return redacted
        scheme = _SCHEME.match(value)
        secret = value[scheme.end() :] if scheme else value
        kind = Secrecy.PASSWORD if scheme and secrecy(name) is not Secrecy.NONE else secrecy(name)
        if not is_secret_value(secret, kind):
            return value
        found = self._rule_to_redact("named-value", value, len(value) - len(secret))
        if not found:
            return value
        self._found[found] += 1
        return value[: len(value) - len(secret)] + MARK

    def _arguments(self, items: list[object]) -> Iterator[object]:
        """Redact a list, reading its texts as a command line: the word after `--password` is redacted, too."""
        words: list[str] = []
        texts = [item for item in items if isinstance(item, str)][: _MOST_WORDS + 1]
        options = len(texts) > 1 and may_hold_options(texts)
        for item in items:
            redacted = self._value(item)
            if isinstance(item, str):
                if words and redacted == item and len(words) <= _MOST_WORDS:
                    redacted = self._argument(words, item, options)
                words.append(item)
            yield redacted

    def _argument(self, words: list[str], item: str, options: bool) -> str:
        flag = words[-1] if words[-1].startswith("-") and "=" not in words[-1] else ""
        if flag and not item.startswith("-") and is_secret_value(item, secrecy(flag.lstrip("-"))):
            extent, rule = Extent(0, len(item)), "argument"
        elif options and (place := secret_in_word(words, item)) is not None:
            extent, rule = place, "password-option"
        else:
            return item
        found = self._rule_to_redact(rule, f"{flag} {item}", len(flag) + 1 + extent.start)
        if not found:
            return item
        self._found[found] += 1
        return item[: extent.start] + MARK + item[extent.end :]


def _numbered(name: str, table: dict[str, object]) -> str:
    """Return the name, with numbers after it until the table does not have it."""
    while name in table:
        name = f"{name} {len(table)}"
    return name
