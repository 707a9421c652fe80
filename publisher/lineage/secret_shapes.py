"""What a secret looks like: the built-in shapes of `protocol.md §8`, as data and three small scanners.

Every expression here runs in linear time over hostile text: a repetition that could be retried from many places is
possessive, bounded, or anchored by what stands before it.  (roar's own expressions are not; the results are the same
or stricter.)  The order of the shapes matters: a later one may widen what an earlier one marked.
"""

import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

MARK = "[REDACTED]"
_MARKED = re.compile(r"\[(?:[A-Z_]+_)?REDACTED\]")
_NAME_REACH = 128
"""How many characters of a name before `=` are looked at."""
_NAME_LETTERS = string.ascii_letters + string.digits + "_-"

_WORD = r"(?:key|token|secret|password|passwd|pwd|credential|auth)"
_WORD_CAPITALISED = r"(?:Key|Token|Secret|Password|Passwd|Pwd|Credential|Auth)"
_WORD_UPPER = r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|PWD|CREDENTIAL|AUTH)"
# A name denotes a secret when it holds one of the words *as a word*: between delimiters (api_key), at a change of case
# (apiKey, authToken) or in a run of capitals (MYTOKEN).  `tokenizer` and `tiktoken` are words of their own.
_SECRET_NAME = re.compile(
    rf"ROAR_SESSION_ID|(?:[A-Za-z0-9]+[_-])*(?i:{_WORD})(?:[_-][A-Za-z0-9]+)*|(?:[A-Za-z][A-Za-z0-9]*)?"
    rf"{_WORD_CAPITALISED}[A-Za-z0-9]*|{_WORD}(?=[A-Z])[A-Za-z0-9]*|[A-Z0-9_]*{_WORD_UPPER}[A-Z0-9_]*"
)
_SECRET_NAME_ENDS = re.compile(
    rf"(?:ROAR_SESSION_ID|(?i:{_WORD})(?:[_-][A-Za-z0-9]+)*|{_WORD_CAPITALISED}[A-Za-z0-9]*|{_WORD}(?=[A-Z])"
    rf"[A-Za-z0-9]*|{_WORD_UPPER}[A-Z0-9_]*)\Z"
)
# A version pin is never a secret, whatever its name: `tiktoken==0.11.0`, {"auth": "2.0.0rc1"}.
_VERSION = re.compile(r"\d+(?:\.\d+)*(?:[._-]?(?:a|b|c|rc|alpha|beta|dev|post|final)\d*)*(?:\+[A-Za-z0-9._-]+)?")
_ASSIGNMENT = re.compile(r"(?<!=)=(?!=)(?=\S)")
_ASSIGNED = re.compile(r"\"[^\"\n]*+\"|'[^'\n]*+'|\S++")
_JSON_NAME = re.compile(rf"\\?[\"']([A-Za-z0-9_-]{{1,{_NAME_REACH}}})\\?[\"']\s*+:\s*+(?=\\?[\"'])")
_JSON_TEXT = re.compile(r"(\\?[\"'])([^\"'\n]*?)(?=\\?[\"'])")

