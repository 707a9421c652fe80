"""Secrets in every place of a project reach neither the registry nor an output nor what a journal keeps of them."""

import json
import random
import sqlite3
import string
import zlib
from contextlib import closing, suppress
from pathlib import Path

from tests.support.cli.program import Ended, Program
from tests.support.lineage.captured import git
from tests.support.put.projects import put_project
from tests.support.registry.processes import serving

SEED = 5
PIECE = 8
"""So many characters of a secret in a row are a tail that was left."""


class Planted:
    """A project with another secret in each place."""

    def __init__(self, folder: Path) -> None:
        self._chance = random.Random(SEED)
        self.secrets: dict[str, str] = {}
        self.root = put_project(folder)
        url = f"https://me:{self.new('the git URL', '', 20)}@github.com/acme/linear.git"
        git("checkout", "--quiet", "-b", f"fix/{self.new('the branch', 'gh' + 'p_', 36)}", cwd=self.root)
        git("remote", "set-url", "origin", url, cwd=self.root)
        with closing(sqlite3.connect(self.root / ".roar" / "roar.db")) as roar, roar:
            self._plant(roar)

    def new(self, where: str, start: str, length: int) -> str:
        body = "".join(self._chance.choice(string.ascii_letters + string.digits) for _ in range(length - 1)) + "7"
        self.secrets[where] = body
        return start + body

    def _plant(self, roar: sqlite3.Connection) -> None:
        password = self.new("a command", "", 12)
        roar.execute("UPDATE jobs SET command = command || ? WHERE id = 1", [f" --password '{password} x'"])
        roar.execute(
            "UPDATE jobs SET command = command || ? WHERE id = 2",
            [f"; redis-cli -a {self.new('the option of a program', '', 12)}"],
        )
        metadata = {
            "hyperparameters": {
                "lr": 0.1,
                "api_key": self.new("a hyperparameter", "", 24),
                "note": f"see {self.new('a text of the metadata', 'sk' + '-proj-', 60)}",
            },
            "runtime": {
                "command": ["mysql", "-p" + self.new("a list", "", 12)],
                "env_vars": {"WANDB_API_KEY": self.new("a variable", "", 40)},
            },
            "url": f"https://h/x?X-Amz-Signature={self.new('a presigned URL', '', 64)}&x=1",
        }
        roar.execute("UPDATE jobs SET metadata = ?", [json.dumps(metadata)])
        place = f"/data/{self.new('a path', 'hf' + '_', 34)}/x.csv"
        roar.execute("UPDATE job_inputs SET path = ? WHERE rowid = 1", [place])
        roar.execute(
            "UPDATE artifacts SET source_type = 's3', source_url = ?",
            [f"https://b.s3.amazonaws.com/k?AWSAccessKeyId=x&Signature={self.new('a source URL', '', 27)}"],
        )
        for kind, column, table in (("dag", "session_id", "sessions"), ("job", "job_id", "jobs")):
            label = json.dumps({"note": f"token={self.new(f'a label of a {kind}', '', 24)}"})
            roar.execute(
                f"INSERT INTO labels(entity_type, {column}, version, metadata, created_at)"
                f" SELECT ?, id, 99, ?, 1700000000 FROM {table} LIMIT 1",
                [kind, label],
            )

    def seen_in(self, text: str) -> list[str]:
        """The places whose secret, or a piece of it, is in a text."""
        return [
            where
            for where, secret in self.secrets.items()
            if any(secret[start : start + PIECE] in text for start in range(len(secret) - PIECE + 1))
        ]


def test_no_planted_secret_reaches_the_registry_or_an_output_or_a_unit_of_the_journal(tmp_path: Path) -> None:
    planted = Planted(tmp_path)
    program = Program.within(planted.root, tmp_path)
    message = f"for Bearer {planted.new('the message', '', 40)}"
    assert len(planted.seen_in(contents(planted.root / ".roar") + contents(planted.root / ".git"))) >= 12
    with serving(tmp_path / "registry") as process:
        order = ("model.bin", str(tmp_path / "store"), "-m", message, "--public", "-y", "--registry", process.url)
        outputs: list[Ended] = [
            program("publish", "--dry-run", "--public", "--registry", process.url),
            program("publish", "--dry-run", "--public", "--registry", process.url, "--json"),
            program("put", *order, "--dry-run"),
            program("put", *order, "--json"),
            program("publish", "--public", "-y", "--registry", process.url, "-v"),
        ]
        for publish_id in program.publishes:
            outputs += [program("journal", "show", publish_id, *more) for more in ([], ["--json"], ["--why"])]
        outputs += [program("journal", "list", "--json")]
        assert [output.code for output in outputs] == [0] * len(outputs), outputs
        process.stop()
    shown = "\n".join(output.out + output.err for output in outputs)
    assert planted.seen_in(shown) == [], f"seed {SEED}"
    assert "REDACTED" in contents(tmp_path / "registry")
    assert planted.seen_in(contents(tmp_path / "registry")) == [], f"seed {SEED}"
    assert planted.seen_in(contents(tmp_path / "state")) == [], f"seed {SEED}"


def contents(folder: Path) -> str:
    """Every file below a folder as text, with what is compressed in a database."""
    texts: list[str] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            texts.append(path.read_bytes().decode("latin-1"))
        if path.suffix == ".db":
            texts += values(path)
    return "\n".join(texts)


def values(database: Path) -> list[str]:
    found: list[str] = []
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, bytes):
                        with suppress(zlib.error):
                            value = zlib.decompress(value)
                        found.append(value.decode("latin-1"))
                    else:
                        found.append(str(value))
    return found
