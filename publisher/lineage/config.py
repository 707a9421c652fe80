"""roar's configuration of a project and of the user.

A project's is `.roar/config.toml`, else `[tool.roar]` in `pyproject.toml`, merged over a committed `.roarconfig` in the
same folder, and that over the one at the top of the git work tree. The user's is `$XDG_CONFIG_HOME/roar/config.toml`.
Nothing here writes.
"""

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from msgspec import Struct, field
from msgspec.structs import replace

from roar_publisher.lineage.redaction.patterns import MARK, CustomShape
from roar_publisher.lineage.redaction.settings import DEFAULT_SECRET_VARIABLES, OmitConfig, merge_settings
from roar_publisher.lineage.toml_file import read_toml
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.home import home_to_read
from roar_publisher.state.reasons import Reason
from roar_publisher.state.record import NamedBy
from roar_publisher.state.xdg import base_folder

DEFAULT_REGISTRY = "https://api.glaas.ai"
ROAR_FOLDER = ".roar"

Table = Mapping[str, object]


class NamedRegistry(Struct, frozen=True):
    """A registry's address as it was written, and where it comes from.

    file: the project's file that holds it, otherwise None.
    """

    url: str
    by: NamedBy
    file: Path | None = None


class Config(Struct, frozen=True):
    """The configuration values that publishing needs.

    table: the merged configuration, for modules that read a section themselves (`[scope]`, `[treqs]`, …).
    source: the file that the user edits to change a value.
    glaas_url: the registry that the project chooses; not the public one, which `roar init` writes into every project.
    glaas_url_file: the project's file that holds it.
    """

    table: Table = field(default_factory=dict)
    source: Path | None = None
    glaas_url: str | None = None
    glaas_url_file: Path | None = None
    glaas_key: str | None = None
    git_remote: str | None = None
    omit: OmitConfig = field(default_factory=OmitConfig)


def user_registry(environ: Mapping[str, str]) -> NamedRegistry:
    """Return `[glaas] url` of the user's configuration file, else the public registry.

    Raises LocalProblem if that file cannot be read.
    """
    own = _user_config(environ)
    if own is not None and (named := (own.glaas_url or "").strip()):
        return NamedRegistry(named, NamedBy.USER)
    return NamedRegistry(DEFAULT_REGISTRY, NamedBy.DEFAULT)


def load_config(root: Path) -> Config:
    """Return the configuration of the project in `root`.

    Raises LocalProblem, with file and line or key, if a file is not valid TOML or a value has the wrong type.
    """
    source = root / ROAR_FOLDER / "config.toml"
    local = read_toml(source)
    if local is None:
        pyproject = root / "pyproject.toml"
        tool = (read_toml(pyproject) or {}).get("tool")
        section = tool.get("roar") if isinstance(tool, dict) else None
        if isinstance(section, dict):
            source, local = pyproject, section
    committed = [folder / ".roarconfig" for folder in dict.fromkeys((root, _work_tree(root)))]
    layers = [(source, local or {}), *((path, read_toml(path) or {}) for path in committed)]
    chosen, file = next(((url, path) for path, table in layers if (url := _chosen_url(table))), (None, None))
    redacted = [_Reader(table, path).omit() for path, table in layers[1:]]
    merged: dict[str, object] = {}
    for _path, table in reversed(layers):
        _merge(merged, table)
    config = _Reader(merged, source).config()
    own = _user_config(os.environ)
    omit = merge_settings(_with_committed(config.omit, redacted), own.omit if own else None)
    return replace(config, glaas_url=chosen, glaas_url_file=file, omit=omit)


def _work_tree(root: Path) -> Path:
    """Return the top of the git work tree around a project, or the project itself outside of one.

    A folder above it into which all users may write holds none: anyone could put a configuration there.
    """
    for folder in (root, *root.parents):
        try:
            if folder != root and folder.stat().st_mode & stat.S_IWOTH:
                break
            if os.path.lexists(folder / ".git"):
                return folder
        except OSError:
            break
    return root


def _with_committed(omit: OmitConfig, committed: Iterable[OmitConfig]) -> OmitConfig:
    """Return what is redacted with what the committed files add.

    Otherwise the list of variables that `roar init` writes into config.toml would stand in the place of theirs.
    """
    for one in committed:
        omit = replace(
            omit,
            values=(*omit.values, *one.values),
            variables=(*omit.variables, *one.variables),
            patterns=(*omit.patterns, *(shape for shape in one.patterns if shape not in omit.patterns)),
        )
    return omit


def _chosen_url(table: Table) -> str:
    """Return the registry that a file chooses, or ""."""
    section = table.get("glaas")
    url = section.get("url") if isinstance(section, dict) else None
    return "" if not isinstance(url, str) or _is_default(url) else url.strip()


def _is_default(url: str) -> bool:
    try:
        parts = urlsplit(url.strip())
        return (parts.scheme, parts.hostname, parts.port or 443) == ("https", urlsplit(DEFAULT_REGISTRY).hostname, 443)
    except ValueError:
        return False


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


class _Reader(Struct, frozen=True):
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
            omit=self.omit(),
        )

    def omit(self) -> OmitConfig:
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
                raise self._wrong(f"{key}[{number}].pattern", "a string")
            name = str(texts["id"] or f"custom_{number}")
            shapes.append(CustomShape(name, texts["pattern"], str(texts["replacement"] or MARK)))
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
            raise self._wrong(key, "a string")
        return value or None

    def _texts(self, key: str) -> tuple[str, ...]:
        value = self._get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self._wrong(key, "a list of strings")
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
            f"{self.source}: {key} must be {wanted}",
            next_step=f"correct {self.source} and try again",
            reason=Reason.CONFIG,
        )
