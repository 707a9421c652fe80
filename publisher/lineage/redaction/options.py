"""Find passwords in program-specific options or positions: `redis-cli -a`, `openssl -k`, `htpasswd -b`.

Only the program determines what such a value is. An option counts within the command that the program begins, up to the
next shell separator. Each part of a text is read once for each row of the tables, so this takes linear time.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache

from msgspec import Struct

from roar_publisher.lineage.redaction.hints import Hints
from roar_publisher.lineage.redaction.names import Secrecy, secrecy
from roar_publisher.lineage.redaction.rules import Span
from roar_publisher.lineage.redaction.shell_words import Extent, QuotedText
from roar_publisher.lineage.redaction.values import is_opaque, is_secret_value

_REACH = 1024
"""How many characters after a program's name are searched for its options."""
SPACE = r"(?:[ \t]|\\?\r?\n)++"
"""The space between two words; a command may continue on the next line."""
MOST_USER = 128
"""The most characters of a user's name before a password."""
_WORDS = 16
"""How many words before an argument are examined, in a command that is recorded as a list."""
_WORD_END = 128
"""How many characters of each of these words are examined, from its end."""
_UNSAFE = re.compile(r"[\s\"'\\\\;&|]")
_BEFORE = r"(?:^|(?<=[\s;&|/('\"`\[,\\]))"
_AFTER = r"(?![\w.-])"
_GAP = r"[ \t]{1,8}"
_WORD = r"[^\s'\";&|]{1,256}+"


class _Option(Struct, frozen=True):
    """Options of some programs that take a secret.

    options: without the first dash.
    glued: whether the value follows without a space.
    after: what separates the user's name from the secret.
    """

    programs: str
    options: str
    glued: bool = False
    after: str = ""

    def command(self) -> re.Pattern[str]:
        return re.compile(f"{_BEFORE}(?:{self.programs}){_AFTER}")

    def option(self) -> re.Pattern[str]:
        between = "" if self.glued else f"(?:{SPACE}|=)?"
        return re.compile(rf"(?<![^\s\"'])-(?:{self.options})\\?[\"']?,?{between}(?=[^\s-])")


_OPTIONS = (
    _Option("redis-cli|valkey-cli|keydb-cli|https?|xhs?", "a|-auth"),
    _Option("openssl", "k|K|hmac"),
    _Option(r"mysql\w*|mariadb[\w-]*|sshpass|mongo\w*|beeline|cypher-shell|hdbsql|cqlsh|twine|az|rdesktop|influx", "p"),
    _Option("aws ssm put-parameter", "-value"),
    _Option(r"(?:docker|podman|buildah|skopeo|nerdctl|crane|oras|oc|helm registry) login|gsutil signurl", "p"),
    _Option(r"7z[a-z]?|unrar|rar", "h?p", glued=True),
    _Option(r"zip|unzip|zipcloak|ssh-keygen|mosquitto_\w+|sqlcmd|bcp|osql|isql|tsql|ipmitool", "P"),
    _Option("ssh-keygen", "N"),
    _Option(r"ldap\w+", "w"),
    _Option("influx", "t"),
    _Option("curl", r"[A-Za-z]{0,8}[uU]|-user|-proxy-user", after=":"),
    _Option("curl", "b|-cookie", after="="),
    _Option("smbclient|smbget|rpcclient|net", "U|-user", after="%"),
    _Option(r"lftp|ncftp\w*", "u", after=","),
)
_ANY_PROGRAM = re.compile("|".join(row.programs for row in _OPTIONS))
_PORTS = re.compile(r"[\d.]*:?\d+:\d+(?:/\w+)?\Z")
"""Ports, as in `docker run --name mysql -p 3306:3306`."""
_SEPARATOR = re.compile(r"[;|\n]|(?<!>)&")

_CONFIGURES = re.compile(r"\b(?:config|configure|modify|(?:alias|secret|variable) set)\b")
_PAIR = re.compile(r"(?<![\w-])([A-Za-z_][\w-]{0,127}+)[ \t]++(?=[^\s=:-])")
_STORES = re.compile(r"\bkubectl create secret\b|\bvault (?:kv put|kv patch|write)\b")
_LITERAL = re.compile(r"(?<!\S)(?:--from-literal[= ][\"']?)?[A-Za-z_][\w.-]{0,127}+=(?=[^\s@=])")

