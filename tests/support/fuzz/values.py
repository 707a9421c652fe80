"""Values that a program may choke on, and the places in a JSON document where they can stand."""

import json
import random
from collections.abc import Callable
from typing import Any

ESC = "\x1b"
TERMINAL = (
    f"{ESC}]0;owned\x07",
    f"{ESC}[2J{ESC}[H",
    f"{ESC}]8;;http://evil.example/{ESC}\\click{ESC}]8;;{ESC}\\",
    f"{ESC}P+q544e{ESC}\\",
    "\x9b31m",
    "\rPublished 6 jobs",
    "a\x08b\x7f\x00c",
    "\u202eedoc\u202c",
    "\u2028\u2029\u0085",
)
TEXTS = (
    "",
    " ",
    "null",
    "NaN",
    "-1",
    "1e999",
    "'; DROP TABLE jobs; --",
    "<script>alert(1)</script>",
    "[red]markup[/red] [link=http://evil.example]x[/link]",
    "{0} {what} %s %n %(x)s",
    "../../../../etc/passwd",
    "a/b?c#d",
    "a\r\nSet-Cookie: x=1",
    "\ud800",
    "\udfff tail",
    "\ufeff",
    "\U0010ffff",
    "İ",
    "e\u0301" * 40,
    "0" * 64,
    "F" * 64,
    "sha256:" + "a" * 64,
    "http://evil.example/",
    "https://user:pass@evil.example:99999/\x1b[1m",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "closed",
    "active",
    "true",
    "private",
)
NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**63) - 1,
    2**64,
    10**100,
    10**4_000,
    1.5,
    -0.0,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    float("-inf"),
)
LITTLE: tuple[Any, ...] = (None, True, False, [], {}, [[]], [{}], {"": ""}, [None], [True], [1], ["x"])
DEEP = 3_000
"""Levels that no parser which recurses survives."""


def hostile_text(rng: random.Random) -> str:
    """A text; long ones are up to 100 kB."""
    kind = rng.randrange(8)
    if kind < 3:
        return rng.choice(TERMINAL)
    if kind < 6:
        return rng.choice(TEXTS)
    if kind == 6:
        return "".join(chr(rng.choice((rng.randrange(0x20, 0x7F), rng.randrange(0x300)))) for _ in range(20))
    return rng.choice(("A", "\x1b[1m", "é", "[", "\u202e")) * rng.choice((300, 5_000, 100_000))


def hostile_value(rng: random.Random) -> Any:
    """Any JSON value, NaN and lone surrogates among them."""
    kind = rng.randrange(10)
    if kind < 4:
        return hostile_text(rng)
    if kind < 6:
        return rng.choice(NUMBERS)
    if kind < 8:
        return rng.choice(LITTLE)
    if kind == 8:
        return [hostile_text(rng)[:500] for _ in range(rng.choice((1, 3, 400)))]
    return {hostile_text(rng)[:300]: rng.choice(NUMBERS) for _ in range(rng.choice((1, 3, 50)))}


def deep(rng: random.Random, levels: int = DEEP) -> str:
    """JSON text that nests."""
    return rng.choice(('{"data":', "[", '{"a":[', '{"error":')) * levels


def mutated(rng: random.Random, document: Any, note: Callable[[str], None]) -> Any:
    """The document with one node changed, dropped, wrapped or doubled."""
    copy = json.loads(json.dumps(document))
    places = list(_places(copy))
    if not places or rng.random() < 0.1:
        value = rng.choice(([copy], {"data": copy}, {"success": False, **_as_object(copy)}, hostile_value(rng)))
        note(f"the whole document becomes {short(value)}")
        return value
    parent, key = rng.choice(places)
    kind = rng.randrange(10)
    if kind < 7:
        parent[key] = hostile_value(rng)
        note(f"{key!r} becomes {short(parent[key])}")
    elif kind == 7:
        del parent[key]
        note(f"{key!r} is dropped")
    elif kind == 8:
        parent[key] = rng.choice(([parent[key]], {"value": parent[key]}, str(parent[key]), [parent[key]] * 50))
        note(f"{key!r} is wrapped: {short(parent[key])}")
    else:
        other, name = rng.choice(places)
        parent[key] = json.loads(json.dumps(other.get(name) if isinstance(other, dict) else name))
        note(f"{key!r} becomes the value of {name!r}")
    return copy


def short(value: Any) -> str:
    """A value as it stands in a description."""
    if isinstance(value, int) and abs(value) > 10**50:
        return "a huge integer"
    text = ascii(value[:100] if isinstance(value, str | list) else value)
    return text if len(text) < 100 else f"{text[:100]}…"


def _as_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _places(node: Any) -> Any:
    """(container, key or index) of every value below `node`."""
    entries = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(entries):
        yield node, key
        yield from _places(value)
