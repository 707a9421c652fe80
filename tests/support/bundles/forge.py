"""Forge bundles from a valid one: other members, another schema, other values."""

import hashlib
import io
import json
import sqlite3
import tarfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from roar_publisher.state.bundle import MANIFEST
from roar_publisher.state.portable import JOURNAL, RECORD

Members = dict[str, bytes]


def members_of(bundle: Path) -> Members:
    """Return the contents of a valid bundle."""
    with tarfile.open(bundle) as archive:
        found = {}
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
        return found


def fitting(members: Mapping[str, bytes], **changes: object) -> Members:
    """Return the members with a matching manifest, and with changes to it."""
    manifest = json.loads(members[MANIFEST])
    manifest["files"] = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in members.items()
        if name != MANIFEST
    }
    return {MANIFEST: json.dumps(manifest | changes).encode()} | {
        name: content for name, content in members.items() if name != MANIFEST
    }


def tar(
    members: Mapping[str, bytes],
    change: Callable[[tarfile.TarInfo], None] = lambda member: None,
    format: int = tarfile.GNU_FORMAT,
) -> bytes:
    """Return an archive of the members. change: applied to the header of each."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            change(member)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def with_sql(members: Members, scratch: Path, sql: str | list[str]) -> Members:
    """Return the members with the journal changed by statements. Raises sqlite3.Error if SQLite refuses one."""
    scratch.write_bytes(members[JOURNAL])
    with closing(sqlite3.connect(scratch, isolation_level=None)) as connection:
        for statement in [sql] if isinstance(sql, str) else sql:
            connection.execute(statement)
    return fitting(members | {JOURNAL: scratch.read_bytes()})


def with_value(members: Members, scratch: Path, table: str, column: str, value: object) -> Members:
    """Return the members with one value of the first row of a table changed."""
    scratch.write_bytes(members[JOURNAL])
    with closing(sqlite3.connect(scratch, isolation_level=None)) as connection:
        first = f"(SELECT min(rowid) FROM {table})"
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = {first}", [value])
    return fitting(members | {JOURNAL: scratch.read_bytes()})


def with_json(members: Members, scratch: Path, table: str, column: str, change: Callable[[Any], Any]) -> Members:
    """Return the members with the JSON in one column of the first row of a table changed."""
    scratch.write_bytes(members[JOURNAL])
    with closing(sqlite3.connect(scratch)) as connection:
        [text] = connection.execute(f"SELECT {column} FROM {table} ORDER BY rowid LIMIT 1").fetchone()
    return with_value(members, scratch, table, column, json.dumps(change(json.loads(text))))


def with_record(members: Members, change: Callable[[Any], Any]) -> Members:
    """Return the members with the record of the put changed."""
    return fitting(members | {RECORD: json.dumps(change(json.loads(members[RECORD]))).encode()})


def columns() -> list[tuple[str, str, str]]:
    """Return (table, column, declared type) of every column of a journal."""
    from roar_publisher.state.foreign_journal import TABLES
    from roar_publisher.state.schema import create

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        create(db)
        return [
            (table, row[1], row[2]) for table in TABLES for row in db.execute(f"PRAGMA table_info({table})").fetchall()
        ]
