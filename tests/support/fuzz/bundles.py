"""All that may be wrong with a bundle: as an archive, as a database, as what its values say."""

import hashlib
import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from tests.support.fuzz.cases import Case
from tests.support.fuzz.projects import sql_value
from tests.support.fuzz.values import hostile_text, mutated, short

MANIFEST, JOURNAL, RECORD = "manifest.json", "journal.db", "put-record"
Members = dict[str, bytes]
SCHEMAS = (
    "DROP TABLE units",
    "DROP TABLE plan",
    "DELETE FROM plan",
    "DELETE FROM progress",
    "DELETE FROM units",
    "INSERT INTO plan SELECT * FROM plan",
    "CREATE TRIGGER more AFTER UPDATE ON progress BEGIN UPDATE plan SET registry = 'http://evil.localhost'; END",
    "CREATE TRIGGER more AFTER DELETE ON parts BEGIN DELETE FROM units; END",
    "CREATE VIEW more AS SELECT load_extension('evil')",
    "CREATE TABLE more(x)",
    "ALTER TABLE units ADD COLUMN more DEFAULT (hex(zeroblob(100000000)))",
    "ALTER TABLE plan RENAME TO other; CREATE VIEW plan AS SELECT * FROM other",
    "CREATE INDEX more ON parts(hex(zeroblob(100000000)))",
    "CREATE VIRTUAL TABLE more USING fts5(x)",
    "PRAGMA user_version = 99",
    "PRAGMA journal_mode = WAL",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'nonsense' WHERE name = 'units'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 2 WHERE type = 'table'",
    "UPDATE units SET kind = 'inputs', job_uid = NULL",
    "UPDATE units SET body = zeroblob(10)",
    "UPDATE units SET acked = 1",
    "UPDATE progress SET state = 'done'",
    "UPDATE progress SET state = 'finalize', hash = 'x', url = 'http://evil.localhost/\x1b[2J'",
    "UPDATE plan SET registry = 'http://evil.localhost'",
    "UPDATE plan SET registry = 'http://127.0.0.1:8123@evil.localhost'",
    "UPDATE plan SET project = '/', roar_db = '/etc/passwd'",
    "UPDATE plan SET id = '../../../../tmp/x'",
    "UPDATE plan SET destination = 'file:///etc', jobs = -1",
    "UPDATE objects SET url = 'file:///etc/cron.d/x', key = '../../x'",
    "UPDATE objects SET content = '{}'",
)


def spoiled(case: Case, file: Path, folder: Path) -> None:
    """Do one to three things to the bundle `file`.  folder: for what is worked on."""
    rng = case.rng
    with tarfile.open(file) as archive:
        members = {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]
    if rng.random() < 0.75:
        inside = (_value, _value, _value, _schema, _bytes, _record)
        for _ in range(rng.choice((1, 1, 2, 3))):
            with suppress(sqlite3.Error, OSError, ValueError, RecursionError):  # what an earlier attack took away
                rng.choice(inside)(case, members, folder)
        _describe(members)
        file.write_bytes(_packed(members))
    else:
        rng.choice((_manifest, _archive, _noise))(case, members, file)


def _value(case: Case, members: Members, folder: Path) -> None:
    """Any value in any column of any table."""
    rng, database = case.rng, folder / "work.db"
    database.write_bytes(members[JOURNAL])
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")]
        table = rng.choice([name for name in names if not name.startswith("sqlite_")])
        column = rng.choice([row[1] for row in connection.execute(f"PRAGMA table_info({table})")])
        value, cast = sql_value(rng, folder / "outside")
        case.note(f"{table}.{column} becomes {short(value)} {cast}")
        old = connection.execute(f"SELECT {column} FROM {table}").fetchone()
        if old and isinstance(old[0], str) and old[0][:1] in ("[", "{"):
            value, cast = json.dumps(mutated(rng, json.loads(old[0]), case.note)), ""
        connection.execute(f"UPDATE OR IGNORE {table} SET {column} = {cast or '?'}", (value,))
    members[JOURNAL] = database.read_bytes()


def _schema(case: Case, members: Members, folder: Path) -> None:
    statement, database = case.rng.choice(SCHEMAS), folder / "work.db"
    case.note(statement)
    database.write_bytes(members[JOURNAL])
    try:
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            connection.executescript(statement)
    finally:
        members[JOURNAL] = database.read_bytes()


