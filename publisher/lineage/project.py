"""The roar project around a folder."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from roar_publisher.lineage.config import ROAR_FOLDER, Config, NamedRegistry, load_config, user_registry
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.home import home_to_read
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import NamedBy


class Project(Struct, frozen=True):
    """A folder in which roar captured lineage."""

    root: Path
    roar_dir: Path
    database: Path
    config: Config

    def registry(self, environ: Mapping[str, str] = os.environ) -> NamedRegistry:
        """Return `GLAAS_URL`, else the registry that the project chooses, else the user's, else the public registry.

        Raises LocalProblem if the user's configuration file cannot be read.
        """
        return _registry_of(self.config, environ)


def current_folder() -> Path:
    """Return the current folder. Raises LocalProblem if it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise LocalProblem(
            "the current folder no longer exists",
            next_step="go into the project's folder (`cd`), then try again",
            reason=Reason.NO_PROJECT,
        ) from error


def registry_here(environ: Mapping[str, str], typed: str | None) -> tuple[NamedRegistry, str]:
    """Return the registry that `typed` names, else `Project.registry` of the current folder, and the project's key.

    Without a project here: `GLAAS_URL`, else the user's, and no key. Raises LocalProblem if a configuration cannot be
    read: another registry than the project's must not be asked instead.
    """
    try:
        project = find_project(current_folder())
    except LocalProblem as problem:
        if problem.reason not in (Reason.NO_PROJECT, Reason.PROJECT_PATH):
            raise
        return _registry_of(Config(), environ, typed), ""
    return _registry_of(project.config, environ, typed), project.config.glaas_key or ""


def chosen_registry(environ: Mapping[str, str], typed: str | None) -> NamedRegistry | None:
    """Return the registry that `typed` or `GLAAS_URL` names, or None."""
    if typed is not None:
        return NamedRegistry(typed, NamedBy.OPTION)
    named = environ.get("GLAAS_URL", "").strip()
    return NamedRegistry(named, NamedBy.ENVIRONMENT) if named else None


def _registry_of(config: Config, environ: Mapping[str, str], typed: str | None = None) -> NamedRegistry:
    if (chosen := chosen_registry(environ, typed)) is not None:
        return chosen
    if config.glaas_url is not None:
        return NamedRegistry(config.glaas_url, NamedBy.PROJECT, config.glaas_url_file)
    return user_registry(environ)


def find_project(start: Path) -> Project:
    """Return the project of `start`: the nearest folder at or above it that holds `.roar/`.

    The home folder holds one on every machine, for roar's own log; it counts if there is a project in it, too.

    Raises LocalProblem if there is none, if `start` is no folder (a mistyped one must not mean the project around it),
    if another user has put it into a folder that all users may write into (`/tmp`), or if its configuration cannot be
    read.
    """
    _refuse_missing_folder(start)
    _refuse_undecodable_path(start)
    for folder in (start.resolve(), *start.resolve().parents):
        roar_dir = folder / ROAR_FOLDER
        # False if the folder is not accessible; `Path.is_dir` raises then.
        if os.path.isdir(roar_dir) and not _has_only_roars_log(roar_dir):
            _refuse_other_users_project(roar_dir)
            return Project(folder, roar_dir, roar_dir / "roar.db", load_config(folder))
    raise LocalProblem(
        f"there is no roar project here: no {ROAR_FOLDER}/ folder in {start} or above it",
        next_step="go into the project's folder, or start one with `roar init`",
        reason=Reason.NO_PROJECT,
    )


def _has_only_roars_log(roar_dir: Path) -> bool:
    in_home = os.path.realpath(roar_dir.parent) == os.path.realpath(home_to_read())
    return in_home and not any(os.path.lexists(roar_dir / name) for name in ("roar.db", "config.toml"))


def _refuse_other_users_project(roar_dir: Path) -> None:
    """Raise LocalProblem for a `.roar` that another user has put into a folder that all users may write into.

    It would decide what is published from the folders below. A colleague's project is accepted, because only its owner
    may write into its folder.
    """
    folder, own = roar_dir.parent.stat(), roar_dir.lstat()
    planted = folder.st_mode & stat.S_IWOTH and own.st_uid not in (os.geteuid(), folder.st_uid)
    if planted:
        raise LocalProblem(
            f"{roar_dir} belongs to another user (uid {own.st_uid}), in a folder that all users may write into",
            kept="Nothing was read.",
            next_step="go into the folder of a project of your own, or start one with `roar init`",
            reason=Reason.NO_PROJECT,
        )


def _refuse_missing_folder(start: Path) -> None:
    try:
        if stat.S_ISDIR(start.stat().st_mode):
            return
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the path
        pass
    except OSError:
        return  # it may be one
    raise LocalProblem(
        f"there is no folder {os.fsencode(start).decode('utf-8', 'replace')}",
        next_step="give a folder of the project",
        reason=Reason.NO_PROJECT,
    )


def _refuse_undecodable_path(start: Path) -> None:
    """Raise LocalProblem unless the path is valid text, because journals and registries store texts."""
    try:
        str(start.resolve()).encode("utf-8")
    except UnicodeEncodeError:
        raise LocalProblem(
            f"the path of this folder is not valid UTF-8: {os.fsencode(start.resolve()).decode('utf-8', 'replace')}",
            next_step="rename the folder, or move the project, and try again",
            reason=Reason.PROJECT_PATH,
        ) from None