_PLACES = (
    # A password after the user, and perhaps after a file.
    (Secrecy.PASSWORD, rf"\bhtpasswd{_GAP}-[A-Za-mo-z]{{0,6}}b[A-Za-mo-z]{{0,6}}{_GAP}{_WORD}{_GAP}{_WORD}{_GAP}"),
    (
        Secrecy.PASSWORD,
        rf"\bhtpasswd{_GAP}-[A-Za-z]{{0,6}}(?:n[A-Za-z]{{0,6}}b|bn)[A-Za-z]{{0,6}}{_GAP}{_WORD}{_GAP}",
    ),
    (Secrecy.PASSWORD, rf"\bpoetry config{_GAP}http-basic\.{_WORD}{_GAP}{_WORD}{_GAP}"),
    (Secrecy.PASSWORD, rf"\bmc{_GAP}(?:alias set|config host add){_GAP}{_WORD}{_GAP}{_WORD}{_GAP}{_WORD}{_GAP}"),
    (Secrecy.PASSWORD, rf"\b(?:sqlplus|sqlldr|impdp|expdp){_GAP}(?:-\w{{1,8}}{_GAP}){{0,3}}\w{{1,64}}/"),
    (Secrecy.PASSWORD, r"\bjdbc:oracle:\w{1,16}:\w{1,64}/"),
    (Secrecy.PASSWORD, r"(?<=\s)/p:"),
    (Secrecy.TOKEN, rf"\b(?:_auth(?:Token)?|authtoken){_GAP}"),
    (Secrecy.SECRET, rf"\bpulumi config set{_GAP}--secret{_GAP}{_WORD}{_GAP}"),
    (Secrecy.VAGUE, rf"\blogin{_GAP}(?=[^\s-])"),
    (Secrecy.TOKEN, r"\blogin\([^()\n]{0,64}?\bkey[ \t]{0,4}=[ \t]{0,4}"),
    # `auth=("me", "password")`, as in requests.
    (
        Secrecy.PASSWORD,
        r"(?:\bauth[ \t]{0,4}=[ \t]{0,4}|\w{0,16}Auth)"
        r"\([ \t]{0,4}\\?[\"'][^\"'\n]{0,128}\\?[\"'][ \t]{0,4},[ \t]{0,4}",
    ),
    # What a program reads from its standard input.
    (
        Secrecy.PASSWORD,
        rf"\b(?:\w{{0,16}}passwd|login|signin|-stdin|--with-token|--passphrase-fd{_GAP}\d)\b"
        r"[^;|&\n]{0,128}?<<<[ \t]{0,4}",
    ),
)
"""What stands before a secret, and of which kind it is. Compiled when a text hints at one of them."""
_ECHO = re.compile(rf"\b(?:echo|printf){_GAP}(?:-[neE]{{1,3}}{_GAP})?(?:[\"']?%s(?:\\n)?[\"']?{_GAP})?(?=[^\s|;&-])")
_READS_PASSWORD = re.compile(
    r"[\"']?[ \t]{0,4}\|[^;|&\n]{0,128}?(?:-stdin\b|--with-token\b|--passphrase-fd\b|\bsudo\b[^;|&\n]{0,64}? -S\b"
    r"|\bpasswd\b|\bchpasswd\b|\blogin\b)"
)
_PLACE_HINT = re.compile(r"htpasswd|poetry|pulumi|mc|/|_auth|login|Auth|auth|<<<")
_ANY_OPTION = Hints(
    lambda: (
        *(rf"\b(?:{row.programs})\b" for row in _OPTIONS),
        "htpasswd|poetry|pulumi|mc[ \t]|sqlplus|sqlldr|impdp|expdp|jdbc|/p:|auth|login|<<<",
        "config|modify|(?:alias|secret|variable) set|kubectl|vault|echo|printf",
    )
)
"""The programs and words that precede everything that `option_secrets` finds."""


