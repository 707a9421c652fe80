"""The roar project around a folder, and its configuration.

The configuration is roar's own: `.roar/config.toml`, else `[tool.roar]` in `pyproject.toml`, merged over a committed
`.roarconfig` in the same folder. Nothing here writes.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from roar_publisher.lineage.omission import DEFAULT_SECRET_VARIABLES, CustomShape, OmitConfig, effective
from roar_publisher.lineage.plainfile import read_toml
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.home import home_to_read
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import NamedBy
from roar_publisher.state.xdg import base_folder

DEFAULT_REGISTRY = "https://api.glaas.ai"
ROAR_FOLDER = ".roar"

Table = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class NamedRegistry:
    """A registry's address as it was written, and where it comes from.

    file: the project's file that holds it, otherwise None.
    """

    url: str
    by: NamedBy
    file: Path | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration values that publishing needs.

    table: the merged configuration, for modules that read a section themselves (`[scope]`, `[treqs]`, …).
    source: the file that the user edits to change a value.
    glaas_url_file: the project's file that holds `glaas_url`.
    """

    table: Table = field(default_factory=dict)
    source: Path | None = None
    glaas_url: str | None = None
    glaas_url_file: Path | None = None
    glaas_key: str | None = None
    git_remote: str | None = None
    omit: OmitConfig = field(default_factory=OmitConfig)


@dataclass(frozen=True, slots=True)
class Project:
    """A folder in which roar captured lineage."""

    root: Path
    roar_dir: Path
    database: Path
    config: Config

    def registry(self, environ: Mapping[str, str] = os.environ) -> NamedRegistry:
        """Return `GLAAS_URL`, else the project's `[glaas] url`, else the user's, else the public registry.

        Raises LocalProblem if the user's configuration file cannot be read.
        """
        if named := environ.get("GLAAS_URL", "").strip():
            return NamedRegistry(named, NamedBy.ENVIRONMENT)
        if named := (self.config.glaas_url or "").strip():
            return NamedRegistry(named, NamedBy.PROJECT, self.config.glaas_url_file)
        return user_registry(environ)


def user_registry(environ: Mapping[str, str]) -> NamedRegistry:
    """Return `[glaas] url` of the user's configuration file, else the public registry.

    Raises LocalProblem if that file cannot be read.
    """
    own = _user_config(environ)
    if own is not None and (named := (own.glaas_url or "").strip()):
        return NamedRegistry(named, NamedBy.USER)
    return NamedRegistry(DEFAULT_REGISTRY, NamedBy.DEFAULT)