def _bytes(case: Case, members: Members, folder: Path) -> None:
    rng = case.rng
    content = bytearray(members[JOURNAL])
    end = rng.choice((100, len(content)))
    for _ in range(rng.choice((1, 10, 200))):
        content[rng.randrange(end)] = rng.randrange(256)
    if rng.random() < 0.2:
        del content[rng.randrange(len(content)) :]
    case.note(f"bytes of the journal up to {end}, {len(content)} are left")
    members[JOURNAL] = bytes(content)


def _record(case: Case, members: Members, folder: Path) -> None:
    """What a put will write into roar.db."""
    record = json.loads(members.get(RECORD, b"{}"))
    case.note("in the record of the put:")
    changed = mutated(case.rng, record, case.note)
    members[RECORD] = json.dumps(changed, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _describe(members: Members) -> None:
    """The manifest tells the truth of what is in the bundle: an attacker can compute it, too."""
    manifest = json.loads(members[MANIFEST])
    inside = {name: content for name, content in members.items() if name != MANIFEST}
    about = {name: {"size": len(text), "sha256": hashlib.sha256(text).hexdigest()} for name, text in inside.items()}
    members[MANIFEST] = json.dumps(manifest | {"files": about}).encode()


def _packed(members: Members, *more: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in members.items():
            one = tarfile.TarInfo(name)
            one.size = len(content)
            archive.addfile(one, io.BytesIO(content))
        for one in more:
            archive.addfile(one, io.BytesIO(bytes(max(0, one.size))))
    return out.getvalue()


def _manifest(case: Case, members: Members, file: Path) -> None:
    """The manifest as JSON of another shape, or as no JSON."""
    rng = case.rng
    text = json.dumps(mutated(rng, json.loads(members[MANIFEST]), case.note))
    text = rng.choice((text, text, text, "[" * 50_000, text + text, '{"files": {}', "\x00" * 100, " " * 100_000))
    case.note(f"the manifest is {text[:60]!r}")
    members[MANIFEST] = text.encode("utf-8", "surrogatepass")
    file.write_bytes(_packed(members))


def _archive(case: Case, members: Members, file: Path) -> None:
    """Members that are no plain files, or stand there twice, or claim another size."""
    rng = case.rng
    extra = tarfile.TarInfo(rng.choice((JOURNAL, MANIFEST, "../../x", "/etc/x", "lock", "session-token", "a\x1b[2J")))
    extra.type = rng.choice((b"0", b"1", b"2", b"3", b"6", b"5", b"S", b"x", b"g", b"L", b"K", b"V", b"Z"))
    extra.linkname = rng.choice(("", "/etc/passwd", "../../../x", JOURNAL))
    extra.size = rng.choice((0, 0, 512, 5_000))
    case.note(f"a member {extra.name!r} of type {extra.type!r} that leads to {extra.linkname!r}")
    content = bytearray(_packed(members, extra))
    if rng.random() < 0.5:
        size = rng.choice(
            (b"77777777777\0", b"-0000000001\0", b"\x80" + b"\xff" * 11, b"00000000000\0", b"zzzzzzzzzzz\0")
        )
        case.note(f"the first header says the size {size!r}")
        content[124:136] = size
        content[148:156] = b" " * 8
        content[148:156] = b"%06o\0 " % sum(content[:512])
    file.write_bytes(content)


def _noise(case: Case, members: Members, file: Path) -> None:
    """The file as bytes, or no file."""
    rng = case.rng
    content = bytearray(_packed(members))
    kinds: dict[str, Callable[[], object]] = {
        "flipped bytes": lambda: [content.__setitem__(rng.randrange(1_600), rng.randrange(256)) for _ in range(5)],
        "a shorter file": lambda: content.__delitem__(slice(rng.randrange(len(content)), None)),
        "an empty file": content.clear,
        "noise": lambda: content.__setitem__(slice(None), rng.randbytes(3_000)),
        "words": lambda: content.__setitem__(slice(None), hostile_text(rng).encode("utf-8", "surrogatepass")),
    }
    kind = rng.choice((*kinds, "a FIFO", "a folder", "a link to /dev/zero"))
    case.note(kind)
    if kind in kinds:
        kinds[kind]()
        file.write_bytes(content)
        return
    file.unlink()
    if kind == "a FIFO":
        os.mkfifo(file)
    elif kind == "a folder":
        file.mkdir()
    else:
        file.symlink_to("/dev/zero")
