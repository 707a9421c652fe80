"""SQLite stores a value of any type in any column: what a plan reads is read or refused, whatever its type is."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from roar_publisher.lineage.plan import build_plan
from roar_publisher.lineage.rows import NEEDED_COLUMNS
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.units import Kind, Unit
from tests.support.lineage.recorder import Recorder, digest_of

VALUES = (b'{"a": 1}', b"PK\x03\x04", b"\xff\xfe", b"", "", 5, 1.5, None, -1, 2**63 - 1, float("inf"), '{"a": 1e999}')


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """Return a project with a row in each table, and something in each column that is read."""
    recorder = Recorder(tmp_path / "project")
    with recorder:
        recorder.artifact("remote", source_type="s3", source_url="s3://bucket/key", metadata='{"etag": "x"}')
        recorder.artifact(
            "dataset", hashes={"composite-blake3": "c" * 64}, kind="composite", component_count=2, metadata='{"a": 1}'
        )
        recorder.insert(
            "composite_artifact_components",
            composite_artifact_id="dataset",
            ordinal=0,
            relative_path="part",
            leaf_kind="file",
            component_algorithm="blake3",
            component_digest="d" * 64,
            component_size=1,
        )
        recorder.insert(
            "composite_membership_indexes",
            composite_artifact_id="dataset",
            total_components=2,  # more than are stored, so that the stored index is sent
            stored_components=1,
            bloom_filter_base64="AAAA",
            bloom_bits=24,
            bloom_hashes=3,
            bloom_version=1,
        )
        recorder.job(1, ("remote",), ("dataset",), metadata='{"a": 1}')
        recorder.connection.execute("UPDATE job_inputs SET byte_ranges = '[[0, 1]]'")
        recorder.label(entity_type="dag", session_id=1, metadata='{"a": 1}')
        recorder.label(entity_type="job", job_id=1, metadata='{"a": 1}')
        recorder.label(entity_type="artifact", artifact_id="remote", metadata='{"a": 1}')
    return recorder


def _plan(recorder: Recorder) -> list[Unit]:
    units: list[Unit] = []
    build_plan(recorder.project(), None, cwd=recorder.root, identities=(), sink=units.extend)
    return units


@pytest.mark.parametrize("target", [None, digest_of("out")])
def test_jobs_whose_time_is_a_text_are_refused(tmp_path: Path, target: str | None) -> None:
    with Recorder(tmp_path / "project") as recorder:
        for _ in range(3):
            recorder.job(1, ("raw",), ("out",), parent_job_uid="unknown")
        recorder.connection.execute("UPDATE jobs SET timestamp = 'soon' WHERE id = 2")
    with pytest.raises(LocalProblem, match="its time, duration or exit code is not a number"):
        build_plan(recorder.project(), target, cwd=recorder.root, identities=(), sink=lambda units: None)


@pytest.mark.parametrize("column", ["command", "git_commit", "git_branch", "job_type", "metadata"])
def test_a_number_in_a_column_without_a_type_is_refused(tmp_path: Path, column: str) -> None:
    with Recorder(tmp_path / "project") as recorder:
        recorder.job(1, (), ("out",))
        recorder.connection.execute("PRAGMA writable_schema = ON")
        for kind in ("TEXT", "VARCHAR"):
            without = f"replace(sql, '{column} {kind}', '{column}')"
            recorder.connection.execute(f"UPDATE sqlite_master SET sql = {without} WHERE name = 'jobs'")
    with closing(sqlite3.connect(recorder.path)) as connection, connection:
        connection.execute(f"UPDATE jobs SET {column} = 42")
        assert connection.execute(f"SELECT typeof({column}) FROM jobs").fetchall() == [("integer",)], "proves nothing"
    with pytest.raises(LocalProblem, match="a number where a text belongs"):
        _plan(recorder)


def _not_json(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@pytest.mark.parametrize("table", sorted(NEEDED_COLUMNS))
def test_a_value_of_any_type_is_read_or_refused(recorder: Recorder, table: str) -> None:
    _plan(recorder)
    honest = recorder.path.read_bytes()
    changed = 0
    for column in _columns(recorder, table):
        for value in VALUES:
            recorder.path.write_bytes(honest)
            if not _set(recorder, table, column, value):
                continue
            changed += 1
            try:
                for unit in _plan(recorder):
                    json.loads(unit.body, parse_constant=_not_json)
            except LocalProblem:
                pass
            except Exception as error:
                raise AssertionError(f"{table}.{column} = {value!r}") from error
    assert changed >= len(VALUES)


def test_binary_byte_ranges_are_read_as_text(recorder: Recorder) -> None:
    assert _set(recorder, "job_inputs", "byte_ranges", b"[[2, 3]]")
    (inputs,) = (json.loads(unit.body) for unit in _plan(recorder) if unit.kind is Kind.INPUTS)
    assert [link["byte_ranges"] for link in inputs] == [[[2, 3]]]


def _columns(recorder: Recorder, table: str) -> list[str]:
    with recorder.reopened() as connection:
        return [name for _number, name, *_ in connection.execute(f"PRAGMA table_info({table})")]


def _set(recorder: Recorder, table: str, column: str, value: object) -> bool:
    """Change a column of every row, or of the first if it is unique; return whether its constraints allow it."""
    for rows in ("", f" WHERE rowid = (SELECT min(rowid) FROM {table})"):
        with closing(sqlite3.connect(recorder.path)) as connection, connection:
            try:
                connection.execute(f"UPDATE {table} SET {column} = ?{rows}", (value,))
            except sqlite3.IntegrityError:
                continue
        return True
    return False
