"""Projects that identify contents by another digest than blake3 (`[hash] primary`) have the same lineage."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from blake3 import blake3

from roar_publisher.lineage.content import OtherDigests
from roar_publisher.lineage.database import open_database
from roar_publisher.lineage.plan import build_plan
from roar_publisher.lineage.project import find_project
from roar_publisher.planning.put.record_writer import record_put
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.units import Kind
from tests.support.put.projects import plan, put_project, write


def project(folder: Path, algorithm: str) -> Path:
    """Make a project whose roar.db has the digests of this algorithm alone."""
    root = put_project(folder)
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection, connection:
        connection.execute("DELETE FROM artifact_hashes")
        connection.execute("DELETE FROM hash_cache")
        for artifact, path in connection.execute("SELECT id, first_seen_path FROM artifacts").fetchall():
            digest = hashlib.new(algorithm, Path(path).read_bytes()).hexdigest()
            connection.execute("INSERT INTO artifact_hashes VALUES (?, ?, ?)", (artifact, algorithm, digest))
    return root


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5"])
def test_a_put_has_the_lineage_of_its_files(tmp_path: Path, algorithm: str) -> None:
    root = project(tmp_path, algorithm)
    planned = plan(root, "model.bin")
    assert [job["step_number"] for job in planned.items(Kind.JOBS)] == [1, 2, 3]
    (stored,) = planned.record.files
    outputs = {link["hash"] for link in planned.items(Kind.OUTPUTS)}
    assert stored.digest in outputs, "the step that made the file and the put name it by the same digest"
    (item,) = [item for item in planned.items(Kind.ARTIFACTS) if item["hashes"][0]["digest"] == stored.digest]
    assert [each["algorithm"] for each in item["hashes"]] == ["blake3", algorithm]
    database = root / ".roar" / "roar.db"
    with closing(sqlite3.connect(database)) as connection:
        before = connection.execute("SELECT count(*) FROM artifacts").fetchone()
        record_put(database, planned.record)
        assert connection.execute("SELECT count(*) FROM artifacts").fetchone() == before
    assert plan(root, "model.bin").record.files == planned.record.files


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5"])
def test_a_file_is_a_target(tmp_path: Path, algorithm: str) -> None:
    root = project(tmp_path, algorithm)
    wanted = find_project(root)
    summary = build_plan(wanted, "model.bin", cwd=root, identities=(), sink=lambda units: None)
    assert summary.jobs == 2
    (root / "model.bin").write_text("x" * (root / "model.bin").stat().st_size)
    with pytest.raises(UsageProblem, match=r"roar has not recorded model\.bin with its current content"):
        build_plan(wanted, "model.bin", cwd=root, identities=(), sink=lambda units: None)


def test_a_file_is_no_artifact_unless_it_is_what_was_digested(tmp_path: Path) -> None:
    root = project(tmp_path, "sha256")
    write(root, {"new.bin": "x" * 12_345})
    digest = blake3(b"x" * 12_345).hexdigest()
    with open_database(root / ".roar" / "roar.db") as database:
        others = OtherDigests(database)
        assert others.artifact_of(root / "new.bin", digest) is None
        assert others.artifact_of(root / "model.bin", digest) is None, "it was another file when it was digested"
        with pytest.raises(LocalProblem, match="cannot be read"):
            others.artifact_of(root / "none", digest)
    with open_database(put_project(tmp_path / "usual") / ".roar" / "roar.db") as database:
        assert OtherDigests(database).artifact_of(root / "none", digest) is None, "no file is looked at"