def option_secrets(quoted: QuotedText) -> Iterator[Span]:
    """Yield the passwords in program-specific options and positions. The spans of one row do not overlap."""
    text = quoted.text
    if not _ANY_OPTION.may_be_in(text):
        return
    if "-" in text and _ANY_PROGRAM.search(text):
        for row, program, option in _rows():
            for start, end in _commands(quoted, program):
                yield from _values(quoted, row, option, start, end)
    if _PLACE_HINT.search(text):
        for pattern, kind in _places():
            for match in pattern.finditer(text):
                yield from _checked(quoted, match, kind, "password-place")
    for start, end in _commands(quoted, _CONFIGURES):
        for match in _PAIR.finditer(text, start, end):
            yield from _checked(quoted, match, secrecy(match[1]), "configured-secret")
    for start, end in _commands(quoted, _STORES):
        for match in _LITERAL.finditer(text, start, end):
            yield from _checked(quoted, match, Secrecy.SECRET, "stored-secret")
    if "|" in text and ("echo" in text or "printf" in text):
        yield from _piped(quoted)


def may_hold_options(words: Sequence[str]) -> bool:
    """Return False only if `secret_in_word` finds nothing in any of these arguments of a command."""
    # Of a longer word only the end is examined, which may begin with the name of a program.
    return any(len(word) > _WORD_END for word in words) or _ANY_OPTION.may_be_in(" ".join(words))


def secret_in_word(words: Sequence[str], word: str) -> Extent | None:
    """Return the password in `word`, an argument after the earlier words `words`; None if it holds none."""
    before = "".join(_UNSAFE.sub("_", one)[-_WORD_END:] + " " for one in words[-_WORDS:])
    typed = shlex.quote(word)
    margin = len(before) + (typed != word)
    for span in option_secrets(QuotedText(before + typed)):
        if span.start >= margin:
            return Extent(span.start - margin, len(word)) if len(typed) <= len(word) + 2 else Extent(0, len(word))
    return None


def _commands(quoted: QuotedText, program: re.Pattern[str]) -> Iterator[tuple[int, int]]:
    """Yield the start and end of the arguments of each call of a program; they do not overlap."""
    text = quoted.text
    matches = [match.span() for match in program.finditer(text)]
    for place, (_start, end) in enumerate(matches):
        limit = matches[place + 1][0] if place + 1 < len(matches) else len(text)
        limit = min(limit, end + _REACH)
        region = quoted.region(end)
        stops = (found.start() for found in _SEPARATOR.finditer(text, end, limit))
        yield end, next((stop for stop in stops if quoted.region(stop) == region), limit)


def _values(quoted: QuotedText, row: _Option, option: re.Pattern[str], start: int, end: int) -> Iterator[Span]:
    text = quoted.text
    for match in option.finditer(text, start, end):
        extent = quoted.value(match.end(), name=match.end())
        if row.after:
            place = text.find(row.after, extent.start, min(extent.end, extent.start + MOST_USER))
            if place < 0:
                continue
            extent = Extent(place + 1, extent.end)
        value = quoted.examined(extent)
        if is_secret_value(value, Secrecy.PASSWORD) and not _PORTS.match(value):
            yield Span(*extent, "password-option", context=match.start())


@cache
def _rows() -> Sequence[tuple[_Option, re.Pattern[str], re.Pattern[str]]]:
    """Return the options with their patterns. They are compiled when a text hints at one of the programs."""
    return [(row, row.command(), row.option()) for row in _OPTIONS]


@cache
def _places() -> Sequence[tuple[re.Pattern[str], Secrecy]]:
    return [(re.compile(pattern), kind) for kind, pattern in _PLACES]


def _checked(quoted: QuotedText, match: re.Match[str], kind: Secrecy, rule: str) -> Iterator[Span]:
    extent = quoted.value(match.end(), name=match.end())
    if is_secret_value(quoted.examined(extent), kind):
        yield Span(*extent, rule, context=match.start())


def _piped(quoted: QuotedText) -> Iterator[Span]:
    """Yield secrets in `echo PASSWORD | docker login --password-stdin`, `echo PASSWORD | sudo -S …`."""
    for match in _ECHO.finditer(quoted.text):
        extent = quoted.value(match.end(), name=match.end())
        if not _READS_PASSWORD.match(quoted.text, extent.end):
            continue
        value = quoted.examined(extent)
        if is_opaque(value) or is_secret_value(value, Secrecy.PASSWORD):
            yield Span(*extent, "password-place", context=match.start())
