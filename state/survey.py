"""Looking at publishes without owning them: what `roar journal list` shows, and what `--resume` chooses from."""

from collections.abc import Iterator
from dataclasses import dataclass

from state.errors import LocalProblem
from state.journal import Journal
from state.lock import owner
from state.machine import LIVE
from state.objects import ObjectTally
from state.paths import PublishPaths, StateFolder
from state.record import Plan, Progress, Tally
from state.units import Kind


@dataclass(frozen=True, slots=True)
class Summary:
    """One publish as it stands.  owner: the pid that works on it now, None if nobody does."""

    paths: PublishPaths
    plan: Plan
    progress: Progress
    tally: dict[Kind, Tally]
    objects: ObjectTally
    owner: int | None

    @property
    def interrupted(self) -> bool:
        """Whether it has work left and nobody works on it."""
        return self.progress.state in LIVE and self.owner is None


def look(paths: PublishPaths) -> Summary:
    """One publish.  Raises LocalProblem if it has no finished plan or its journal can't be read."""
    if not paths.journal.exists():
        raise LocalProblem(f"publish {paths.id} has no journal", next_step="roar journal prune", reason="no plan")
    with Journal(paths.journal, read_only=True) as journal:
        return Summary(
            paths,
            journal.plan(),
            journal.progress(),
            journal.tally(),
            journal.objects.tally(),
            owner(paths.lock),
        )


def survey(folder: StateFolder) -> Iterator[Summary | tuple[PublishPaths, LocalProblem]]:
    """Every publish, newest first; in place of one that can't be read, its paths and why."""
    found: list[Summary] = []
    for paths in folder.all_publishes():
        try:
            found.append(look(paths))
        except LocalProblem as problem:
            yield paths, problem
    yield from sorted(found, key=lambda summary: summary.plan.created_at, reverse=True)
