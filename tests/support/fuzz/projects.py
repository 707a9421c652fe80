"""All that may be wrong with a project that came with a clone: its database, its configuration, its files."""

import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from tests.support.fuzz.cases import Case
from tests.support.fuzz.values import DEEP, TERMINAL, hostile_text, short

COLUMNS = {
    "sessions": ("hash", "is_active", "git_repo", "git_commit_start", "metadata", "id"),
    "jobs": (
        *("job_uid", "parent_job_uid", "timestamp", "command", "session_id", "step_number", "step_name", "git_commit"),
        *("git_branch", "duration_seconds", "exit_code", "job_type", "execution_role", "metadata", "script"),
    ),
    "artifacts": ("id", "size", "first_seen_path", "source_type", "source_url", "kind", "component_count", "metadata"),
    "artifact_hashes": ("artifact_id", "algorithm", "digest"),
    "job_inputs": ("job_id", "artifact_id", "path", "byte_ranges"),
    "job_outputs": ("job_id", "artifact_id", "path", "byte_ranges"),
    "labels": ("entity_type", "session_id", "job_id", "artifact_id", "version", "metadata", "write_origin"),
    "composite_artifact_components": ("relative_path", "component_digest", "component_size"),
}
KEYS = (
    *("glaas.key", "scope.mode", "treqs.owner_id", "treqs.owner_type", "treqs.project_id", "treqs.visibility"),
    *("registration.public_by_default", "registration.omit.enabled", "registration.omit.secrets.values"),
    *("registration.omit.env_vars.names", "registration.omit.patterns", "registration.omit.allowlist.patterns"),
    *("registration.tagging.enabled", "git.remote", "publisher.notify", "publisher.on_done", "publisher.push_tags"),
    *("glaas", "scope", "treqs", "registration", "registration.omit", "publisher"),
)
CONFIGS = (".roar/config.toml", ".roarconfig", "pyproject.toml")
PATTERNS = (r"(a+)+$", r"(?P<x>", r"\Z", "a{0,99999}", "((((((((((x*)*)*)*)*)*)*)*)*)*)", ".*", "", r"(?=a)\1")
LITERALS = (
    *("0", "-1", "1e400", "nan", "inf", "true", '""', '"public"', '"private"', '"project"', '"anonymous"', "[]", "{}"),
    *("[[]]", "[1, 2]", '["", "x"]', "1979-05-27T07:32:00Z", "9" * 400, "{ a = { b = 1 } }", '"""\n\n"""', "[{}]"),
)
SCHEMAS = (
    "DROP TABLE jobs",
    "DROP TABLE labels",
    "DROP TABLE artifact_hashes",
    "DELETE FROM sessions",
    "DELETE FROM artifacts",
    "DELETE FROM jobs",
    "ALTER TABLE jobs RENAME COLUMN command TO commands",
    "ALTER TABLE artifacts RENAME TO files",
    "ALTER TABLE jobs ADD COLUMN more TEXT GENERATED ALWAYS AS (hex(zeroblob(100000000))) VIRTUAL",
    "CREATE VIEW more AS SELECT load_extension('evil')",
    "CREATE TRIGGER more AFTER UPDATE ON sessions BEGIN DELETE FROM jobs; END",
    "CREATE TRIGGER more INSTEAD OF INSERT ON jobs_view BEGIN SELECT 1; END",
    "CREATE INDEX more ON jobs(abs(-9223372036854775808))",
    "CREATE INDEX more ON jobs(hex(zeroblob(100000000)))",
    "UPDATE sessions SET is_active = 1; INSERT INTO sessions SELECT * FROM sessions",
    "PRAGMA user_version = 2147483647",
    "PRAGMA application_id = -1",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'CREATE TABLE jobs(x)' WHERE name = 'jobs'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = 'nonsense' WHERE name = 'labels'",
    "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 3 WHERE name = 'jobs'",
    "PRAGMA journal_mode = WAL",
    "UPDATE jobs SET parent_job_uid = job_uid",
    "UPDATE jobs SET parent_job_uid = (SELECT max(job_uid) FROM jobs)",
    "UPDATE jobs SET job_uid = 'same'",
    "UPDATE job_outputs SET artifact_id = (SELECT min(artifact_id) FROM job_inputs)",
    "UPDATE artifact_hashes SET digest = 'abc'",
    "INSERT INTO job_inputs(job_id, artifact_id, path) SELECT job_id, artifact_id, path || rowid FROM job_outputs",
)
TARGETS = ("@1", "@2", "@B1", "@0", "@-1", "@99999999999999999999999", "model.bin", "..", "/", "0" * 64, "f", "@", "%")


