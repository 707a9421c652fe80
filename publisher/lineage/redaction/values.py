"""Decide whether a value looks like a secret, given what its name says.

A name alone does not make a secret: switches, numbers, versions, references to a variable, plain words, paths and
identifiers are never secrets, except for a longer number that is called a password. Every test takes time linear in the
value.
"""

import math
import re
from collections import Counter
from functools import lru_cache

from roar_publisher.lineage.redaction.names import Secrecy

MOST_EXAMINED = 256
"""The most characters of a value that are examined; its beginning is enough to recognise a secret."""

_MARKED = re.compile(r"\[(?:[A-Z_]+_)?REDACTED\]")
_SWITCH = re.compile(
    r"(?:true|false|yes|no|on|off|none|null|nil|undefined|nan|auto|default|required|optional|enabled|disabled|\*+|x+|-+|_+"
    r"|\.+)\Z",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?\Z|0x[0-9a-f]{1,8}\Z", re.IGNORECASE)
_PIN = re.compile(r"\d{6,}\Z")
"""A number that is long enough to be chosen as a password; ports, ids of users and most counts are shorter."""
# PEP 440: a version pin is never a secret, whatever its name: `tiktoken==0.11.0`, {"auth": "2.0.0rc1"}.
_VERSION = re.compile(
    r"[<>=~!^v]{0,2}\d+(?:\.\d+)*(?:[._-]?(?:a|b|c|rc|alpha|beta|dev|post|final)\d*)*(?:\+[a-z0-9][a-z0-9._-]{0,30})?\Z"
)
_REFERENCE = re.compile(
    r"\$\{[^}]*\}\Z|\$\((?!\s*(?:echo|printf)\b).*\)\Z|\$[A-Z_][A-Z0-9_]*\Z|\{\{.*\}\}\Z|\{[A-Za-z_][\w.]*\}\Z|%[A-Za-z_]\w*%\Z|%\(\w+\)s\Z|<[^<>]*>\Z"
    r"|(?:os\.)?(?:environ|getenv|env)\b.*\Z|(?:vault|env|secret|ssm|op|file|arn|projects)[:/].*\Z",
    re.DOTALL,
)
_DEFAULT = re.compile(r"\$\{\w+:?-([^}]+)\}\Z")
"""`${PASSWORD:-hunter22}` holds the password that applies if the variable is not set."""
_PLAIN_WORD = re.compile(r"[A-Z]?[a-z]{0,12}\Z|[A-Z]{0,12}\Z")
_WORD_LETTERS = 15
"""The most consecutive letters of a word."""
# A piece of an identifier: a word in any usual case, a number, or a word with a number (`opt125m`, `v2`, `8B`).
_PIECE = re.compile(
    rf"[A-Z]?[a-z]{{0,{_WORD_LETTERS}}}(?:[A-Z][a-z]{{2,{_WORD_LETTERS}}}){{0,4}}(?:\d{{1,4}}[a-z]?)?\Z|[A-Z]{{0,12}}\d{{0,4}}\Z"
    r"|\d{1,12}[A-Za-z]{0,3}\Z"
)
_DELIMITERS = re.compile(r"[-_./:@+,~ ]+")
_ADDRESS = re.compile(r"(?:~|\.{1,2})/|[A-Za-z]:\\|[A-Za-z][A-Za-z0-9+.-]*://")
_MOSTLY = 0.6
"""The share of word-like pieces from which a text with a leading slash is a path; base64 may begin with one, too."""
_TOKEN_ALPHABET = re.compile(r"[A-Za-z0-9_\-.+/=~:!@#$%^&*?()]+\Z")
_CALL = re.compile(r"[A-Za-z_][\w.]{0,64}\(.*\)\Z")
"""`token=get_token(x1)` is code."""
_OPAQUE = re.compile(r"[A-Za-z0-9_\-+/=]+\Z")
_HEX = re.compile(r"(?:0x)?[0-9a-f]+\Z", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)
_DIGEST = re.compile(r"(?:sha\d+|md5|blake\w+)[:=-]", re.IGNORECASE)

_SHORTEST_PASSWORD = 4
_SHORTEST_TOKEN = 8
_SHORTEST_VAGUE = 20
_VAGUE_ENTROPY = 3.5
"""Bits per character; text that people write has less."""


def is_marked(text: str) -> bool:
    """Return whether a secret in this text was already redacted."""
    return _MARKED.search(text) is not None


def is_secret_value(value: str, secrecy: Secrecy) -> bool:
    """Return whether a value under a name of this kind is a secret."""
    return secrecy is not Secrecy.NONE and _looks_secret(value[:MOST_EXAMINED].strip(), secrecy)


@lru_cache(maxsize=4096)
def _looks_secret(text: str, secrecy: Secrecy) -> bool:
    default = _DEFAULT.match(text)
    text = default[1] if default else text
    if secrecy is Secrecy.PASSWORD and _PIN.match(text):
        return True
    if not text or is_marked(text) or _is_harmless(text):
        return False
    if secrecy is Secrecy.PASSWORD:
        return _is_password(text)
    if secrecy is Secrecy.SECRET:
        return _is_password(text) and (bool(re.search(r"\d", text)) or not _is_identifier(text))
    if secrecy is Secrecy.TOKEN:
        return _is_token(text)
    return _is_unmistakable(text)


def is_opaque(value: str) -> bool:
    """Return whether a value without a name looks like a password: not a word, number, path or identifier."""
    text = value[:MOST_EXAMINED].strip()
    if is_marked(text) or _is_harmless(text) or len(text) < _SHORTEST_TOKEN or _is_identifier(text):
        return False
    return not (_is_path(text) or _HEX.match(text) or ":" in text) and re.search(r"\d", text) is not None


def _is_harmless(text: str) -> bool:
    return any(pattern.match(text) for pattern in (_SWITCH, _NUMBER, _VERSION, _REFERENCE))


def _is_password(text: str) -> bool:
    if _PLAIN_WORD.match(text) or len(text) < _SHORTEST_PASSWORD:
        return False
    return not _is_path(text)


def _is_token(text: str) -> bool:
    if len(text) < _SHORTEST_TOKEN or not _TOKEN_ALPHABET.match(text) or _DIGEST.match(text) or _CALL.match(text):
        return False
    return not _is_path(text) and not _is_identifier(text)


def _is_unmistakable(text: str) -> bool:
    if len(text) < _SHORTEST_VAGUE or not _OPAQUE.match(text) or _HEX.match(text) or _UUID.match(text):
        return False
    if _DIGEST.match(text) or _is_identifier(text) or text.startswith("AAAA"):  # AAAA: a public SSH key
        return False
    kinds = (r"[a-z]", r"[A-Z]", r"\d")
    return all(re.search(kind, text) for kind in kinds) and _entropy(text) >= _VAGUE_ENTROPY


def _is_identifier(text: str) -> bool:
    """Return whether every piece between delimiters is a word or a number: names, dates, dotted paths, folders."""
    return all(_PIECE.match(piece) for piece in _DELIMITERS.split(text))


def _is_path(text: str) -> bool:
    """Return whether this is a path or an address. Credentials inside an address are found separately."""
    if not text.startswith("/"):
        return _ADDRESS.match(text) is not None
    natural = sum(len(piece) for piece in _DELIMITERS.split(text) if _PIECE.match(piece))
    return natural >= _MOSTLY * len(text.strip("/"))


def _entropy(text: str) -> float:
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
