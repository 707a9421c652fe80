"""A hostile project: its files are bounded, and nothing in its database runs in our statements."""

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from roar_publisher.lineage.connections import open_writable
from roar_publisher.lineage.database import open_database
from roar_publisher.lineage.guard import STATEMENT_TIMEOUT_SECONDS, VALUE_LIMIT, StatementTimer
from roar_publisher.lineage.plan import PlanSummary, build_plan
from roar_publisher.lineage.project import find_project
from roar_publisher.lineage.publication import with_publication
from roar_publisher.lineage.toml_file import CONFIG_LIMIT
from roar_publisher.state.errors import LocalProblem
from tests.support.lineage.captured import captured_project


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return captured_project("linear", tmp_path)


def plan(root: Path) -> PlanSummary:
    return build_plan(find_project(root), None, cwd=root, identities=(), sink=lambda units: None)


def _fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 * CONFIG_LIMIT)


def _text(text: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.write_text(text)

    return damage


CONFIGS = [
    (_fifo, "not a regular file"),
    (_endless, "not a regular file"),
    (_huge, "larger than 1024 kB"),
    (_text("a" + ".a" * 300_000 + " = 1"), "a key of more than 32 parts"),
    (_text("[a" + ".'a'" * 200_000 + "]"), "a key of more than 32 parts"),
    (_text("b = {a" + " . a" * 200_000 + " = 1}"), "a key of more than 32 parts"),
    (_text("a = " + "[" * 400_000), "nested too deep"),
    (_text("a = " + "{a = " * 100_000), "nested too deep"),
]


@pytest.mark.parametrize("name", [".roar/config.toml", ".roarconfig", "pyproject.toml"])
@pytest.mark.parametrize(("damage", "what"), CONFIGS)
def test_a_hostile_configuration_is_one_error(root: Path, name: str, damage: Callable[[Path], None], what: str) -> None:
    (root / ".roar" / "config.toml").unlink(missing_ok=True)
    damage(root / name)
    with pytest.raises(LocalProblem, match=what) as caught:
        find_project(root)
    assert name in caught.value.what


def test_a_byte_order_mark_is_skipped(root: Path) -> None:
    (root / ".roar" / "config.toml").write_bytes(b'\xef\xbb\xbf[glaas]\nurl = "https://glaas.example"\n')
    assert find_project(root).config.glaas_url == "https://glaas.example"


def test_a_long_text_with_dots_is_not_a_deep_key(root: Path) -> None:
    (root / ".roar" / "config.toml").write_text(f'[glaas]\nkey = "{".".join("a" * 100)}"\n')
    assert find_project(root).config.glaas_key == ".".join("a" * 100)


@pytest.mark.parametrize("suffix", ["", "-wal", "-journal", "-shm"])
@pytest.mark.parametrize("damage", [_fifo, _endless])
def test_a_path_that_is_not_a_file_is_not_opened_as_a_database(
    root: Path, suffix: str, damage: Callable[[Path], None]
) -> None:
    damage(root / ".roar" / f"roar.db{suffix}")
    with pytest.raises(LocalProblem, match="is not a regular file"):
        plan(root)


ENDLESS = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)"
SCHEMAS = {
    "a view in place of the table jobs": (
        *(f"DROP TRIGGER jobs_a{letter}" for letter in "iud"),
        "ALTER TABLE jobs RENAME TO old",
        f"CREATE VIEW jobs AS {ENDLESS} SELECT old.* FROM r, old",
    ),
    "a view in place of the table hash_cache": (
        "DROP TABLE hash_cache",
        f"CREATE VIEW hash_cache AS {ENDLESS} SELECT x AS path, x AS digest FROM r",
    ),
    "a trigger of its own": (
        f"CREATE TRIGGER t AFTER UPDATE ON sessions BEGIN SELECT count(*) FROM ({ENDLESS} SELECT x FROM r); END",
    ),
    "another jobs_fts": ("DROP TABLE jobs_fts", "CREATE TABLE jobs_fts(command, script)"),
    "an index over an expression": ("CREATE INDEX i ON jobs(hex(zeroblob(1000000)))",),
    "computed columns in artifacts": (
        "ALTER TABLE artifacts ADD COLUMN more TEXT GENERATED ALWAYS AS (hex(zeroblob(1000000))) VIRTUAL",
    ),
    "a virtual table in place of labels": ("DROP TABLE labels", "CREATE VIRTUAL TABLE labels USING fts5(metadata)"),
}


@pytest.mark.parametrize("what", SCHEMAS)
def test_code_in_the_schema_never_runs(root: Path, what: str) -> None:
    database = root / ".roar" / "roar.db"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA legacy_alter_table = ON")
        for statement in SCHEMAS[what]:
            connection.execute(statement)
    before = sha256(database.read_bytes()).digest()
    with pytest.raises(LocalProblem, match=what):
        plan(root)
    with pytest.raises(LocalProblem, match=what):
        open_writable(database)
    assert sha256(database.read_bytes()).digest() == before


