"""The daemon as a service of this user: a systemd unit, or a launchd agent on macOS.

The service gets the paths of folders (state, configuration) and nothing else from the environment, so that no
credential in a variable is written to disk. It finds credentials where every publish does: roar's sign-in, `~/.ssh`,
the profiles of the stores.
"""

import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct

from roar_publisher.daemon.background import COMMAND, START_SECONDS, STOP_SECONDS, import_path, stop, wait_for
from roar_publisher.exit_codes import ExitCode
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.home import home
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.private import forget_private, make_private_folder, write_private
from roar_publisher.state.reasons import Reason
from roar_publisher.state.xdg import base_folder

NAME = "roar-publisher"
UNIT = f"{NAME}.service"
RESTART_SECONDS = 10
"""The delay before a failed daemon is restarted: short for the user, but long enough not to keep a machine busy."""
MANAGER_SECONDS = 30.0
"""How long the service manager may take for one command. It waits for the daemon that it stops."""

Command = tuple[str, ...]


class ServiceDefinition(Struct, frozen=True):
    """The input for a service manager. path: the file that describes the service. text: its content.

    probe: succeeds if the manager is available. status: shows the user the status of the service.
    unload: makes the manager forget an earlier service of this name; fails if there is none.
    enable: starts the service, now and at every login. disable: undoes that.
    forget: tells the manager that the file is gone, if necessary.
    """

    path: Path
    text: str
    probe: Command
    status: Command
    enable: tuple[Command, ...]
    disable: tuple[Command, ...]
    forget: tuple[Command, ...] = ()
    unload: tuple[Command, ...] = ()


class Installed(Struct, frozen=True):
    """The result of `install` or `uninstall`.

    pid: of the daemon; None if no manager answered. remaining: the commands that the user must run in that case.
    """

    path: Path
    pid: int | None
    remaining: tuple[str, ...] = ()


def service(folder: StateFolder, environ: Mapping[str, str], *, platform: str = sys.platform) -> ServiceDefinition:
    """Return the service that keeps this folder's daemon running, for the manager of this platform."""
    return _launchd(folder, environ) if platform == "darwin" else _systemd(folder, environ)


def install(service: ServiceDefinition, folder: StateFolder) -> Installed:
    """Write the service file, and start the service if the manager answers. Repetition renews both.

    A running daemon is stopped first, because two cannot run. Raises LocalProblem.
    """
    with _translated(service.path):
        make_private_folder(service.path.parent)
        write_private(service.path, os.fsencode(service.text))
    if not _answers(service.probe):
        return Installed(service.path, None, _as_typed(service.enable))
    stop(folder)
    for command in service.unload:
        with suppress(LocalProblem):
            _run(command)
    for command in service.enable:
        _run(command)
    pid = wait_for(folder, START_SECONDS)
    if pid is None:
        raise LocalProblem(
            f"the service is installed, but no daemon started within {START_SECONDS:.0f} s",
            next_step=f"roar daemon logs, or: {shlex.join(service.status)}",
            reason=Reason.DAEMON,
        )
    return Installed(service.path, pid)


def uninstall(service: ServiceDefinition) -> Installed | None:
    """Stop the service and remove its file. Return None if it was not installed. Queued publishes stay queued.

    If no manager answers, only the file is removed, and `remaining` holds the commands to run. Raises LocalProblem.
    """
    if not service.path.exists():
        return None
    answers = _answers(service.probe)
    for command in service.disable if answers else ():
        _run(command)
    with _translated(service.path):
        forget_private(service.path)
    for command in service.forget if answers else ():
        _run(command)
    return Installed(service.path, None, () if answers else _as_typed((*service.disable, *service.forget)))


