"""Everything at once, and nothing simulated: detached publishes, a daemon that is killed, a network that is cut.

`roar publish --detach` is a process each time, the daemon is killed with SIGKILL at random moments and started again,
the network loses pieces and falls silent, the registry is killed and comes back. In the end every lineage is in the
registry's database once.
"""

import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.cli.program import Ended, Program
from tests.support.daemon.daemons import pid_of, program_with_daemons
from tests.support.daemon.surroundings import (
    Link,
    Registry,
    check_clean,
    kill_daemon,
    link_to,
    log_of,
    publishes_of,
    registry_at,
    wait_until,
    wanted_of,
)
from tests.support.lineage.captured import captured_project, recorded
from tests.support.sampling import EXHAUSTIVE, SEED
from tests.support.synthetic import make_project

PUBLISHES, KILLS = (200, 50) if EXHAUSTIVE else (20, 4)
AT_ONCE = 3
"""Concurrent command lines."""
STORM = "storm 0.1"
END_SECONDS = 300.0
"""How long everything may take once the world is calm."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at processes through /proc")


@dataclass
class Order:
    """A command line to type, and where."""

    project: Path
    target: tuple[str, ...] = ()


@dataclass
class Trouble:
    """Does harm at random moments.  done: how often which."""

    program: Program
    registry: Registry
    link: Link
    rng: random.Random
    done: dict[str, int] = field(default_factory=dict)

    def strike(self) -> None:
        """One harm, after a random time; what it breaks works again afterwards, but the daemon that it killed."""
        time.sleep(self.rng.uniform(0.05, 1.0))
        what = self.rng.choice(["kill", "kill", "kill", "cut", "storm", "registry"])
        match what:
            case "kill":
                if kill_daemon(self.program) is None:
                    return
                self.program("daemon", "start")
            case "cut":
                self.link.cut()
                time.sleep(self.rng.uniform(0.1, 2.0))
                self.link.restore()
            case "storm":
                self.link.order(self.rng.choice([STORM, "calm"]))
            case "registry":
                self.registry.kill()
                time.sleep(self.rng.uniform(0.1, 1.0))
                self.registry.start()
        self.done[what] = self.done.get(what, 0) + 1


@contextmanager
def hooked(folder: Path) -> Iterator[Path]:
    """Provide a home whose configuration reports every end to a file; yields that file."""
    ends = folder / "ends"
    config = folder / "home" / ".config" / "roar" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        f"[publisher]\nnotify = false\non_done = ['sh', '-c', 'echo $ROAR_PUBLISH_ID $ROAR_PUBLISH_HASH >> {ends}']\n"
    )
    yield ends


def orders(folder: Path) -> list[Order]:
    """Both captured projects, and as many steps of synthetic ones as there have to be publishes."""
    made = [Order(captured_project(name, folder)) for name in ("linear", "diamond")]
    steps = (PUBLISHES - len(made)) // 2
    for seed in (1, 2):
        project = make_project(folder / f"synthetic{seed}", jobs=steps, links_per_job=6, seed=seed)
        made += [Order(project, (f"@{step}",)) for step in range(1, steps + 1)]
    return made


def test_whichever_process_dies_every_publish_is_published_once(tmp_path: Path) -> None:
    projects, temporary = tmp_path / "projects", tmp_path / "tmp"
    projects.mkdir()
    temporary.mkdir()
    rng = random.Random(SEED)
    print(f"ROAR_TEST_SAMPLE={SEED}")  # noqa: T201  shown where it fails
    with (
        hooked(tmp_path) as ends,
        registry_at(tmp_path / "data") as registry,
        link_to(registry, int(SEED)) as link,
        program_with_daemons(projects, tmp_path, GLAAS_URL=link.url, TMPDIR=str(temporary)) as program,
        ThreadPoolExecutor(AT_ONCE) as typists,
    ):

        def type_in(order: Order) -> Ended:
            there = Program(order.project, program.state, program.env)
            return there("publish", *order.target, "--public", "-y", "--detach", "--json")

        queue = orders(projects)
        rng.shuffle(queue)
        typed: list[Future[Ended]] = [typists.submit(type_in, order) for order in queue]
        trouble = Trouble(program, registry, link, rng)
        while trouble.done.get("kill", 0) < KILLS:
            trouble.strike()
            if pid_of(program) is None and any(future.done() for future in typed):
                program("daemon", "start")
        for future in typed:
            assert future.result().code in (0, 3), future.result().err
        link.order("calm")
        program("daemon", "start")
        wait_until(lambda: all(found.queued.notified for found in publishes_of(program)), END_SECONDS)
        stopped = program("daemon", "stop")
        assert stopped.code == 0, stopped.err
        registry.kill()

        found = publishes_of(program)
        assert len(found) == len(queue)
        assert registry.published() == wanted_of(found)
        hashes = {one.progress.hash for one in found}
        assert {recorded(name, "session")["finalized_hash"] for name in ("linear", "diamond")} <= hashes
        assert set(ends.read_text().split("\n")) - {""} == {f"{one.paths.id} {one.progress.hash}" for one in found}
        check_clean(program)
        resumed = sum(" started -> " in line for line in log_of(program)) - len(found)
        assert resumed > 0 or not EXHAUSTIVE, "no daemon died at work"  # few kills may all come between two publishes
        assert not list(temporary.iterdir())
        print(f"{len(found)} publishes, resumed {resumed} times, {trouble.done}")  # noqa: T201
