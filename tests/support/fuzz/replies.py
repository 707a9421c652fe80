"""All that may be wrong with a reply of a registry."""

import gzip
import json
import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from tests.support.fuzz.cases import Case
from tests.support.fuzz.registry import Answer, Say, Tampering
from tests.support.fuzz.values import TERMINAL, deep, hostile_text, hostile_value, mutated, short
from tests.support.fuzz.wire import Reaction, Request

STATUSES = (
    *(200, 201, 204, 206, 300, 301, 302, 303, 304, 307, 308),
    *(400, 401, 402, 403, 404, 405, 407, 408, 409, 410, 413, 418, 421, 422, 425, 426, 428, 429, 431, 451),
    *(500, 501, 502, 503, 504, 507, 511, 520, 529, 599, 999),
)
PATIENCE = (
    *("0", "1", "-5", "3599", "86400", "1e3", "1e999", "nan", "inf", "9" * 400, "٣", "1_0", "0x10", "", "soon", "\xff"),
    *("Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 -9999", "1, 2"),
    *("Mon, 99 Foo 2024 99:99:99 GMT", "Fri, 31 Dec 0000 23:59:59 +2359"),
)
PLACES = (
    *(
        "http://evil.example/take",
        "https://127.0.0.1:1/",
        "//evil.example",
        "/api/v1/other",
        "",
        "http://[::1",
        "\\\\x",
    ),
    *("http://evil.example:0x50/", "javascript:alert(1)", "file:///etc/passwd", "http://user:pass@evil.example/\x9b1m"),
    *("http://" + "a" * 5000 + "/", "http://127.0.0.1:8123@evil.example/", "http://evil.example\t/"),
)
HEAVY = ("spaces", "interim replies", "huge header", "10,000 headers", "endless body", "bomb", "with deep")
"""What costs much to make and read, so that two of it are enough: their words end so."""


@cache
def bomb() -> bytes:
    """60 kB that become 60 MB: all of it is in one read."""
    return gzip.compress(b" " * 60_000_000)


def tampering(case: Case, endpoints: tuple[str, ...]) -> Tampering:
    """A random one."""
    rng = case.rng
    endpoint = rng.choice(endpoints)
    first, times = rng.choice((1, 1, 1, 1, 2)), rng.choice((1, 1, 2, 10_000))
    case.note(f"{endpoint}, from reply {first}, {times} times:")
    kinds = (_changed, _changed, _changed, _error, _error, _patience, _redirect, _raw, _raw, _framing, _echo)
    say = rng.choice(kinds)(case)
    heavy = case.attacks[-1].endswith(HEAVY)
    return Tampering(endpoint, first, min(times, 2) if heavy else times, say)


def _json(document: Any) -> bytes:
    """As a hostile server writes it: NaN, lone surrogates and raw control characters too."""
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _changed(case: Case) -> Say:
    """The honest document with up to three nodes changed."""
    rng, times = random.Random(case.rng.random()), case.rng.choice((1, 1, 2, 3))
    loud = case.rng.random() < 0.5
    noted: list[str] = []

    def say(request: Request, document: Any) -> Answer:
        for _ in range(times):
            document = mutated(rng, document, noted.append)
        for note in noted[: 4 - len(case.attacks)]:
            case.note(note)
        noted.clear()
        return Answer(200, _json(document) if loud else json.dumps(document).encode())

    return say


def _error(case: Case) -> Say:
    status, words = case.rng.choice(STATUSES), hostile_value(case.rng)
    key = case.rng.choice(("detail", "message", "error", "errors", "data", "success", "staged_counts", "code"))
    nested = case.rng.choice((words, {"message": words}, {"detail": [words, words]}, [{"loc": [words], "msg": words}]))
    case.note(f"HTTP {status}, {key} says {short(nested)}")
    return lambda request, document: Answer(status, _json({key: nested}))


def _patience(case: Case) -> Say:
    status, value = case.rng.choice((429, 503, 503, 408, 413, 200, 500)), case.rng.choice(PATIENCE)
    date = case.rng.choice(PATIENCE)
    case.note(f"HTTP {status}, Retry-After {value!r}, Date {date!r}")
    return lambda request, document: Answer(status, b'{"detail": "later"}', [("Retry-After", value), ("Date", date)])


def _redirect(case: Case) -> Say:
    status, place = case.rng.choice((300, 301, 302, 303, 307, 308, 201, 401)), case.rng.choice(PLACES)
    case.note(f"HTTP {status} to {place[:60]!r}")
    headers = [("Location", place), ("Refresh", f"0; url={place}"), ("Set-Cookie", "a=b; Domain=evil.example")]
    return lambda request, document: Answer(status, b"<html>moved</html>", headers)