_HINT = re.compile(
    r"key|token|secret|passw|pwd|credential|auth|bearer|slack|session_id|x-amz-|x-goog-|sig=|akia|sk-|hf_|glpat-"
    r"|gh[pousr]_|github_pat_|xox",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Hit:
    """One secret in a text: where it stands and what to put there.  `known` marks one that was redacted before."""

    start: int
    end: int
    replacement: str
    known: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A named way to find secrets.  Hits come in order and don't overlap."""

    id: str
    find: Callable[[str], Iterator[Hit]]


def may_hold_secret(text: str) -> bool:
    """A cheap test that no text with a built-in shape fails; most texts fail it."""
    return _HINT.search(text) is not None or ("@" in text and "://" in text)


def is_version(text: str) -> bool:
    """Whether this is a version (PEP 440) and nothing else."""
    return len(text) <= _NAME_REACH and _VERSION.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a value under this name is a secret."""
    return len(name) <= _NAME_REACH and _SECRET_NAME.fullmatch(name) is not None


@lru_cache(maxsize=4096)
def _ends_as_secret_name(name: str) -> bool:
    return _SECRET_NAME_ENDS.search(name) is not None


def is_marked(text: str) -> bool:
    """Whether this was redacted already."""
    return _MARKED.search(text) is not None


def matching(id: str, pattern: re.Pattern[str], replacement: str) -> Shape:
    """A shape that is one regular expression, with a replacement template (`\\1` keeps a group)."""

    def find(text: str) -> Iterator[Hit]:
        for match in pattern.finditer(text):
            yield Hit(match.start(), match.end(), match.expand(replacement), is_marked(match[0]))

    return Shape(id, find)


def _assignments(text: str) -> Iterator[Hit]:
    """`NAME_TOKEN=value`, as in a command line or an environment."""
    done = 0
    for match in _ASSIGNMENT.finditer(text):
        start = match.end()
        before = text[max(done, match.start() - _NAME_REACH) : match.start()]
        if start < done or not _ends_as_secret_name(before[len(before.rstrip(_NAME_LETTERS)) :]):
            continue
        value = _ASSIGNED.match(text, start)
        if value is None or is_version(value[0]):
            continue
        done = value.end()
        yield Hit(start, done, MARK, is_marked(value[0]))


def _named_json_values(text: str) -> Iterator[Hit]:
    """`"api_key": "value"` in JSON, also in JSON inside of a string."""
    for match in _JSON_NAME.finditer(text):
        if not is_secret_name(match[1]):
            continue
        value = _JSON_TEXT.match(text, match.end())
        if value is not None and not is_version(value[2]):
            yield Hit(value.start(2), value.end(2), MARK, is_marked(value[2]))


def _argument(words: str, least: int) -> re.Pattern[str]:
    return re.compile(rf"(--?(?:{words}))[=\s]+['\"]?([^\s'\"]{{{least},}})['\"]?", re.IGNORECASE)


BUILT_IN: tuple[Shape, ...] = (
    matching("aws_access_key", re.compile(r"(AKIA[A-Z0-9]{16})"), "[AWS_KEY_REDACTED]"),
    matching(
        "aws_secret_key",
        re.compile(r"(aws_secret_access_key|aws_secret)[=:\s]+['\"]?[A-Za-z0-9/+=]{40}['\"]?", re.IGNORECASE),
        rf"\1={MARK}",
    ),
    matching("github_token", re.compile(r"gh[pousr]_[A-Za-z0-9]{36,}+"), "[GITHUB_TOKEN_REDACTED]"),
    matching("github_pat", re.compile(r"github_pat_[a-zA-Z0-9]{22}_[a-zA-Z0-9]{59}"), "[GITHUB_PAT_REDACTED]"),
    matching("openai_key", re.compile(r"sk-(?:proj-)?[a-zA-Z0-9]{20,}+"), "[OPENAI_KEY_REDACTED]"),
    matching("anthropic_key", re.compile(r"sk-ant-[a-zA-Z0-9-]++"), "[ANTHROPIC_KEY_REDACTED]"),
    matching("huggingface_token", re.compile(r"hf_[A-Za-z0-9]{20,}+"), "[HF_TOKEN_REDACTED]"),
    matching("gitlab_token", re.compile(r"glpat-[A-Za-z0-9_-]{20,}+"), "[GITLAB_TOKEN_REDACTED]"),
    matching("slack_token", re.compile(r"xox[abeoprs]-[A-Za-z0-9-]{10,}+"), "[SLACK_TOKEN_REDACTED]"),
    matching("api_key_argument", _argument("api[_-]?key", 16), rf"\1={MARK}"),
    matching("token_argument", _argument("token|auth[_-]?token", 16), rf"\1={MARK}"),
    matching("password_argument", _argument("password|passwd|pwd", 1), rf"\1={MARK}"),
    matching("secret_argument", _argument("secret|secret[_-]?key", 1), rf"\1={MARK}"),
    matching("bearer_token", re.compile(r"(bearer)\s++[a-zA-Z0-9._~+/-]{20,}+=*+", re.IGNORECASE), rf"\1 {MARK}"),
    matching("url_credentials", re.compile(r"(?<=://)([^:@/\s]*+):[^@/\s\[\]]++@"), rf"\1:{MARK}@"),
    matching("url_userinfo", re.compile(r"((?:https?|ssh|git)://)(?!git@)[^:@/\s\[\]]++@"), rf"\1{MARK}@"),
    matching(
        "connection_string",
        re.compile(
            r"((?:postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?)(?:\+[a-z0-9]{1,16})?://)"
            r"([^:@\s]{1,128}):[^@\s]{1,512}@",
            re.IGNORECASE,
        ),
        rf"\1\2:{MARK}@",
    ),
    matching(
        "private_key",
        re.compile(
            r"-----BEGIN\s(?:[A-Z]{2,10}\s)?PRIVATE\sKEY-----(?:[A-Za-z0-9+/=\\\s]++(?:-----END[A-Z ]{1,40}-----)?)?+"
        ),
        "[PRIVATE_KEY_REDACTED]",
    ),
    matching("slack_webhook", re.compile(r"(hooks\.slack\.com/services/)[A-Z0-9/]++", re.IGNORECASE), rf"\1{MARK}"),
    Shape("named_assignment", _assignments),
    Shape("named_json_value", _named_json_values),
    matching(
        "presigned_url",
        re.compile(
            r"([?&](?:X-(?:Amz|Goog)-(?:Signature|Credential|Security-Token)|sig)=)[^&#\s]++",
            re.IGNORECASE,
        ),
        rf"\1{MARK}",
    ),
)
