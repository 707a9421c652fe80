"""Captured projects with their real files, and plans made from them."""

import atexit
import json
import shutil
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import anyio

from roar_publisher.auth.choice import Flag
from roar_publisher.lineage.plan import PlanSummary
from roar_publisher.lineage.project import find_project
from roar_publisher.planning.plans import Draft, PutPlan
from roar_publisher.planning.put.plan import plan_put
from roar_publisher.planning.put.prepare import digest_sources
from roar_publisher.planning.put.record import PutRecord
from roar_publisher.planning.put.request import PutRequest
from roar_publisher.planning.put.sources import resolve_sources
from roar_publisher.state.units import Kind, Unit
from tests.support.lineage.captured import captured_project, git, run_again
from tests.support.lineages import Lineage

DESTINATION = "s3://bucket/some/where"
NOW = 1_800_000_000.0
TAGGING = "[registration.tagging]\n# Create git tag on successful registration\nenabled = "
"""The tag setting as roar writes it: captured off, tested on, because roar-cli's put ignores it."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with its units."""

    draft: Draft
    units: list[Unit]

    @property
    def summary(self) -> PlanSummary:
        return self.draft.summary

    @property
    def put(self) -> PutPlan:
        assert self.draft.put is not None
        return self.draft.put

    @property
    def record(self) -> PutRecord:
        return PutRecord.from_json(self.put.record)

    def items(self, kind: Kind) -> list[dict[str, Any]]:
        """Return the items of one kind."""
        return [item for _uid, items in self.by_job(kind) for item in items]

    def by_job(self, kind: Kind) -> list[tuple[str | None, list[dict[str, Any]]]]:
        """Return the items of every unit of one kind, with the local uid of their job."""
        return [(unit.job_uid, json.loads(unit.body)) for unit in self.units if unit.kind is kind]


def put_project(folder: Path, name: str = "linear") -> Path:
    """Make the project `name` in `folder`, with the files that its jobs wrote, and roar.db's paths of them."""
    root = folder / name
    shutil.copytree(_template(name), root, symlinks=True)
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection, connection:
        for table, column in (("job_outputs", "path"), ("job_inputs", "path"), ("artifacts", "first_seen_path")):
            connection.execute(f"UPDATE {table} SET {column} = replace({column}, '/home/dev/{name}', ?)", (str(root),))
    return root


@cache
def _template(name: str) -> Path:
    folder = Path(mkdtemp(prefix="put-template-"))
    atexit.register(shutil.rmtree, folder)
    root = captured_project(name, folder)
    run_again(root)
    config = root / ".roar" / "config.toml"
    before = config.read_text()
    assert f"{TAGGING}false" in before
    config.write_text(before.replace(f"{TAGGING}false", f"{TAGGING}true"))
    return root


def capture(root: Path, lineage: Lineage) -> None:
    """Record the jobs of a lineage in roar.db, where its publish will be marked."""
    with closing(sqlite3.connect(root / ".roar" / "roar.db")) as connection, connection:
        jobs = [(job.uid,) for job in lineage.jobs]
        connection.executemany("INSERT INTO jobs(job_uid, timestamp, command) VALUES (?, 1, 'train')", jobs)


def write(root: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files below `root`, and commit them."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    commit(root)


def commit(root: Path) -> None:
    """Commit every file of the project."""
    git("add", "-A", cwd=root)
    git("commit", "--quiet", "--allow-empty", "-m", "more", cwd=root)


def request(root: Path, *sources: str, **options: Any) -> PutRequest:
    """Return a request with defaults for what most tests do not vary."""
    given: dict[str, Any] = {"destination": DESTINATION, "message": "a message", "flag": Flag.PUBLIC} | options
    return PutRequest(project=find_project(root), sources=sources, **given)


def plan(root: Path, *sources: str, **options: Any) -> Planned:
    """Resolve, digest and plan the sources."""
    return plan_of(request(root, *sources, **options))


def plan_of(wanted: PutRequest, now: float = NOW) -> Planned:
    """Return the plan of a request."""
    units: list[Unit] = []

    def keep(chunk: Iterable[Unit]) -> None:
        units.extend(chunk)

    digested = anyio.run(digest_sources, resolve_sources(wanted))
    url = f"{wanted.destination}/{{}}".format
    draft = plan_put(wanted, digested, wanted.destination, url, identities=(), sink=keep, now=now)
    return Planned(draft, units)