def test_roars_own_triggers_keep_the_search_index(root: Path) -> None:
    with closing(open_writable(root / ".roar" / "roar.db")) as connection:
        connection.execute("UPDATE jobs SET command = 'a word nobody typed' WHERE id = 1")
        found = connection.execute("SELECT rowid FROM jobs_fts WHERE jobs_fts MATCH 'nobody'").fetchall()
    assert found == [(1,)]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (f"UPDATE jobs SET command = CAST(zeroblob({VALUE_LIMIT + 1}) AS TEXT) WHERE id = 1", "more than 4 MB.*step"),
        (
            f"UPDATE jobs SET metadata = CAST(zeroblob({VALUE_LIMIT + 1}) AS TEXT) WHERE id = 1",
            "more than 4 MB.*step",
        ),
        (f"UPDATE artifacts SET metadata = zeroblob({VALUE_LIMIT + 1}), source_url = 'x'", "more than 4 MB"),
        ("UPDATE jobs SET command = hex(zeroblob(1000000)) WHERE id = 1", "step 1.*command has 2,000,000 bytes"),
        ("UPDATE jobs SET metadata = hex(zeroblob(1500000)) WHERE id = 1", "step 1.*metadata has 3,000,000 bytes"),
        ("UPDATE jobs SET command = CAST(zeroblob(2000000) AS TEXT) WHERE id = 1", "step 1.*2,000,000 bytes"),
    ],
)
def test_a_value_that_is_too_large_is_reported(root: Path, change: str, what: str) -> None:
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection, connection:
        connection.execute(change)
    with pytest.raises(LocalProblem, match=what):
        plan(root)


def test_broken_and_nested_metadata_is_published(root: Path) -> None:
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection, connection:
        connection.execute("UPDATE jobs SET metadata = ? WHERE id = 1", ("[" * 500_000,))
        connection.execute("UPDATE jobs SET metadata = ? WHERE id = 2", (_nested(60),))
    assert plan(root).jobs == 2


@pytest.mark.parametrize("table", ["jobs", "labels"])
def test_metadata_that_nests_too_deep_is_reported(root: Path, table: str) -> None:
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection, connection:
        connection.execute(f"UPDATE {table} SET metadata = ?", (_nested(900),))
    with pytest.raises(LocalProblem, match="nested too deep"):
        plan(root)


def _nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def test_a_statement_without_rows_is_aborted(root: Path) -> None:
    now = [0.0]
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection:
        timer = StatementTimer(connection, clock=lambda: now[0])
        connection.execute("SELECT count(*) FROM jobs, jobs, jobs").fetchall()
        now[0] = STATEMENT_TIMEOUT_SECONDS + 1
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            connection.execute(f"{ENDLESS} SELECT count(*) FROM r").fetchall()
        timer.reset()
        connection.execute("SELECT count(*) FROM jobs").fetchall()


def test_a_statement_timeout_is_one_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roar_publisher.lineage.guard.STATEMENT_TIMEOUT_SECONDS", -1.0)
    with (
        pytest.raises(LocalProblem, match="returned no row"),
        open_database(root / ".roar" / "roar.db") as database,
    ):
        database.execute(f"{ENDLESS} SELECT count(*) FROM r")


def test_a_schema_that_is_not_text_is_a_damaged_database(root: Path) -> None:
    database = root / ".roar" / "roar.db"
    content = database.read_bytes().replace(b"tablejobsjobs", b"tablej\x95bsjobs")
    database.write_bytes(content.replace(b"CREATE TABLE jobs", b"CREATE T\xe1BLE jobs"))
    database.with_name("roar.db-wal").unlink(missing_ok=True)
    with pytest.raises(LocalProblem, match="damaged"):
        plan(root)


def test_metadata_in_bytes_does_not_stop_the_update_of_a_session() -> None:
    note = with_publication(b"\x00\xff", session_hash="a", provisional_hash="b", jobs={}, now=1.0)
    assert json.loads(note)["raw"] == "\x00\ufffd"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_project_that_another_user_put_above_is_refused(root: Path) -> None:
    """`/tmp/.roar` would be the project of every user who works below /tmp."""
    work = root / "work"
    work.mkdir()
    os.chown(root / ".roar", 12_345, -1)
    assert find_project(work).root == root, (
        "a project of a colleague, in a folder that only the colleague may write into"
    )
    root.chmod(0o1777)
    with pytest.raises(LocalProblem, match="belongs to another user"):
        find_project(work)
    os.chown(root / ".roar", os.geteuid(), -1)
    assert find_project(work).root == root
