"""Makes roar projects of any size: a git repository and a `.roar/roar.db` with the schema that roar-cli really writes.

    python -m tests.support.synthetic DIR --jobs 1000 --links 10

A chain of stages: every job reads files that earlier jobs wrote and writes files of its own. The same arguments give
the same rows.
"""

import argparse
import json
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.checkout import PROJECTS

CAPTURED = PROJECTS / "linear" / "roar"
STARTED = 1_790_000_000.0
"""Seconds since the epoch at which the first job runs."""
_RECENT = 2_000
"""A job reads files among this many that were written last."""

Row = tuple[object, ...]


def make_project(root: Path, *, jobs: int, links_per_job: int, seed: int) -> Path:
    """A project of so many jobs, each with `links_per_job` links: one half inputs, one half outputs; returns `root`."""
    commit = _repository(root)
    roar_dir = root / ".roar"
    roar_dir.mkdir()
    shutil.copy(CAPTURED / "config.toml", roar_dir / "config.toml")
    with closing(sqlite3.connect(roar_dir / "roar.db")) as connection:
        copy_schema(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        _Filler(connection, root, commit, random.Random(seed)).fill(jobs, links_per_job)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return root


def _repository(root: Path) -> str:
    root.mkdir(parents=True)
    (root / ".gitignore").write_text(".roar/\n")
    (root / "step.py").write_text("print('step')\n")
    identity = ("-c", "user.name=dev", "-c", "user.email=dev@example.org", "-c", "commit.gpgsign=false")
    for command in (
        ("init", "--quiet", "--initial-branch=main"),
        ("remote", "add", "origin", "https://github.com/acme/synthetic.git"),
        ("add", "."),
        (*identity, "commit", "--quiet", "--message", "init", "--date", "2026-01-02T03:04:05Z"),
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def copy_schema(connection: sqlite3.Connection) -> None:
    """Give an empty database the schema of a captured roar.db."""
    with closing(sqlite3.connect(f"file:{CAPTURED / 'roar.db'}?mode=ro&immutable=1", uri=True)) as captured:
        # SQLite makes the tables behind a full-text index itself.
        statements = captured.execute(
            "SELECT sql FROM sqlite_master WHERE sql NOTNULL AND name NOT LIKE 'jobs_fts_%'"
            " AND name NOT LIKE 'sqlite_%' ORDER BY type = 'trigger', type = 'index'"
        ).fetchall()
        (version,) = captured.execute("PRAGMA user_version").fetchone()
    for (statement,) in statements:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {int(version)}")


class _Filler:
    """Writes the rows of one session."""

    def __init__(self, connection: sqlite3.Connection, root: Path, commit: str, chance: random.Random) -> None:
        self._connection = connection
        self._root = root
        self._commit = commit
        self._chance = chance

    def fill(self, jobs: int, links_per_job: int) -> None:
        self._connection.execute(
            "INSERT INTO sessions(id, hash, created_at, current_step, is_active, git_repo, git_commit_start,"
            " git_commit_end) VALUES (1, ?, ?, ?, 1, 'https://github.com/acme/synthetic.git', ?, ?)",
            (self._hex(64), STARTED, jobs, self._commit, self._commit),
        )
        inputs, outputs = links_per_job // 2, links_per_job - links_per_job // 2
        self._write_artifacts(jobs * outputs + inputs)
        self._many("INSERT INTO job_outputs VALUES (?, ?, ?, NULL)", self._outputs(jobs, inputs, outputs))
        self._many("INSERT INTO job_inputs VALUES (?, ?, ?, NULL)", self._inputs(jobs, inputs, outputs))
        columns = (
            "id, job_uid, timestamp, command, script, step_identity, session_id, step_number, git_repo, git_commit,"
            " git_branch, duration_seconds, exit_code, execution_backend, execution_role, metadata"
        )
        self._many(f"INSERT INTO jobs({columns}) VALUES ({','.join('?' * 16)})", map(self._job, range(1, jobs + 1)))
        self._many(
            "INSERT INTO labels(entity_type, job_id, version, metadata, write_origin, created_at)"
            " VALUES ('job', ?, 1, ?, 'system', ?)",
            map(self._label, range(1, jobs + 1)),
        )
        self._connection.commit()

    def _write_artifacts(self, count: int) -> None:
        self._many(
            "INSERT INTO artifacts(id, size, first_seen_at, first_seen_path, kind) VALUES (?, ?, ?, ?, 'primitive')",
            ((_artifact_id(number), number % 1_000_000, STARTED, self._path(number)) for number in range(count)),
        )
        self._many(
            "INSERT INTO artifact_hashes VALUES (?, 'blake3', ?)",
            ((_artifact_id(number), self._hex(64)) for number in range(count)),
        )

    def _outputs(self, jobs: int, inputs: int, outputs: int) -> Iterator[Row]:
        for job in range(jobs):
            for number in range(inputs + job * outputs, inputs + (job + 1) * outputs):
                yield job + 1, _artifact_id(number), self._path(number)

    def _inputs(self, jobs: int, inputs: int, outputs: int) -> Iterator[Row]:
        for job in range(jobs):
            written = inputs + job * outputs
            window = range(max(0, written - max(_RECENT, inputs)), written)
            for number in self._chance.sample(window, min(inputs, len(window))):
                yield job + 1, _artifact_id(number), self._path(number)

    def _job(self, number: int) -> Row:
        command = f"python step.py --stage {number} --learning-rate 0.{number % 97:02d} --out data/{number}"
        return (
            number,
            f"{number:08x}",
            STARTED + number,
            command,
            "step.py",
            self._hex(16),
            1,
            number,
            "https://github.com/acme/synthetic.git",
            self._commit,
            "main",
            round(self._chance.random() * 10, 6),
            0,
            "local",
            "host",
            json.dumps(self._metadata(number, command)),
        )

    def _metadata(self, number: int, command: str) -> dict[str, Any]:
        """About 1.5 kB, shaped as roar captures it."""
        packages = {f"package-{index}": f"{index}.{number % 7}.0" for index in range(12)}
        return {
            "roar_version": "0.4.7",
            "packages": {"pip": packages | {"PyYAML": "6.0", "cryptography": "38.0.4", "tiktoken": "0.11.0"}},
            "runtime": {
                "hostname": "worker",
                "timing": {"start": STARTED + number, "duration_seconds": number / 7},
                "command": command.split(),
                "os": {"system": "Linux", "release": "6.1.0", "version": "#1 SMP", "machine": "x86_64"},
                "python": {"version": "3.11.7", "implementation": "CPython"},
                "env_vars": {"CUDA_VISIBLE_DEVICES": "0"},
                "cpu": {"count": 16, "model": "EPYC", "architecture": "x86_64", "sockets": 1},
                "memory": {"total_mb": 64_000, "available_mb": 60_000 - number % 1000},
                "gpu": [{"name": "A100", "memory_mb": 81_920, "utilization": 0.5} for _ in range(2)],
            },
            "python_capture": "complete",
            "git": {
                "commit": self._commit,
                "branch": "main",
                "remote_url": "https://github.com/acme/synthetic.git",
                "clean": True,
                "uncommitted_changes": None,
                "commit_timestamp": "2026-01-02 03:04:05 +0000",
                "commit_message": "init",
            },
            "cwd": "",
        }

    def _label(self, number: int) -> Row:
        label = {"roar": {"git": {"branch": "main", "commit": self._commit}, "operation": {"kind": "run"}}}
        return number, json.dumps(label, sort_keys=True), STARTED + number

    def _path(self, number: int) -> str:
        return str(self._root / "data" / f"file-{number:07d}.bin")

    def _hex(self, length: int) -> str:
        return f"{self._chance.getrandbits(4 * length):0{length}x}"

    def _many(self, statement: str, rows: Iterator[Row]) -> None:
        self._connection.executemany(statement, rows)


def _artifact_id(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15 % 2**128:032x}"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make a roar project of any size.")
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--links", type=int, default=10, help="links of each job")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    make_project(options.folder, jobs=options.jobs, links_per_job=options.links, seed=options.seed)


if __name__ == "__main__":
    main()
