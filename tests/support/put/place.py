"""One test's own project, state folder, registry and destination, and the program in it."""

import json
import shutil
import sqlite3
import subprocess
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from roar_publisher.engine.staging.upload_journal import uploads_in_progress
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.journal import Journal
from roar_publisher.state.machine import LIVE, State
from roar_publisher.state.paths import FINGERPRINT, PublishPaths, StateFolder
from roar_publisher.storage.parts import part_count, part_range
from tests.support.processes import line_of
from tests.support.put.destinations import Destination
from tests.support.put.forked_program import ProgramResult, ProgramRun
from tests.support.put.project import PART_BYTES, copied, home_environment, output_files
from tests.support.storage.proxy import Seen

MESSAGE = "release one"


class ForkingProcess:
    """Sends orders to the process that forks."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def execute(self, order: ProgramRun) -> ProgramResult:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(order)) + "\n")
        self._process.stdin.flush()
        return ProgramResult(**json.loads(line_of(self._process)))


@dataclass(frozen=True)
class JournalState:
    """The state of a journal between two runs.

    state: None without a frozen plan.  stored: keys.  parts: (key, part) acknowledged, of objects not stored yet.
    uploads: the keys of the uploads that are remembered, by their ids.  provisional: the hash that the plan expects.
    """

    paths: PublishPaths
    state: State | None
    stored: frozenset[str] = frozenset()
    missing: frozenset[str] = frozenset()
    parts: frozenset[tuple[str, int]] = frozenset()
    uploads: Mapping[str, str] = field(default_factory=dict)
    provisional: str = ""

    @property
    def interrupted(self) -> bool:
        return self.state in LIVE


class Place:
    """Everything that one put of `outputs` needs. registry: the address of its own registry."""

    def __init__(
        self,
        folder: Path,
        template: Path,
        registries: str,
        destination: Destination,
        forking_process: ForkingProcess,
        name: str,
    ) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.project = copied(template, folder / "project")
        self.files = output_files(self.project)
        self.state = StateFolder(folder / "state")
        self.registry = f"{registries}/{name}"
        self.destination = destination
        self._living = forking_process
        (folder / "home").mkdir()
        own = {"ROAR_STATE_DIR": str(self.state.root), "GLAAS_URL": self.registry}
        self.env = home_environment(folder / "home", **own, **destination.env)

    def put(self, *more: str, kill_at: tuple[str, int] | None = None, short_waits: bool = False) -> ProgramResult:
        """Run `roar put outputs DEST --public -y`."""
        typed = ("put", "outputs", self.destination.url, "-m", MESSAGE, "--public", "-y", *more)
        return self.roar(*typed, kill_at=kill_at, short_waits=short_waits)

    def resume(self, *more: str, kill_at: tuple[str, int] | None = None, short_waits: bool = False) -> ProgramResult:
        """Run `roar publish --resume`."""
        return self.roar("publish", "--resume", "-y", *more, kill_at=kill_at, short_waits=short_waits)

    def roar(self, *arguments: str, kill_at: tuple[str, int] | None = None, short_waits: bool = False) -> ProgramResult:
        """Run any command line of ours in a process of its own."""
        answer = Path(self.folder, "answer")
        answer.mkdir(exist_ok=True)
        order = ProgramRun(list(arguments), str(self.project), self.env, str(answer), kill_at, short_waits)
        return self._living.execute(order)

    def discard(self) -> None:
        """Free disk and memory; nothing else works afterwards. Repeating it is harmless."""
        self.destination.clear()
        self.files.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---------------------------------------------------------------- what came of it

    def publishes(self) -> list[JournalState]:
        """Return every publish in the state folder."""
        return [_journal_state(paths) for paths in self.state.all_publishes()]

    def only_publish(self) -> JournalState:
        """Return the only publish in the state folder, or None if there is none yet."""
        lefts = self.publishes()
        assert len(lefts) <= 1
        return lefts[0] if lefts else JournalState(PublishPaths(self.state.publishes / "none"), None)

    @property
    def seen(self) -> list[Seen]:
        """Return every request that reached the store; none for a folder."""
        return self.destination.proxy.seen if self.destination.proxy else []

    def part_sizes(self, key: str) -> list[tuple[int, int]]:
        """Return the (part from 1, bytes) of a file."""
        size = len(self.files[key])
        return [
            (number, part_range(number, size, PART_BYTES)[1]) for number in range(1, part_count(size, PART_BYTES) + 1)
        ]

    @property
    def parts_of_large(self) -> int:
        """Return how many parts the largest file has."""
        return max(len(self.part_sizes(key)) for key in self.files)

    def ask(self, what: str) -> Any:
        """Return what the registry's process reports: `log` or `published`."""
        with urllib.request.urlopen(f"{self.registry}/{what}") as reply:
            return json.load(reply)

    def status_of(self, lineage_hash: str) -> int:
        """Return the registry's answer to a reader of that lineage."""
        try:
            with urllib.request.urlopen(f"{self.registry}/api/v1/sessions/{lineage_hash}") as reply:
                return int(reply.status)
        except HTTPError as error:
            with closing(error):
                return error.code

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query of roar.db."""
        with closing(sqlite3.connect(self.project / ".roar" / "roar.db")) as connection:
            return connection.execute(sql).fetchall()

    def leftovers(self) -> list[str]:
        """Return files that should be gone once a publish has ended; an unfinished plan has sent nothing."""
        kept = ("journal.db", "journal.db-journal", "lock", FINGERPRINT)
        begun = [publishes.paths.folder for publishes in self.publishes() if publishes.state is not None]
        files = [path for folder in begun for path in folder.rglob("*") if path.is_file()]
        return [str(path.relative_to(self.state.publishes)) for path in files if not path.name.startswith(kept)]

    def check_published_once(self) -> str:
        """Assert that exactly what was put is stored and published, and return the lineage's hash."""
        assert self.destination.keys() == sorted(self.files), self.destination.keys()
        assert [key for key, content in self.files.items() if self.destination.read(key) != content] == []
        count, lineage_hash, *counts = self.ask("published")
        assert (count, counts[0]) == (1, 3), "one lineage, of two steps and the put"
        assert self.status_of(lineage_hash) == 200
        assert self.rows("SELECT count(*) FROM jobs WHERE job_type = 'put' AND synced_at IS NOT NULL") == [(1,)]
        assert not (leftovers := self.leftovers()), leftovers
        return str(lineage_hash)

    def check_not_published(self) -> None:
        """Assert that readers see nothing under any possible hash."""
        assert self.ask("published")[0] == 0
        for publishes in self.publishes():
            assert self.status_of(publishes.provisional) == 404
        assert self.rows("SELECT count(*) FROM jobs WHERE job_type = 'put'") == [(0,)]


def _journal_state(paths: PublishPaths) -> JournalState:
    try:
        with Journal(paths.journal, read_only=True) as journal:
            progress, plan, objects = journal.progress(), journal.plan(), journal.objects
            missing = objects.all(only_missing=True)
            uploads = [
                (record.upload.id, record.key)
                for record in uploads_in_progress(paths, journal).values()
                if record.upload
            ]
            return JournalState(
                paths,
                progress.state,
                stored=frozenset(row.key for row in objects.all()) - {row.key for row in missing},
                missing=frozenset(row.key for row in missing),
                parts=frozenset((row.key, part.number) for row in missing for part in objects.parts(row.seq)),
                uploads=dict(uploads),
                provisional=plan.provisional["anonymous"],
            )
    except LocalProblem:
        return JournalState(paths, None)  # it died before its plan was frozen