def _raw(case: Case) -> Say:
    rng = case.rng
    kinds: dict[str, Callable[[bytes], bytes]] = {
        "nothing": lambda body: b"",
        "HTML": lambda body: b"<!doctype html><title>\x1b[2J</title><script>alert(1)</script>",
        "half of it": lambda body: body[: len(body) // 2],
        "deep": lambda body: deep(rng).encode(),
        "deep and closed": lambda body: b'{"a":' * 900 + b"1" + b"}" * 900,
        "no UTF-8": lambda body: body[:-1] + b"\xff\xfe\x80",
        "UTF-16": lambda body: body.decode().encode("utf-16"),
        "UTF-32": lambda body: body.decode().encode("utf-32"),
        "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
        "twice": lambda body: body + body,
        "every key twice": _doubled,
        "raw controls": lambda body: body.replace(b'"', b'"\x1b[31m', 3),
        "NaN": lambda body: re.sub(rb"\b(\d+|true|false|null)\b", b"NaN", body),
        "huge numbers": lambda body: re.sub(rb"\b\d+\b", b"9" * 5_000, body),
        "exponents": lambda body: re.sub(rb"\b\d+\b", b"1e999999", body),
        "a megabyte of spaces": lambda body: b" " * 1_000_000 + body,
        "zeros": lambda body: b"\x00" * 500,
        "a number": lambda body: b"1",
        "a text": lambda body: json.dumps(TERMINAL[0]).encode(),
        "an escaped surrogate": lambda body: body.replace(b'": "', b'": "\\ud800', 2),
    }
    kind, status = rng.choice(list(kinds)), rng.choice((200, 200, 200, 400, 500))
    case.note(f"HTTP {status} with {kind}")
    return lambda request, document: Answer(status, kinds[kind](json.dumps(document).encode()))


def _doubled(body: bytes) -> bytes:
    return re.sub(rb'("[a-z_]+"): ("[^"]*"|true|false|null|\d+)', rb"\1: [], \1: \2", body)


def _framing(case: Case) -> Say:
    rng = case.rng
    kinds: dict[str, Callable[[Answer], Reaction]] = {
        "a shorter length": lambda a: Reaction(a.head(("Content-Length", str(len(a.body) // 2))) + a.body),
        "a longer length": lambda a: Reaction(a.head(("Content-Length", str(len(a.body) + 9))) + a.body, "close"),
        "a length that never comes": lambda a: Reaction(a.head(("Content-Length", "999")) + a.body, "silent"),
        "no number as length": lambda a: Reaction(a.head(("Content-Length", "many")) + a.body, "close"),
        "two lengths": lambda a: Reaction(a.head(("Content-Length", "3"), ("Content-Length", "4")) + a.body, "close"),
        "a length and chunks": lambda a: Reaction(
            a.head(("Content-Length", "5"), ("Transfer-Encoding", "chunked")) + b"5\r\n" + a.body
        ),
        "no length": lambda a: Reaction(a.head() + a.body, "close"),
        "broken chunks": lambda a: Reaction(a.head(("Transfer-Encoding", "chunked")) + b"zz\r\n" + a.body, "close"),
        "a huge chunk": lambda a: Reaction(a.head(("Transfer-Encoding", "chunked")) + b"f" * 30 + b"\r\n", "close"),
        "no HTTP": lambda a: Reaction(b"SSH-2.0-OpenSSH_9.6\r\n", "close"),
        "no status": lambda a: Reaction(b"HTTP/1.1 XYZ\r\n\r\n", "close"),
        "endless interim replies": lambda a: Reaction(b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000, "close"),
        "a huge header": lambda a: Reaction(a.head(("X", "y" * 500_000)) + a.body, "close"),
        "10,000 headers": lambda a: Reaction(a.head(*[("X", "y")] * 10_000) + a.body, "close"),
        "a broken header": lambda a: Reaction(b"HTTP/1.1 200 OK\r\nX \x1b[1m: \xff\r\n: y\r\n\r\n{}", "close"),
        "an endless body": lambda a: Reaction(_endless(a.head()), "close"),
        "a gzip bomb": lambda a: Reaction(_packed(a, bomb()), "open"),
        "broken gzip": lambda a: Reaction(_packed(a, b"\x1f\x8b\x08 no gzip"), "open"),
        "silence": lambda a: Reaction(b"", "silent"),
        "a closed connection": lambda a: Reaction(b"", "close"),
        "an upgrade": lambda a: Reaction(
            b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "open"
        ),
    }
    kind = rng.choice(list(kinds))
    case.note(kind)
    return lambda request, document: Answer(200, json.dumps(document).encode(), framed=kinds[kind])


def _endless(head: bytes) -> Iterator[bytes]:
    yield head
    for _ in range(400):  # 26 MB
        yield b"[" * 65_536


def _packed(answer: Answer, body: bytes) -> bytes:
    return answer.head(("Content-Encoding", "gzip"), ("Content-Length", str(len(body)))) + body


def _echo(case: Case) -> Say:
    """What the request held as credentials comes back, in words, keys, names and headers."""
    status, words = case.rng.choice((200, 400, 401, 403, 409, 500, 302)), hostile_text(case.rng)[:50]
    key = case.rng.choice(("detail", "url", "errors", "hash", "registration_session_id", "visibility", "user"))
    case.note(f"HTTP {status} repeats the credentials in {key!r}")

    def say(request: Request, document: Any) -> Answer:
        held = request.headers.get("authorization", "") + " " + request.body.decode()[:500]
        changed = {**document, key: f"{words} {held}", "detail": held, held: held}
        return Answer(
            status, _json(changed), [("Location", f"http://evil.example/{held[:200]}"), ("Warning", held[:200])]
        )

    return say
