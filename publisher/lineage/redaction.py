"""Takes secrets out of everything that leaves this machine (`protocol.md §8`).

The built-in shapes are in `secret_shapes`; here they meet the project's `[registration.omit]`.  What was found is
counted by shape, and no part of a secret is kept.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from roar_publisher.lineage.project import CustomShape, OmitConfig
from roar_publisher.lineage.secret_shapes import (
    BUILT_IN,
    MARK,
    Hit,
    Shape,
    is_marked,
    is_secret_name,
    is_version,
    matching,
    may_hold_secret,
)
from roar_publisher.state.errors import LocalProblem

_CLEAN_LIMIT = 20_000
"""How many texts are remembered as clean; versions and host facts repeat in every job."""
_CLEAN_LENGTH = 200
"""Longer texts (characters) hardly repeat and are not remembered."""
_SCP_REMOTE = re.compile(r"(?!git@)[^@\s\[\]]++(@[^\s:]++:\S++)")


class Redactor:
    """Redacts texts and JSON values, and counts what it found.

    Not for use by several threads at once.  Raises LocalProblem for a pattern in the configuration that is no regular
    expression.
    """

    def __init__(self, omit: OmitConfig) -> None:
        self._enabled = omit.enabled
        self._values = [value for value in omit.values if value]
        self._variables = frozenset(omit.variables)
        self._custom = [_custom_shape(shape) for shape in omit.patterns]
        self._allowed = [_compiled("allowlist.patterns", pattern) for pattern in omit.allowlist if pattern]
        self._found: Counter[str] = Counter()
        self._clean: set[str] = set()

    def findings(self) -> dict[str, int]:
        """How many secrets of each shape were taken out so far, by shape id."""
        return dict(sorted(self._found.items()))

    def text(self, text: str) -> str:
        """The text without its secrets."""
        if not self._enabled or text in self._clean:
            return text
        result = text
        for value in self._values:
            if value in result:
                self._found["configured_value"] += result.count(value)
                result = result.replace(value, MARK)
        if may_hold_secret(result):
            result = self._apply(BUILT_IN, result)
        result = self._apply(self._custom, result)
        if result == text and len(text) <= _CLEAN_LENGTH:
            if len(self._clean) >= _CLEAN_LIMIT:
                self._clean.clear()
            self._clean.add(text)
        return result

    def value(self, value: object) -> object:
        """A JSON value without its secrets: texts at any depth, values under a secret's name, values after a flag."""
        if not self._enabled:
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self._named(key, item) for key, item in value.items()}
        if isinstance(value, list):
            return list(self._arguments(value))
        return value

    def metadata(self, metadata: dict[str, object]) -> dict[str, object]:
        """A job's metadata without its secrets, nor the values of the variables that the configuration names."""
        result = {key: self._named(key, item) for key, item in metadata.items()} if self._enabled else metadata
        runtime = result.get("runtime")
        variables = runtime.get("env_vars") if isinstance(runtime, dict) else None
        if self._enabled and isinstance(variables, dict):
            for name in self._variables.intersection(variables):
                if variables[name] != MARK:
                    self._found["environment_variable"] += 1
                    variables[name] = MARK
        return result

    def git_url(self, url: str) -> str:
        """A remote's URL without credentials; `git@host:path` stays, another `user@host:path` loses its user."""
        result = self.text(url)
        scp = _SCP_REMOTE.fullmatch(result)
        if not self._enabled or "://" in result or scp is None or self._is_allowed(result):
            return result
        self._found["url_userinfo"] += 1
        return MARK + scp[1]

    def _apply(self, shapes: Iterable[Shape], text: str) -> str:
        for shape in shapes:
            pieces: list[str] = []
            done = 0
            for hit in shape.find(text):
                if self._is_allowed(text[hit.start : hit.end]):
                    continue
                pieces += (text[done : hit.start], hit.replacement)
                done = hit.end
                self._count(shape.id, hit)
            if pieces:
                text = "".join((*pieces, text[done:]))
        return text

    def _count(self, shape_id: str, hit: Hit) -> None:
        if not hit.known:
            self._found[shape_id] += 1

    def _is_allowed(self, matched: str) -> bool:
        return any(pattern.search(matched) for pattern in self._allowed)

    def _named(self, name: str, value: object) -> object:
        redacted = self.value(value)
        if redacted is not value and redacted != value:
            return redacted
        if isinstance(value, str) and value and is_secret_name(name) and not (is_version(value) or is_marked(value)):
            if self._is_allowed(value):
                return value
            self._found["named_json_value"] += 1
            return MARK
        return redacted

    def _arguments(self, items: list[object]) -> Iterator[object]:
        """A list, read as a command line where it holds texts: the word after `--password` goes, too."""
        flag = ""
        for item in items:
            redacted = self.value(item)
            if flag and isinstance(item, str) and redacted == item and self.text(f"{flag} {item}") != f"{flag} {item}":
                redacted = MARK
            yield redacted
            flag = item if isinstance(item, str) and item.startswith("-") and "=" not in item else ""


def _custom_shape(shape: CustomShape) -> Shape:
    pattern = _compiled(shape.id, shape.pattern)
    try:
        pattern.sub(shape.replacement, "")
    except (re.error, IndexError) as error:
        raise _bad_pattern(shape.id, error) from error
    return matching(shape.id, pattern, shape.replacement)


def _compiled(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise _bad_pattern(name, error) from error


def _bad_pattern(name: str, error: Exception) -> LocalProblem:
    return LocalProblem(
        f"[registration.omit]: the pattern {name!r} is no regular expression: {error}.",
        next_step="Mend it in .roar/config.toml and try again; nothing was sent.",
        reason="config",
    )
