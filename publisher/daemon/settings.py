"""The `[publisher]` configuration: of the daemon, and what the user wants of every publish.

The user's file, `$XDG_CONFIG_HOME/roar/config.toml`, applies to everything. A project's `.roar/config.toml` may only
set `notify` for its publishes. Files in a project folder may come from a clone or an archive, so they must not be
able to name a command that runs here.
"""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.lineage.toml_file import read_toml
from roar_publisher.state.ages import parse_age
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.limit_texts import parse_rate
from roar_publisher.state.limits import DEFAULT_LIMITS, TransferLimits
from roar_publisher.state.reasons import Reason
from roar_publisher.state.xdg import base_folder

if TYPE_CHECKING:
    from roar_publisher.daemon.log import Log

MAX_ACTIVE = 4
KEYS = ("max_active", "jobs", "limit_rate", "on_done", "notify", "push_tags", "verify", "verify_every", "start_daemon")
"""The keys of the user's `[publisher]` table."""


class DaemonSettings(Struct, frozen=True, kw_only=True):
    """The user's `[publisher]` table. A publish and the checkpoints of a training read it, too.

    max_active: publishes that are active at once.
    limits: the transfer limits of object stores, over all publishes.
    on_done: the command to run at every end, as a list of arguments; empty for none.
    notify: whether to show desktop notifications.
    push_tags: whether to push the git tag of a put.
    verify: whether publishes are read back after finalize.
    verify_every: seconds after which the daemon verifies a publish again; None for never.
    start_daemon: whether a detached publish starts a daemon if none runs. False where that would be the wrong machine.
    """

    max_active: int = MAX_ACTIVE
    limits: TransferLimits = DEFAULT_LIMITS
    on_done: tuple[str, ...] = ()
    notify: bool = True
    push_tags: bool = False
    verify: bool = False
    verify_every: float | None = None
    start_daemon: bool = True


def user_settings(environ: Mapping[str, str], home: Path) -> DaemonSettings:
    """Return the settings in the user's file, or the defaults. Raises LocalProblem if the file is invalid."""
    base = base_folder(environ, "XDG_CONFIG_HOME", ".config", home)
    table = _Reader.of(base / "roar" / "config.toml")
    for key in table.table:
        if key not in KEYS:  # a misspelt key must not be ignored silently
            raise table.wrong(key, f"one of {', '.join(KEYS)}")
    return table.settings(DaemonSettings())


def project_settings(base: DaemonSettings, project: Path, *, log: "Log") -> DaemonSettings:
    """Return `base` with the project's `notify`. Log and ignore a command in the project's file.

    Raises LocalProblem if the file is invalid.
    """
    table = _Reader.of(project / ".roar" / "config.toml")
    if "on_done" in table.table:
        log.warning("%s: on_done is ignored, because a project may not name a command", table.path)
    return replace(base, notify=table.settings(base).notify)


class _Reader(Struct, frozen=True):
    """Typed access to the `[publisher]` table of one file."""

    path: Path
    table: Mapping[str, object]

    @classmethod
    def of(cls, path: Path) -> "_Reader":
        table = (read_toml(path) or {}).get("publisher", {})
        if not isinstance(table, dict):
            raise cls(path, {}).wrong("publisher", "a table")
        return cls(path, table)

    def settings(self, base: DaemonSettings) -> DaemonSettings:
        return DaemonSettings(
            max_active=self._number("max_active") or base.max_active,
            limits=TransferLimits(
                jobs=self._number("jobs") or base.limits.jobs, limit_rate=self._rate() or base.limits.limit_rate
            ),
            on_done=self._command(base.on_done),
            notify=self._flag("notify", base.notify),
            push_tags=self._flag("push_tags", base.push_tags),
            verify=self._flag("verify", base.verify),
            verify_every=self._age("verify_every", base.verify_every),
            start_daemon=self._flag("start_daemon", base.start_daemon),
        )

    def _number(self, key: str) -> int | None:
        value = self.table.get(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 64:
            raise self.wrong(key, "a number from 1 to 64")
        return value

    def _rate(self) -> int | None:
        value = self.table.get("limit_rate")
        if value is None:
            return None
        try:
            return parse_rate(str(value))
        except ValueError:
            raise self.wrong("limit_rate", "bytes a second, such as 500k or 10M") from None

    def _command(self, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self.table.get("on_done", list(default))
        if isinstance(value, str):
            try:
                value = [os.path.expanduser(word) for word in shlex.split(value)]
            except ValueError:
                raise self.wrong("on_done", "a command whose quotes are closed") from None
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise self.wrong("on_done", "a command, or a list of its words")
        return tuple(value)

    def _age(self, key: str, default: float | None) -> float | None:
        if key not in self.table:
            return default
        try:
            age = parse_age(str(self.table[key]))
        except ValueError:
            age = 0.0
        if not age:
            raise self.wrong(key, "an age such as 12h, 7d or 4w")
        return age

    def _flag(self, key: str, default: bool) -> bool:
        value = self.table.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def wrong(self, key: str, wanted: str) -> LocalProblem:
        return LocalProblem(
            f"{self.path}: [publisher] {key} must be {wanted}", next_step=f"correct {self.path}", reason=Reason.CONFIG
        )