ADDRESSES = (
    *("http://127.0.0.1:9", "http://evil.localhost", "http://127.0.0.1:8123@evil.localhost", "http://127.0.0.2:8123"),
    *(
        "http://localhost:8123",
        "http://127.0.0.1:81230",
        "HTTP://EVIL.LOCALHOST:8123/",
        "http://evil.localhost\\@127.0.0.1",
    ),
    *("http://127.0.0.1:8124/a/../b", "http://[::1]:8123", "http://evil.localhost#@127.0.0.1:8123", "ftp://127.0.0.1"),
    *(
        "http://evil.localhost:8123?x=127.0.0.1:8123",
        "http://127.1:8123",
        "http://0x7f.1:8123",
        "http://evil。localhost",
    ),
)
"""Of registries that this user never named; the user's own is http://127.0.0.1:8123."""


def address(case: Case, root: Path) -> None:
    """The project names a registry of its own."""
    chosen, name = case.rng.choice(ADDRESSES), case.rng.choice(CONFIGS)
    case.note(f"{name} names the registry {chosen}")
    for file in CONFIGS:
        (root / file).unlink(missing_ok=True)
    prefix = "tool.roar." if name == "pyproject.toml" else ""
    (root / name).write_text(f"{prefix}glaas.url = {_toml(chosen)}\n", encoding="utf-8")


def attack_project(case: Case, root: Path, outside: Path) -> None:
    """Do one to three things to the project.  outside: a file that is not the project's."""
    kinds = (_value, _value, _value, _value, _schema, _bytes, _config, _config, _config_file, _link, _name)
    for _ in range(case.rng.choice((1, 1, 2, 3))):
        # What an earlier attack took away; Python cannot decode an error of SQLite that quotes damaged bytes.
        with suppress(sqlite3.Error, OSError, UnicodeDecodeError):
            case.rng.choice(kinds)(case, root, outside)


def target(case: Case) -> tuple[str, ...]:
    """What is asked for on the command line, mostly nothing."""
    if case.rng.random() < 0.7:
        return ()
    chosen = case.rng.choice((*TARGETS, *TERMINAL, "\udcff", "a" * 5_000))
    case.note(f"the target is {short(chosen)}")
    return ("--", chosen)


def _value(case: Case, root: Path, outside: Path) -> None:
    """Any value in any column: SQLite keeps whatever is written into any of them."""
    rng = case.rng
    table = rng.choice(list(COLUMNS))
    column = rng.choice(COLUMNS[table])
    value, cast = sql_value(rng, outside)
    which = rng.choice(("", " WHERE rowid = (SELECT min(rowid) FROM {0})", " WHERE rowid % 2 = 0")).format(table)
    case.note(f"{table}.{column} becomes {short(value)} {cast}{which}")
    with closing(sqlite3.connect(root / ".roar" / "roar.db", isolation_level=None)) as connection:
        connection.execute(f"UPDATE OR IGNORE {table} SET {column} = {cast or '?'}{which}", (value,))


def sql_value(rng: random.Random, outside: Path) -> tuple[Any, str]:
    """A value, and the expression with a `?` for it that makes of it what Python cannot bind."""
    kind = rng.randrange(9)
    if kind < 3:
        return hostile_text(rng).encode("utf-8", "surrogatepass"), "CAST(? AS TEXT)"
    if kind == 3:
        return rng.choice((0, -1, 2**63 - 1, -(2**63), 1e308, -0.0, float("inf"), 1.5, None)), ""
    if kind == 4:
        return rng.choice((b"", b"\xff\xfe", b"\x00" * 64, b"PK\x03\x04")), rng.choice(("", "CAST(? AS TEXT)"))
    if kind == 5:
        return rng.choice((10, 60, DEEP)), "replace(hex(zeroblob(?)), '00', '{\"a\":')"
    if kind == 6:
        return rng.choice((100_000, 3_000_000)), rng.choice(("hex(zeroblob(?))", "zeroblob(?)"))
    if kind == 7:
        wild = rng.choice(
            ('{"a": NaN}', '{"a": 1e999}', '{"a": 1, "a": 2}', '["x"]', "{", '"\\ud800"', '{"": {"": []}}')
        )
        return wild, ""
    return rng.choice((str(outside), "../../" + outside.name, "~/.ssh/id_secret", "/dev/zero", "/proc/self/mem")), ""


def _schema(case: Case, root: Path, outside: Path) -> None:
    statement = case.rng.choice(SCHEMAS)
    case.note(statement)
    with closing(sqlite3.connect(root / ".roar" / "roar.db", isolation_level=None)) as connection:
        connection.executescript(statement)


def _bytes(case: Case, root: Path, outside: Path) -> None:
    """The file of the database, or one beside it, as bytes."""
    rng = case.rng
    name = rng.choice(("roar.db", "roar.db", "roar.db", "roar.db-wal", "roar.db-journal", "roar.db-shm"))
    file = root / ".roar" / name
    content = bytearray(file.read_bytes() if file.is_file() else b"")
    if len(content) < 100:  # not there, or emptied by an attack before this one
        content = bytearray(b"\x37\x7f\x06\x82" + bytes(4_000))
    kind = rng.choice(
        ("flips", "flips in the header", "a shorter file", "an empty file", "no database", "a longer file")
    )
    case.note(f"{kind}: {name}")
    match kind:
        case "flips" | "flips in the header":
            for _ in range(rng.choice((1, 10, 200))):
                content[rng.randrange(100 if "header" in kind else len(content))] = rng.randrange(256)
        case "a shorter file":
            del content[rng.randrange(len(content)) :]
        case "an empty file":
            content.clear()
        case "no database":
            content[:] = b"no database \x1b[2J" * 100
        case _:
            content += bytes(rng.randrange(5_000))
    _write(file, content)


