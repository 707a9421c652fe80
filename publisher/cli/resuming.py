"""Which publish `--resume` means."""

from pathlib import Path

from roar_publisher.cli.failure import Cancelled, Failed
from roar_publisher.lineage.project import find_project
from roar_publisher.state.errors import Owned, UsageProblem
from roar_publisher.state.lock import owner
from roar_publisher.state.machine import State
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.survey import Summary, look, survey


def find_publish(wanted: str, folder: StateFolder, cwd: Path) -> Summary:
    """The publish to resume: the one whose id begins with `wanted`, or for "" the newest interrupted of the project.

    It may be DONE already, or in the daemon's hands.  Raises UsageProblem where there is none, Cancelled,
    Failed where it has failed, Owned where another terminal works on the only one there is.
    """
    summary = look(folder.find(wanted)) if wanted else _newest(folder, cwd)
    publish_id = summary.plan.id
    if summary.progress.state is State.FAILED:
        raise Failed(publish_id, summary.progress.detail, reason=summary.progress.reason, retry=True)
    if summary.progress.state is State.CANCELLED:
        raise Cancelled(publish_id)
    return summary


def daemon_works_on(folder: StateFolder, found: Summary) -> bool:
    """Whether it is the daemon that works on a publish now."""
    return found.owner is not None and found.owner == owner(folder.daemon_lock)


def _newest(folder: StateFolder, cwd: Path) -> Summary:
    project = find_project(cwd).root
    running: Summary | None = None
    moved: Summary | None = None
    for found in survey(folder):
        if not isinstance(found, Summary) or found.plan.project != str(project):
            continue
        if found.interrupted and found.progress.reason == Reason.EXPORTED:
            moved = moved or found
        elif found.interrupted:
            return found
        if found.owner is not None:
            running = running or found
    if running is not None and daemon_works_on(folder, running):
        return running
    if running is not None:
        raise Owned(
            f"publish {running.plan.id} of this project is being worked on (pid {running.owner})",
            kept="It goes on undisturbed.",
            next_step=f"roar publish --watch {running.plan.id}",
            reason="owned",
        )
    if moved is not None:
        raise UsageProblem(
            f"publish {moved.plan.id} of this project was moved to another machine",
            next_step=f"take it back: roar publish --resume {moved.plan.id}",
        )
    raise UsageProblem(f"no publish of {project} is interrupted", next_step="roar publish, or: roar journal list")
