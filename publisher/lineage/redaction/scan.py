"""Find secrets by their surroundings: names, flags, headers, URLs, key blocks.

Each scanner yields spans of its text and runs in linear time over hostile text: repetitions are possessive or bounded,
and each value is examined once.
"""

import re
from collections.abc import Iterator

from roar_publisher.lineage.redaction.hints import Hints
from roar_publisher.lineage.redaction.names import NAME_REACH, Secrecy, secrecy
from roar_publisher.lineage.redaction.options import MOST_USER, SPACE, option_secrets
from roar_publisher.lineage.redaction.rules import Span, all_keywords, known_tokens
from roar_publisher.lineage.redaction.shell_words import Extent, QuotedText
from roar_publisher.lineage.redaction.values import MOST_EXAMINED, is_opaque, is_secret_value

_NAME_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
_HINT = re.compile(
    r"key|token|secret|pass|pwd|cred|auth|bearer|jwt|cookie|session|wandb|webhook|fernet|_pat\b|-pat\b|\btok\b|\bpw\b"
    r"|-[A-Za-z]{0,8}[abkKNpPtuUw]|login|config|modify|vault|htpasswd|sqlplus|impdp|expdp|jdbc|/p:|mc |sudo",
    re.IGNORECASE,
)
"""Only a text that matches this is searched for names, headers and options."""
# An assignment or a mapping's colon, each perhaps after the (escaped) quote that closes the name.
_SEPARATOR = re.compile(
    r"(\\{0,3}[\"']\]?)?[ \t]{0,4}"
    r"(?:(?<![=!<>])=(?!=)>?"
    r"|:(?![:?+])=?(?:[ \t]{0,4}(?:[>|][+-]?)?\r?\n[ \t]{1,16}+(?![\w.-]{1,64}:|-[ \t]))?)[ \t]{0,4}"
)
_FLAG = re.compile(rf"(?<![\w-])--?([A-Za-z][A-Za-z0-9_.-]{{0,127}}+){SPACE}(?!-)(?=\S)")
# `aws configure set`, and a line of .netrc.
_SPACED = re.compile(
    r"\b(?:aws_secret_access_key|aws_session_token|login[ \t]{1,8}\S{1,128}+[ \t]{1,8}password)[ \t]{1,8}(?=[^\s=:])"
)
# `wandb login KEY`: the key is a separate word, often after a switch.
_LOGIN = re.compile(r"\bwandb[ \t]{1,8}login[ \t]{1,8}(?:--(?:relogin|cloud|verify)[ \t]{1,8}){0,3}(?=[^\s-])")
_SHORT_PASSWORD = re.compile(rf"(?<!\S)-p(?:{SPACE}|=)?(?=[^\s-])")
_USER = re.compile(rf"(?<!\S)(?:-u|--user|--proxy-user|--auth)(?:{SPACE}|=)?(?=[^\s-])")
_HEADER = re.compile(
    r"\b((?:proxy-)?authorization|(?:set-)?cookie)(\\{0,3}[\"'])?[ \t]{0,4}[:=][ \t]{0,4}(\\{0,3}[\"'])?"
    r"((?:bearer|basic|token|digest|apikey|api-key|negotiate|aws4-hmac-sha256|signature|bot|key|aws|ssws|hmac|oauth|jwt|pat"
    r"|shared-?key(?:-?lite)?|sharedaccesssignature|genie-?key)(?:\\?[ \t]){1,4})?",
    re.IGNORECASE,
)
_BEARER = re.compile(r"\b(?:bearer|basic)[ \t]++([A-Za-z0-9._~+/=-]{16,}+)", re.IGNORECASE)
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30}+)://")
_AUTHORITY = re.compile(r"[^\s/?#\"'<>`]{0,8192}+")
_URL_WORD = re.compile(r"[^\s\"'<>`]*+")
_PARAMETER = re.compile(
    r"(?<=[?&;])(?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|sig|signature|AWSAccessKeyId|Policy"
    r"|Key-Pair-Id)=([^&#\s\"'<>`]++)",
    re.IGNORECASE,
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN[ A-Z0-9_-]{0,40}PRIVATE[ ]KEY(?:[ ]BLOCK)?-----"
    r"(?:[\s\\nr]*+(?:Proc-Type|DEK-Info|Comment|Version|Hash):[^\n\\]{0,200})*+"
    r"(?:[A-Za-z0-9+/=\\\s,:]++(?:-----END[A-Z0-9 ]{1,40}-----)?)?+"
)
_SEVERAL = re.compile(r"([^,=]{1,256}+),[A-Za-z_]\w{0,64}=")
_CLOSES = {",": ",,", "}": "{", "]": "[", ")": "("}
_MOST_AUTHORITY = 8192
_WEB = frozenset({"http", "https", "ssh", "git"})
_PLAIN_WORDS = re.compile(r"(?:[A-Za-z0-9_./+~][A-Za-z0-9_./+~-]*+(?:\n|\Z))++")
_ANY_SHAPE = Hints(lambda: (*map(re.escape, all_keywords()), _HINT.pattern, "://", "[?&]", "PRIVATE KEY"))
"""What `find_secrets` looks for before it calls each scanner."""
_ANY_KEYWORD = Hints(lambda: map(re.escape, all_keywords()))
"""What `known_tokens` looks for."""