def _config(case: Case, root: Path, outside: Path) -> None:
    """A key with a value of any type."""
    rng = case.rng
    name, key = rng.choice(CONFIGS), rng.choice(KEYS)
    literal = rng.choice((*LITERALS, f"[{', '.join(map(_toml, PATTERNS))}]", _toml(hostile_text(rng))))
    if key.endswith("patterns") and rng.random() < 0.5:
        literal = f"[{{ id = {_toml(hostile_text(rng)[:40])}, pattern = {_toml(rng.choice(PATTERNS))} }}]"
    prefix = "tool.roar." if name == "pyproject.toml" else ""
    case.note(f"{name} says {prefix}{key} = {short(literal)}")
    _write(root / name, f"{prefix}{key} = {literal}\n".encode("utf-8", "surrogatepass"))


def _write(file: Path, content: bytes | bytearray) -> None:
    """Into a new file: what an earlier attack put there may be a FIFO, or a link out of the project."""
    file.unlink(missing_ok=True)
    file.write_bytes(content)


def _toml(text: str) -> str:
    escaped = "".join(c if 0x20 <= ord(c) < 0x7F and c not in '"\\' else f"\\U{ord(c):08X}" for c in text)
    return f'"{escaped}"'


def _config_file(case: Case, root: Path, outside: Path) -> None:
    """A file that is no configuration, or no file."""
    name = case.rng.choice(CONFIGS)
    file = root / name
    kinds: dict[str, Callable[[], object]] = {
        "a FIFO": lambda: os.mkfifo(file),
        "a folder": file.mkdir,
        "a link to /dev/zero": lambda: file.symlink_to("/dev/zero"),
        "a link to itself": lambda: file.symlink_to(file.name),
        "a link out of the project": lambda: file.symlink_to(outside),
        "noise": lambda: file.write_bytes(case.rng.randbytes(3_000)),
        "a megabyte": lambda: file.write_bytes(b"#" * 1_500_000),
        "deep": lambda: file.write_text("a = " + "[" * 50_000),
        "chained keys": lambda: file.write_text("a" + ".a" * 50_000 + " = 1"),
        "no UTF-8": lambda: file.write_bytes(b'a = "\xff\xfe"\n'),
        "a key twice": lambda: file.write_text("[glaas]\nkey = 1\n[glaas]\nkey = 2\n"),
        "escapes": lambda: file.write_text(f"a = {TERMINAL[0]}{TERMINAL[1]}"),
    }
    kind = case.rng.choice(list(kinds))
    case.note(f"{name} is {kind}")
    file.unlink(missing_ok=True)
    kinds[kind]()


def _link(case: Case, root: Path, outside: Path) -> None:
    """Something else in the place of the capture."""
    roar = root / ".roar"
    kinds: dict[str, Callable[[], object]] = {
        "roar.db is a link to a file outside": lambda: _replace(roar / "roar.db", lambda p: p.symlink_to(outside)),
        "roar.db is a FIFO": lambda: _replace(roar / "roar.db", os.mkfifo),
        "roar.db is a folder": lambda: _replace(roar / "roar.db", Path.mkdir),
        "roar.db is /dev/zero": lambda: _replace(roar / "roar.db", lambda p: p.symlink_to("/dev/zero")),
        "roar.db moved out of the project": lambda: _moved_out(roar / "roar.db", outside.parent / "roar.db"),
        "the log of roar.db is a FIFO": lambda: os.mkfifo(roar / "roar.db-wal"),
        "the journal of roar.db is a link outside": lambda: (roar / "roar.db-journal").symlink_to(outside),
        ".roar moved out of the project": lambda: _moved_out(roar, outside.parent / "roar"),
        "roar.db is gone": lambda: (roar / "roar.db").unlink(),
    }
    kind = case.rng.choice(list(kinds))
    case.note(kind)
    kinds[kind]()


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _moved_out(path: Path, to: Path) -> None:
    path.rename(to)
    path.symlink_to(to)


def _name(case: Case, root: Path, outside: Path) -> None:
    """A file with a name that is no text, or steers a terminal."""
    name = case.rng.choice((b"\xff\xfe", b"\x1b[2J", b"a\nb", b"-rf", b" ", b"\xe2\x80\xae", b"a" * 255))
    case.note(f"a file is called {name!r}")
    with open(os.path.join(os.fsencode(root), name), "wb") as file:
        file.write(b"x")
