"""What every checkpoint of a publisher shares, checked before the training begins."""

import os
import time
from pathlib import Path

from msgspec import Struct

from roar_publisher.checkpoints.record import HeldSource, Record
from roar_publisher.checkpoints.series import Series, register
from roar_publisher.lineage.project import find_project
from roar_publisher.planning.put.worktree import clean_commit
from roar_publisher.publishing.arguments import StrPath, Visibility, flag_of, folder_of
from roar_publisher.publishing.order import check_texts
from roar_publisher.publishing.request import find_registry
from roar_publisher.state.errors import LocalProblem, UsageProblem
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import NamedBy
from roar_publisher.storage.addresses import parse_destination
from roar_publisher.storage.kinds import STORES

STRAY_SECONDS = 3600.0
"""A snapshot without a record that is older was left behind by a process that was killed."""


class Settings(Struct, frozen=True, kw_only=True):
    """What the records of a series have in common; the names are those of `Record`."""

    root: Path
    roar_dir: Path
    destination: str
    commit: str
    visibility: Visibility | None
    registry: str
    named_by: NamedBy
    message: str
    keep: int
    yes: bool

    def typed(self, path: Path) -> str:
        """Return a path as a put would name it: relative to the project, if it is inside."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    def record(
        self, step: int, metrics: dict[str, float], sources: tuple[HeldSource, ...], snapshot: Path, *, pinned: bool
    ) -> Record:
        """Return the record of a new checkpoint. Its end only counts if it is not accepted."""
        return Record(
            name=f"step-{step:08d}",
            step=step,
            created_at=time.time(),
            metrics=metrics,
            pinned=pinned,
            size=sum(size for one in sources for size, _time in one.files.values()),
            home=str(snapshot),
            sources=sources,
            destination=self.destination,
            message=f"{self.message}, step {step}",
            visibility=self.visibility,
            registry=self.registry,
            named_by=self.named_by,
            yes=self.yes,
            project=str(self.root),
            commit=self.commit,
            keep=self.keep,
        )


def settings_of(
    destination: StrPath,
    project: StrPath,
    *,
    visibility: Visibility | None,
    registry: str | None,
    message: str,
    keep: int,
    yes: bool,
) -> Settings:
    """Return the settings. Raises UsageProblem and LocalProblem for what no put could use.

    The registry is chosen here, because the daemon that publishes later has another environment.
    """
    flag_of(visibility)
    check_texts(None, registry, None)
    found = find_project(folder_of(project))
    named = find_registry(found, registry, os.environ)
    if not message.strip():
        raise UsageProblem("the message is empty", next_step="say what the checkpoints are for")
    return Settings(
        root=found.root,
        roar_dir=found.roar_dir,
        destination=_checked(os.fspath(destination), found.root),
        commit=clean_commit(found.root),
        visibility=visibility,
        registry=named.url,
        named_by=named.by,
        message=message,
        keep=keep,
        yes=yes,
    )


def open_series(settings: Settings) -> tuple[StateFolder, Series]:
    """Return the state folder, and the series, which its daemon knows from then on. Raises LocalProblem."""
    folder = StateFolder.from_environment(os.environ)
    try:
        series = Series.of(register(folder, settings.roar_dir), settings.destination)
        series.make()
        if settings.yes:
            series.agree(settings.visibility, settings.registry, time.time())
        series.remove_strays(time.time() - STRAY_SECONDS)
    except OSError as error:
        raise LocalProblem(
            f"the queue of checkpoints cannot be created: {error}",
            next_step="fix the permissions of the project's .roar folder and of the state folder",
            reason=Reason.STATE_DIRECTORY,
        ) from error
    return folder, series


def _checked(destination: str, root: Path) -> str:
    """Return a destination in the one form that its series is known by, which does not depend on a current folder.

    Raises UsageProblem, also for a missing extra.
    """
    if "://" not in destination:
        destination = os.path.normpath(root / os.path.expanduser(destination))
    address = parse_destination(destination)
    if address.is_folder:
        return address.path
    STORES[address.scheme].require_extra()
    return destination.rstrip("/")