def find_secrets(text: str) -> Iterator[Span]:
    """Yield every secret of a built-in shape. Spans may overlap and are in no particular order."""
    if not may_hold_secrets(text):
        return
    if _ANY_KEYWORD.may_be_in(text):
        yield from known_tokens(text)
    if _PLAIN_WORDS.fullmatch(text):
        return
    if "://" in text:
        yield from _url_credentials(text)
    if "=" in text and ("?" in text or "&" in text):
        for match in _PARAMETER.finditer(text):
            yield Span(*match.span(1), "presigned-url", context=match.start())
    if "PRIVATE KEY" in text:
        for match in _PRIVATE_KEY.finditer(text):
            yield Span(*match.span(), "private-key", "[PRIVATE_KEY_REDACTED]")
    if _HINT.search(text):
        quoted = QuotedText(text)
        if "=" in text or ":" in text:
            yield from _named_values(quoted)
        yield from _flag_values(quoted)
        if _may_hold_header(text):
            yield from _headers(quoted)
        if "-p" in text or "-u" in text or "--auth" in text:
            yield from _short_options(quoted)
        yield from option_secrets(quoted)


def may_hold_secrets(text: str) -> bool:
    """Return False only if `find_secrets` finds nothing in any line of the text."""
    return _ANY_SHAPE.may_be_in(text)


def are_harmless_words(text: str) -> bool:
    """Return True only if `find_secrets` finds nothing in any line, because each is one word, such as a path.

    A word without spaces, quotes and the signs of assignments, addresses and options can only be a token of a known
    form, which has a keyword.
    """
    return _PLAIN_WORDS.fullmatch(text) is not None and not _ANY_KEYWORD.may_be_in(text)


def _named_values(quoted: QuotedText) -> Iterator[Span]:
    """Yield secrets in `NAME=value`, `name: value`, `"name": "value"`, `\\"name\\": \\"value\\"`."""
    text, done = quoted.text, 0
    for match in _SEPARATOR.finditer(text):
        if match.end() <= done:
            continue
        before = text[max(done, match.start() - NAME_REACH) : match.start()]
        name = before[len(before.rstrip(_NAME_LETTERS)) :].lstrip("-")
        kind = secrecy(_with_owner(name, before)) if name else Secrecy.NONE
        if kind is Secrecy.NONE or name.lower().endswith("authorization"):  # `_headers` keeps its scheme
            continue
        start = match.start() - len(name)
        extent = _unquoted_value(quoted.value(match.end(), name=start), match)
        value = quoted.examined(extent)
        if is_secret_value(value, kind) or is_secret_value(_first_of_several(value), kind):
            done = extent.end
            if match[0] == "=":
                extent = _with_quotes(text, match.end(), extent)
            yield Span(*extent, "named-value", context=start)


def _with_owner(name: str, before: str) -> str:
    """Return the name with its owner if it is a bare `key`: `wandb.key` is the key of wandb."""
    owner, dot, _name = before.rpartition(name)[0].rpartition(".")
    if name.lower() != "key" or not dot:
        return name
    return f"{owner[len(owner.rstrip(_NAME_LETTERS)) :]}_{name}"


def _first_of_several(value: str) -> str:
    """Return `a1b2` of `API_KEY=a1b2,MODE=x`; the whole value is hidden, because a password may look like this."""
    several = _SEVERAL.match(value)
    return several[1] if several else ""


def _with_quotes(text: str, position: int, extent: Extent) -> Extent:
    """Return the value including quotes that directly enclose it; roar-cli removes them, too."""
    if extent.start == position + 1 and text[position] == text[extent.end : extent.end + 1]:
        return Extent(position, extent.end + 1)
    return extent


def _unquoted_value(extent: Extent, match: re.Match[str]) -> Extent:
    """Return the extent of an unquoted value, which in a mapping ends before a closing comma or bracket."""
    text = match.string
    end = extent.end
    if extent.start == match.end() and ":" in match[0]:
        while end > extent.start and text[end - 1] in _CLOSES:
            if _CLOSES[text[end - 1]] in text[extent.start : min(end, extent.start + MOST_EXAMINED)]:
                break  # opened within the value
            end -= 1
    return Extent(extent.start, end)


