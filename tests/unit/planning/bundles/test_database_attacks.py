"""Journals that export does not write: schemas with code, cyclic pages, values of any type in every column."""

import json
import sqlite3
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.state.portable import JOURNAL
from tests.support.bundles.forge import Members, columns, fitting, tar, with_json, with_record, with_sql, with_value
from tests.support.sampling import sample
from tests.unit.planning.bundles.conftest import Attack, Harmless

FORGET_MIGRATIONS = "DELETE FROM _sqlite_migrations WHERE name > 'm004'"
"""Makes a journal look like one of an older release that is not migrated yet."""
SCHEMAS: dict[str, str | list[str]] = {
    "a trigger that fires in a migration": [
        "CREATE TRIGGER act AFTER UPDATE ON progress BEGIN UPDATE plan SET destination = 'file:///tmp'; END",
        FORGET_MIGRATIONS,
    ],
    "a trigger on what an import writes": "CREATE TRIGGER act AFTER UPDATE ON plan BEGIN DELETE FROM units; END",
    "a trigger on the table of migrations": (
        "CREATE TRIGGER act AFTER INSERT ON _sqlite_migrations BEGIN DELETE FROM units; END"
    ),
    "a view in the place of a table": ["ALTER TABLE plan RENAME TO p", "CREATE VIEW plan AS SELECT * FROM p"],
    "a view besides": "CREATE VIEW more AS SELECT load_extension('x')",
    "a virtual table": "CREATE VIRTUAL TABLE more USING fts5(a)",
    "an index on an expression": "CREATE INDEX i ON units (abs(items))",
    "an index": "CREATE INDEX i ON units (kind)",
    "a partial index": "CREATE INDEX i ON units (kind) WHERE acked",
    "a generated column": "ALTER TABLE units ADD COLUMN more AS (zeroblob(100000000))",
    "a column": "ALTER TABLE plan ADD COLUMN more TEXT",
    "a column of another name": "ALTER TABLE plan RENAME COLUMN target TO aim",
    "a table": "CREATE TABLE more (a)",
    "a table with a check": "CREATE TABLE more (a CHECK (length(zeroblob(a)) > 0))",
    "statistics": "ANALYZE",
    "no table of units": "DROP TABLE units",
    "no table of objects": "DROP TABLE objects",
    "no table of migrations": "DROP TABLE _sqlite_migrations",
    "migrations in another order": "UPDATE _sqlite_migrations SET name = name || 'x' WHERE id = 2",
    "a migration that is missing": "DELETE FROM _sqlite_migrations WHERE id = 2",
    "fewer migrations than columns": FORGET_MIGRATIONS,
    "no migrations": "DELETE FROM _sqlite_migrations",
    "no plan": "DELETE FROM plan",
    "two plans": "INSERT INTO plan (id) VALUES ('x')",
    "no progress": "DELETE FROM progress",
    "two queues": "INSERT INTO queue DEFAULT VALUES",
    "no events": "DELETE FROM events",
    "no units": "DELETE FROM units",
    "no objects": "DELETE FROM objects",
    "a gap between units": "UPDATE units SET seq = seq + 1000",
    "a unit that waits for itself": "UPDATE units SET after = seq",
    "links without a job": "UPDATE units SET job_uid = NULL",
    "a job for everything": "UPDATE units SET job_uid = 'x'",
    "fewer jobs than planned": "DELETE FROM units WHERE kind = 'jobs'",
    "acknowledged twice": "UPDATE units SET acked = 2",
    "a state without its history": "UPDATE progress SET state = 'finalize'",
    "a publish that is over": "UPDATE progress SET state = 'done'",
    "a history that jumps": "UPDATE events SET source = 'stage' WHERE id = 2",
    "an event that leads elsewhere": "UPDATE events SET target = 'done' WHERE id = 3",
    "another epoch": "UPDATE progress SET epoch = 7",
    "no identity": "UPDATE progress SET identity = NULL",
    "an identity without a hash": "UPDATE progress SET identity = 'treqs:user:mallory'",
    "a scope that was not asked for": (
        'UPDATE progress SET scope_request = \'{"owner_id": "m", "owner_type": "user", "visibility": "public"}\''
    ),
    "a session that leads out of the path": "UPDATE progress SET remote_session = '../../auth/refresh'",
    "a session with a query": "UPDATE progress SET remote_session = 'x?a=b'",
    "a job that leads out of the path": "UPDATE units SET job_uid = '../../x' WHERE kind = 'inputs'",
    "a debt": 'UPDATE progress SET owed = \'[{"what": "git tag", "why": "", "reason": "", "command": "rm"}]\'',
    "another publish's progress": "UPDATE progress SET id = 'ffffffff'",
    "another id": "UPDATE plan SET id = 'ffffffff'",
    "an address of an object elsewhere": "UPDATE objects SET url = 'https://elsewhere.example/x'",
    "a key that leads out": "UPDATE objects SET key = '../../home/.ssh/authorized_keys' WHERE seq = 1",
    "an absolute key": "UPDATE objects SET key = '/etc/cron.d/x' WHERE seq = 1",
    "an empty key": "UPDATE objects SET key = '' WHERE seq = 1",
    "a destination that leads out": "UPDATE plan SET destination = 'file:///tmp/a/../b'",
    "a destination that is none": "UPDATE plan SET destination = 'ssh://host/x'",
    "objects without a destination": "UPDATE plan SET destination = NULL",
    "a registry without a scheme": "UPDATE plan SET registry = 'registry.example'",
    "a registry in another notation": "UPDATE plan SET registry = 'https://registry.example/'",
    "a registry with a line break": "UPDATE plan SET registry = 'https://registry.example' || char(10)",
    "a negative count": "UPDATE plan SET jobs = -1",
    "a count that is wrong": "UPDATE plan SET jobs = 1",
    "a project that is relative": "UPDATE plan SET project = 'x'",
    "a project with a detour": "UPDATE plan SET project = '/home/../etc'",
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_journal_that_export_does_not_write_is_refused(
    name: str, members: Members, attacks: Attack, scratch: Path
) -> None:
    attacks(tar(with_sql(members, scratch, SCHEMAS[name])))


def test_a_registry_url_with_a_password_or_without_tls_is_refused(
    members: Members, attacks: Attack, scratch: Path
) -> None:
    for address in ("http://registry.example", "https://user:password@registry.example"):
        forged = with_value(members, scratch, "plan", "registry", address)
        attacks(tar(forged), 2, "registry")


# ------------------------------------------------------------------------------------------------------- every column

ESCAPE = "\x1b]0;title\x07\n"
SOME = 2
"""How many values of each list are tried in each column by default."""
WRONG: dict[str, list[object]] = {
    "TEXT": [b"\x00\xff", 5, 5.5, "x" * 1_000_001, "\0"],
    "INTEGER": [b"\x00\xff", "text", 5.5, -(2**62), float("inf")],
    "REAL": [b"\x00\xff", "text", -1.0, 1e300, float("inf")],
    "BLOB": ["text", 5, 5.5, None, b"", b"\x00\xff"],
}
"""Values that no column of a declared type may hold."""
ANYTHING: list[object] = [None, "", ESCAPE, 2**63 - 1, 0, "../../x", "a" * 5_000, "[]", "{}", "null", '{"a": NaN}']
"""Values that some columns may hold: the bundle is refused or accepted."""


def with_any_value(members: Members, scratch: Path, table: str, column: str, value: object) -> Members | None:
    """Return None if SQLite itself refuses the value, or converts it to the declared type."""
    try:
        return with_value(members, scratch, table, column, value)
    except sqlite3.Error:
        return None


@pytest.mark.parametrize(("table", "column", "declared"), columns())
def test_a_value_of_another_type_is_refused(
    table: str, column: str, declared: str, members: Members, attacks: Attack, scratch: Path
) -> None:
    for value in sample(f"wrong {table}.{column}", WRONG[declared], SOME):
        if declared == "TEXT" and isinstance(value, int | float):
            continue  # SQLite keeps it as a text
        forged = with_any_value(members, scratch, table, column, value)
        if forged is not None:
            attacks(tar(forged))


@pytest.mark.parametrize(("table", "column", "declared"), columns())
def test_any_value_is_accepted_or_refused(
    table: str, column: str, declared: str, members: Members, harmless: Harmless, scratch: Path
) -> None:
    for value in sample(f"{table}.{column}", ANYTHING, SOME):
        forged = with_any_value(members, scratch, table, column, value)
        if forged is not None:
            harmless(tar(forged))


# ----------------------------------------------------------------------------------------------------- JSON in columns


def test_json_of_a_wrong_shape_is_refused(members: Members, attacks: Attack, scratch: Path) -> None:
    changes: list[tuple[str, str, Callable[[Any], Any]]] = [
        ("plan", "intent", lambda intent: intent | {"flag": "--everything"}),
        ("plan", "intent", lambda intent: intent | {"more": 1}),
        ("plan", "intent", lambda intent: intent | {"registry_named_by": "--registry"}),
        ("plan", "intent", lambda intent: {"flag": "--public"}),
        ("plan", "intent", lambda intent: intent | {"scope": intent["scope"] | {"mode": "project"}}),
        ("plan", "intent", lambda intent: intent | {"scope": intent["scope"] | {"owner_id": 5}}),
        ("plan", "intent", lambda intent: intent | {"scope": intent["scope"] | {"visibility": "all"}}),
        ("plan", "provisional", lambda found: {}),
        ("plan", "provisional", lambda found: found | {"x": "no hash"}),
        ("plan", "redactions", lambda found: {"shape": "many"}),
        ("plan", "tags", lambda tags: [["refs/heads/main", tags[0][1], "origin", "x"]]),
        ("plan", "tags", lambda tags: [[tags[0][0], "--upload-pack=x", "origin", "x"]]),
        ("plan", "tags", lambda tags: [[tags[0][0], "0" * 40, "origin", "x"]]),
        ("plan", "tags", lambda tags: [[*tags[0][:2], "--receive-pack=x", "x"]]),
        ("plan", "tags", lambda tags: [[*tags[0][:2], "ext::sh -c x", "x"]]),
        ("plan", "tags", lambda tags: [tags[0][:3]]),
        ("plan", "tags", lambda tags: [[1, 2, 3, 4]]),
        ("plan", "tags", lambda tags: {"a": 1}),
        ("progress", "capabilities", lambda found: {"anonymous_public": "yes"}),
        ("progress", "capabilities", lambda found: []),
        ("objects", "content", lambda content: content | {"blake3": "0" * 64}),
        ("objects", "content", lambda content: content | {"path": "relative"}),
        ("objects", "content", lambda content: content | {"path": content["path"] + "/../../x"}),
        ("objects", "content", lambda content: content | {"part_blake3s": []}),
        ("objects", "content", lambda content: content | {"part_bytes": 0}),
        ("objects", "content", lambda content: content | {"part_bytes": 1}),
        ("objects", "content", lambda content: content | {"fence": content["fence"] | {"size": 1}}),
        ("objects", "content", lambda content: content | {"fence": [1, 2, 3, 4]}),
        ("objects", "content", lambda content: content | {"fence": content["fence"] | {"inode": "1"}}),
        ("objects", "content", lambda content: {}),
    ]
    for table, column, change in changes:
        attacks(tar(with_json(members, scratch, table, column, change)))


RECORDS: dict[str, Callable[[Any], Any]] = {
    "a column's name that is a statement": lambda record: (
        record
        | {"datasets": [record["datasets"][0] | {"index": record["datasets"][0]["index"] | {"a) VALUES (1); --": 1}}]}
    ),
    "an index without its fields": lambda record: record | {"datasets": [record["datasets"][0] | {"index": {}}]},
    "a size that is a text": lambda record: record | {"files": [record["files"][0] | {"size": "9"}]},
    "a file that is not stored": lambda record: record | {"files": [record["files"][0] | {"url": "file:///etc/x"}]},
    "a file of another size": lambda record: record | {"files": [record["files"][0] | {"size": 1}]},
    "files that are none": lambda record: record | {"files": [1, 2]},
    "files that are no list": lambda record: record | {"files": "abc"},
    "datasets that are no list": lambda record: record | {"datasets": None},
    "components that are none": lambda record: record | {"datasets": [record["datasets"][0] | {"components": [1]}]},
    "read that is no pair": lambda record: record | {"read": [["a"]]},
    "another session": lambda record: record | {"session": record["session"] + 1},
    "a session that is a text": lambda record: record | {"session": "1"},
    "a step that is none": lambda record: record | {"step_number": 2**40},
    "a time that is none": lambda record: record | {"timestamp": "now"},
    "a uid that leads out": lambda record: record | {"job_uid": "../x"},
    "a command that is a list": lambda record: record | {"command": ["rm"]},
    "a command of megabytes": lambda record: record | {"command": "x" * 2_000_000},
    "a label that is a text": lambda record: record | {"label": "x"},
    "no label": lambda record: {name: value for name, value in record.items() if name != "label"},
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_a_put_does_not_write_is_refused(name: str, members: Members, attacks: Attack) -> None:
    attacks(tar(with_record(members, RECORDS[name])))


def test_a_record_without_a_put_is_refused(members: Members, attacks: Attack, scratch: Path) -> None:
    attacks(tar(with_sql(members, scratch, ["DELETE FROM objects", "UPDATE plan SET destination = NULL"])))


# ------------------------------------------------------------------------------------------------------------- bodies


def packed(value: object) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode())


JOB = {"command": "x", "job_uid": "a", "step_number": 1}
BODIES: dict[str, bytes] = {
    "no JSON": zlib.compress(b"[{"),
    "JSON that nests": zlib.compress(b"[" * 100_000),
    "numbers of many digits": zlib.compress(b"[" + b"9" * 100_000 + b"]"),
    "no list": packed({"jobs": []}),
    "a list of texts": packed(["x"]),
    "no items": packed([]),
    "a job without a uid": packed([{"command": "x"}]),
    "a uid with a space": packed([JOB | {"job_uid": "a b"}]),
    "a command that is a number": packed([JOB | {"command": 5}]),
    "a step that is a text": packed([JOB | {"step_number": "1"}]),
    "a time that is not a number": zlib.compress(b'[{"command":"x","job_uid":"a","timestamp":NaN}]'),
    "a key twice": zlib.compress(b'[{"command":"x","job_uid":"a","job_uid":"b"}]'),
    "spaces": zlib.compress(b'[ {"command": "x", "job_uid": "a"} ]'),
    "more behind its end": packed([JOB]) + b"more",
    "half of it": packed([JOB])[:-5],
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_a_plan_does_not_hold_is_refused(
    name: str, members: Members, attacks: Attack, scratch: Path
) -> None:
    attacks(tar(with_body(members, scratch, BODIES[name])))


def test_a_body_that_is_a_bomb_is_refused(members: Members, attacks: Attack, scratch: Path) -> None:
    attacks(tar(with_body(members, scratch, zlib.compress(b'["' + b" " * 200_000_000 + b'"]', 9))))


def with_body(members: Members, scratch: Path, body: bytes) -> Members:
    scratch.write_bytes(members[JOURNAL])
    connection = sqlite3.connect(scratch, isolation_level=None)
    connection.execute("UPDATE units SET body = ?, items = 1 WHERE kind = 'jobs'", [body])
    connection.execute("UPDATE plan SET jobs = (SELECT count(*) FROM units WHERE kind = 'jobs')")
    connection.close()
    return fitting(members | {JOURNAL: scratch.read_bytes()})


NESTED = "replace(hex(zeroblob(100000)), '00', '[')"


@pytest.mark.parametrize(
    ("table", "column"), [("plan", "intent"), ("progress", "capabilities"), ("progress", "scope_request")]
)
def test_a_value_that_nests_is_refused(
    table: str, column: str, members: Members, attacks: Attack, scratch: Path
) -> None:
    attacks(tar(with_sql(members, scratch, [f"UPDATE {table} SET {column} = {NESTED}"])))


# -------------------------------------------------------------------------------------------------------------- pages


def page_size(journal: bytes) -> int:
    return int(struct.unpack(">H", journal[16:18])[0])


def interior(journal: bytes, page: int, child: int) -> bytes:
    """Return the journal with page `page` (from 1) as an interior page whose every entry points to `child`."""
    size, start = page_size(journal), (page - 1) * page_size(journal)
    offset = 100 if page == 1 else 0
    entries = (size - offset - 12) // 8
    content = bytearray(journal[start : start + offset]) + bytearray(size - offset)
    content[offset : offset + 12] = struct.pack(">BHHHBI", 5, 0, entries, size - 5 * entries, 0, child)
    for number in range(entries):
        place = size - 5 * (number + 1)
        content[place : place + 5] = struct.pack(">IB", child, number % 128)
        content[offset + 12 + 2 * number : offset + 14 + 2 * number] = struct.pack(">H", place)
    return journal[:start] + bytes(content) + journal[start + size :]


def test_cyclic_or_multiplying_pages_are_refused(members: Members, attacks: Attack) -> None:
    journal = members[JOURNAL]
    size = page_size(journal)
    pages = len(journal) // size
    forged = [interior(journal, page, child) for page in range(1, pages + 1) for child in (1, page, pages)]
    deep = journal + journal[:size] * 6  # every page leads many times to the next: more rows than anything can read
    for level in range(1, 6):
        deep = interior(deep, 1 if level == 1 else pages + level, pages + level + 1)
    for content in [*forged, deep]:
        attacks(tar(fitting(members | {JOURNAL: content})))


def test_noise_in_the_database_is_accepted_or_refused(members: Members, harmless: Harmless) -> None:
    journal = members[JOURNAL]
    for content in (b"", b"SQLite format 3\0", journal[:4096], journal[:-4096], b"noise" * 2000):
        assert harmless(tar(fitting(members | {JOURNAL: content}))).code == 1
    for place in range(16, 100, 4):
        forged = journal[:place] + b"\xff\xff\xff\xff" + journal[place + 4 :]
        harmless(tar(fitting(members | {JOURNAL: forged})))