def current_folder() -> Path:
    """Return the current folder. Raises LocalProblem if it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise LocalProblem(
            "The current folder is not there any more.",
            next_step="Go into the project's folder (`cd`), then try again.",
            reason=Reason.NO_PROJECT,
        ) from error


def find_project(start: Path) -> Project:
    """Return the project of `start`: the nearest folder at or above it that holds `.roar/`.

    Raises LocalProblem where there is none, where another user has put it into a folder of everybody's (`/tmp`), or
    where its configuration cannot be read.
    """
    _refuse_bytes(start)
    for folder in (start.resolve(), *start.resolve().parents):
        roar_dir = folder / ROAR_FOLDER
        if roar_dir.is_dir():
            _refuse_planted(roar_dir)
            return Project(folder, roar_dir, roar_dir / "roar.db", load_config(folder))
    raise LocalProblem(
        f"No roar project here: no {ROAR_FOLDER}/ folder in {start} or above it.",
        next_step="Go into the project's folder, or start one with `roar init`.",
        reason=Reason.NO_PROJECT,
    )


def _refuse_planted(roar_dir: Path) -> None:
    """Whoever may write into a folder above the user's own work can name what is published from there.

    A project that belongs to a colleague is none of that: nobody else may write into its folder.
    """
    folder, own = roar_dir.parent.stat(), roar_dir.lstat()
    planted = folder.st_mode & stat.S_IWOTH and own.st_uid not in (os.geteuid(), folder.st_uid)
    if planted:
        raise LocalProblem(
            f"{roar_dir} belongs to another user (uid {own.st_uid}), in a folder that all users may write into.",
            kept="Nothing of it was read.",
            next_step="Go into the folder of a project of your own, or start one with `roar init`.",
            reason=Reason.NO_PROJECT,
        )


def _refuse_bytes(start: Path) -> None:
    """Raise LocalProblem unless the path is valid text, because journals and registries store texts."""
    try:
        str(start.resolve()).encode("utf-8")
    except UnicodeEncodeError:
        raise LocalProblem(
            f"The path of this folder is not valid UTF-8: {os.fsencode(start.resolve()).decode('utf-8', 'replace')}.",
            next_step="Rename the folder, or move the project, and try again.",
            reason=Reason.PROJECT_PATH,
        ) from None


def load_config(root: Path) -> Config:
    """Return the configuration of the project in `root`.

    Raises LocalProblem, with file and line or key, if a file is not valid TOML or a value has the wrong type.
    """
    table = read_toml(root / ".roarconfig") or {}
    source = root / ROAR_FOLDER / "config.toml"
    local = read_toml(source)
    if local is None:
        pyproject = root / "pyproject.toml"
        tool = (read_toml(pyproject) or {}).get("tool")
        section = tool.get("roar") if isinstance(tool, dict) else None
        if isinstance(section, dict):
            source, local = pyproject, section
    named_here = isinstance(glaas := (local or {}).get("glaas"), dict) and bool(glaas.get("url"))
    _merge(table, local or {})
    config = _Reader(table, source).config()
    own = _user_config(os.environ)
    return replace(
        config,
        glaas_url_file=source if named_here else root / ".roarconfig",
        omit=effective(config.omit, own.omit if own else None),
    )


def _user_config(environ: Mapping[str, str]) -> Config | None:
    """Return the user's own configuration. Only it may switch redaction off, and its registry is the user's choice."""
    path = base_folder(environ, "XDG_CONFIG_HOME", ".config", home_to_read()) / "roar" / "config.toml"
    table = read_toml(path)
    return None if table is None else _Reader(table, path).config()


def _merge(base: dict[str, object], over: Table) -> None:
    for key, value in over.items():
        below = base.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            _merge(below, value)
        else:
            base[key] = value


@dataclass(frozen=True, slots=True)
class _Reader:
    """Typed access to a table, with the dotted key in every error message."""

    table: Table
    source: Path

    def config(self) -> Config:
        return Config(
            table=self.table,
            source=self.source,
            glaas_url=self._text("glaas.url"),
            glaas_key=self._text("glaas.key"),
            git_remote=self._text("git.remote"),
            omit=self._omit(),
        )

    def _omit(self) -> OmitConfig:
        prefix = "registration.omit."
        variables = self._get(prefix + "env_vars.names")
        return OmitConfig(
            enabled=self._flag(prefix + "enabled", default=True),
            values=self._texts(prefix + "secrets.values"),
            variables=DEFAULT_SECRET_VARIABLES if variables is None else self._texts(prefix + "env_vars.names"),
            patterns=self._shapes(prefix + "patterns"),
            allowlist=self._texts(prefix + "allowlist.patterns"),
        )

    def _shapes(self, key: str) -> tuple[CustomShape, ...]:
        rows = self._get(key)
        if rows is None:
            return ()
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._wrong(key, "a list of tables")
        shapes = []
        for number, row in enumerate(cast(list[dict[str, object]], rows)):
            texts = {name: row.get(name) for name in ("id", "pattern", "replacement")}
            if not isinstance(texts["pattern"], str):
                raise self._wrong(f"{key}[{number}].pattern", "a text")
            name = str(texts["id"] or f"custom_{number}")
            shapes.append(CustomShape(name, texts["pattern"], str(texts["replacement"] or "[REDACTED]")))
        return tuple(shapes)

    def _get(self, key: str) -> object:
        value: object = self.table
        walked: list[str] = []
        for part in key.split("."):
            if not isinstance(value, dict):
                raise self._wrong(".".join(walked), "a table")
            value = value.get(part)
            walked.append(part)
            if value is None:
                return None
        return value

    def _text(self, key: str) -> str | None:
        value = self._get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "a text")
        return value or None

    def _texts(self, key: str) -> tuple[str, ...]:
        value = self._get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, "a list of texts")
        return tuple(cast(list[str], value))

    def _flag(self, key: str, *, default: bool) -> bool:
        value = self._get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def _wrong(self, key: str, wanted: str) -> LocalProblem:
        return LocalProblem(
            f"{self.source}: {key} must be {wanted}.",
            next_step=f"Mend {self.source} and try again.",
            reason=Reason.CONFIG,
        )