def _flag_values(quoted: QuotedText) -> Iterator[Span]:
    """Yield `--password value`, `-api_key value`; the result is `--password=[REDACTED]`, as roar-cli writes it."""
    text = quoted.text
    for match in _FLAG.finditer(text):
        kind = secrecy(match[1])
        if kind is Secrecy.NONE:
            continue
        extent = quoted.value(match.end(), name=match.end())
        if is_secret_value(quoted.examined(extent), kind):
            end = _with_quotes(text, match.end(), extent).end
            yield Span(match.end(1), end, "argument", "=[REDACTED]", context=match.start())
    if "login" not in text and "aws_se" not in text:
        return
    for pattern, kind in ((_SPACED, Secrecy.PASSWORD), (_LOGIN, Secrecy.TOKEN)):
        for match in pattern.finditer(text):
            extent = quoted.value(match.end(), name=match.end())
            if is_secret_value(quoted.examined(extent), kind):
                yield Span(*extent, "argument", context=match.start())


def _headers(quoted: QuotedText) -> Iterator[Span]:
    """Yield secrets in `Authorization: Bearer …`, with any scheme, and in cookies."""
    text, done = quoted.text, 0
    for match in _HEADER.finditer(text):
        if match.end() <= done:
            continue
        extent = _header_value(quoted, match)
        known = match[4] is not None or "cookie" in match[1].lower()
        value = quoted.examined(extent)
        done = extent.end
        if is_secret_value(value, Secrecy.PASSWORD) and (known or is_secret_value(value, Secrecy.TOKEN)):
            yield Span(*extent, "authorization-header", context=match.start())
    for match in _BEARER.finditer(text):
        if is_secret_value(match[1], Secrecy.TOKEN):
            yield Span(*match.span(1), "bearer-token", context=match.start())


def _may_hold_header(text: str) -> bool:
    """Return False only if `_headers` finds nothing. Other letters than those of ASCII may match these in their way."""
    lowered = text.lower()
    return not text.isascii() or any(word in lowered for word in ("authorization", "cookie", "bearer", "basic"))


def _header_value(quoted: QuotedText, match: re.Match[str]) -> Extent:
    """Return the extent to the end of the quoted region or line that holds the header."""
    text, start = quoted.text, match.end()
    if match[3] and match[3].startswith("\\"):
        closing = text.find(match[3], start)
        return Extent(start, closing if closing >= 0 else len(text))
    region = quoted.region(start)
    if region is None:
        return quoted.value(start, name=start)
    line = text.find("\n", start, region.end)
    escaped = text.find('\\"', start, region.end)
    return Extent(start, min(end for end in (line, escaped, region.end) if end >= 0))


def _short_options(quoted: QuotedText) -> Iterator[Span]:
    """Yield `-p password` of any program if the value can be nothing else, and `-u user:password`."""
    text = quoted.text
    for match in _SHORT_PASSWORD.finditer(text):
        extent = quoted.value(match.end(), name=match.end())
        value = quoted.examined(extent)
        if is_secret_value(value, Secrecy.VAGUE) if match[0] == "-p" else is_opaque(value):
            yield Span(*extent, "password-option", context=match.start())
    for match in _USER.finditer(text):
        extent = quoted.value(match.end(), name=match.end())
        colon = text.find(":", extent.start, min(extent.end, extent.start + MOST_USER))
        if colon > 0 and is_secret_value(text[colon + 1 : min(extent.end, colon + MOST_EXAMINED)], Secrecy.PASSWORD):
            yield Span(colon + 1, extent.end, "user-option", context=match.start())


def _url_credentials(text: str) -> Iterator[Span]:
    """Yield secrets in `scheme://user:password@host` and `scheme://token@host`."""
    word_end = 0
    for match in _URL.finditer(text):
        start = match.end()
        authority = _AUTHORITY.match(text, start)
        end = authority.end() if authority else start
        at = text.rfind("@", start, end)
        colon = text.find(":", start, at if at >= 0 else end)
        web = match[1].lower() in _WEB
        if colon >= 0 and ((at >= 0 and not web) or (at < 0 and not text[colon + 1 : end].isdigit())):
            # The password may hold a delimiter, which needs no escape in a connection string.
            if start >= word_end:
                word = _URL_WORD.match(text, start)
                word_end = word.end() if word else end
            end = min(word_end, start + _MOST_AUTHORITY)
            question = text.find("?", max(at, colon), end)
            later = text.rfind("@", colon, question if question >= 0 else end)
            at = later if later >= 0 else text.rfind("@", colon, end)
        if at < 0:
            continue
        yield from _userinfo(text, match[1].lower(), start, colon if colon >= 0 else at, at)


def _userinfo(text: str, scheme: str, start: int, colon: int, at: int) -> Iterator[Span]:
    user, password = text[start:colon], text[colon + 1 : at]
    if colon == at:
        # A user without a password may be a token, but not `git`, which is common.
        if user and user != "git" and "[" not in user and (scheme in _WEB or is_opaque(user)):
            yield Span(start, at, "url-userinfo", context=start)
    elif not password or is_opaque(user):
        if user and "[" not in user:
            yield Span(start, at, "url-credentials", context=start)
    elif "REDACTED]" not in password and not re.fullmatch(r"\$\{[^}]*\}|\$[A-Z_][A-Z0-9_]*|\{\{.*\}\}", password):
        yield Span(colon + 1, at, "url-credentials", context=start)
