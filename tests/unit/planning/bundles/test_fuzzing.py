"""Bundles with random changes are accepted as a whole or refused with one message."""

import random
import sqlite3
from pathlib import Path

from roar_publisher.state.bundle import MANIFEST
from roar_publisher.state.portable import JOURNAL, RECORD
from tests.support.bundles.forge import Members, columns, fitting, tar, with_value
from tests.support.sampling import EXHAUSTIVE, SEED
from tests.unit.planning.bundles.conftest import Harmless

CASES = 20_000 if EXHAUSTIVE else 150
TOKENS: list[object] = [
    None,
    -1,
    0,
    1,
    2**63 - 1,
    0.5,
    1e308,
    "",
    "../x",
    "\x1b[2J",
    "{}",
    "[]",
    "null",
    "a" * 300,
    b"\0",
]


def noise(rng: random.Random, content: bytes) -> bytes:
    """Return the content with some bytes changed, removed or inserted, or truncated."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8])):
        place = rng.randrange(len(changed) + 1)
        match rng.randrange(4):
            case 0:
                changed[place : place + 4] = rng.randbytes(4)
            case 1:
                del changed[place : place + rng.choice([1, 16, 512])]
            case 2:
                changed[place:place] = rng.randbytes(rng.choice([1, 16, 512]))
            case _:
                changed[place : place + 1] = bytes([rng.randrange(256)])
    return bytes(changed)


def forged(rng: random.Random, members: Members, scratch: Path) -> bytes:
    match rng.randrange(5):
        case 0:
            return noise(rng, tar(members))
        case 1:
            return tar(fitting(members | {JOURNAL: noise(rng, members[JOURNAL])}))
        case 2:
            return tar(fitting(members | {RECORD: noise(rng, members[RECORD])}))
        case 3:
            return tar(members | {MANIFEST: noise(rng, members[MANIFEST])})
        case _:
            table, column, _ = rng.choice(columns())
            try:
                return tar(with_value(members, scratch, table, column, rng.choice(TOKENS)))
            except sqlite3.Error:
                return tar(members)


def test_no_mutation_of_a_bundle_does_harm(members: Members, harmless: Harmless, scratch: Path) -> None:
    rng = random.Random(SEED)
    for _ in range(CASES):
        harmless(forged(rng, members, scratch))