def _systemd(folder: StateFolder, environ: Mapping[str, str]) -> ServiceDefinition:
    program, *arguments = (sys.executable, *COMMAND)
    variables = "".join(
        f"Environment={_quoted(f'{name}={value}')}\n" for name, value in _folders(folder, environ).items()
    )
    base = base_folder(environ, "XDG_CONFIG_HOME", ".config")
    systemctl = ("systemctl", "--user")
    return ServiceDefinition(
        path=base / "systemd" / "user" / UNIT,
        text=UNIT_TEXT.format(
            # The colon before the program turns off the expansion of $ variables.
            start=" ".join([_quoted(f":{program}"), *arguments]),
            variables=variables,
            restart=RESTART_SECONDS,
            owned=int(ExitCode.OWNED),
            stop=int(STOP_SECONDS),
        ),
        probe=(*systemctl, "show-environment"),
        status=(*systemctl, "status", UNIT),
        enable=((*systemctl, "daemon-reload"), (*systemctl, "enable", "--now", UNIT)),
        disable=((*systemctl, "disable", "--now", UNIT),),
        forget=((*systemctl, "daemon-reload"),),
    )


def _launchd(folder: StateFolder, environ: Mapping[str, str]) -> ServiceDefinition:
    path = home() / "Library" / "LaunchAgents" / f"{NAME}.plist"
    domain = f"gui/{os.getuid()}"
    bootout: Command = ("launchctl", "bootout", f"{domain}/{NAME}")
    agent = {
        "Label": NAME,
        "ProgramArguments": [sys.executable, *COMMAND, "--quiet"],
        "EnvironmentVariables": _folders(folder, environ),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": RESTART_SECONDS,
        "ExitTimeOut": int(STOP_SECONDS),
        "ProcessType": "Background",
        "Umask": 0o077,
    }
    return ServiceDefinition(
        path=path,
        text=plistlib.dumps(agent).decode("utf-8"),
        probe=("launchctl", "print", domain),
        status=("launchctl", "print", f"{domain}/{NAME}"),
        enable=(("launchctl", "bootstrap", domain, str(path)),),
        disable=(bootout,),
        unload=(bootout,),  # a service that is loaded already is not loaded again
    )


UNIT_TEXT = """\
# Made by `roar daemon install`; `roar daemon uninstall` removes it.
[Unit]
Description=Publishes the lineage that roar captured

[Service]
Type=exec
ExecStart={start}
{variables}UMask=0077
WorkingDirectory=/
Restart=on-failure
RestartSec={restart}
RestartPreventExitStatus={owned}
TimeoutStopSec={stop}
KillMode=mixed

[Install]
WantedBy=default.target
"""


def _folders(folder: StateFolder, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the service: folders chosen in this environment, as absolute paths."""
    chosen = {}
    if environ.get("ROAR_STATE_DIR") or environ.get("XDG_STATE_HOME"):
        chosen["ROAR_STATE_DIR"] = str(folder.root.absolute())
    if os.path.isabs(base := environ.get("XDG_CONFIG_HOME", "")):
        chosen["XDG_CONFIG_HOME"] = base
    if path := import_path({}):
        chosen["PYTHONPATH"] = path
    return chosen


_SPECIAL = re.compile(r'[\\"\x00-\x1f\x7f]')


def _quoted(word: str) -> str:
    """Return a word quoted for a unit file as in systemd.syntax(7): quotes, C escapes, and %% for %."""
    escaped = _SPECIAL.sub(lambda match: f"\\x{ord(match[0]):02x}", word)
    return '"' + escaped.replace("%", "%%") + '"'


def _answers(probe: Command) -> bool:
    """Return whether a service manager of this user is available."""
    if shutil.which(probe[0]) is None:
        return False
    try:
        return subprocess.run(probe, capture_output=True, timeout=MANAGER_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _run(command: Command) -> None:
    """Run a command of the manager. Raises LocalProblem with the last line of its stderr."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=MANAGER_SECONDS)
        lines = done.stderr.strip().splitlines()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(command, str(error)) from error
    if done.returncode:
        raise _failed(command, lines[-1] if lines else f"exit code {done.returncode}")


def _failed(command: Command, message: str) -> LocalProblem:
    return LocalProblem(
        f"the service manager failed: {message}",
        kept="Queued publishes stay queued.",
        next_step=shlex.join(command),
        reason=Reason.DAEMON,
    )


def _as_typed(commands: tuple[Command, ...]) -> tuple[str, ...]:
    return tuple(shlex.join(command) for command in commands)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LocalProblem(
            f"{path} cannot be changed: {error.strerror}",
            next_step="make room and fix its permissions, or print the file instead: roar daemon install --print",
            reason=Reason.DAEMON,
        ) from error
