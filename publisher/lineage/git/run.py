"""Run git safely: every git command of this program goes through `run_git`.

A project may have come with a clone or an archive, so nothing that its repository configures may run or use the
network:

- `core.fsmonitor` and hooks are switched off, and `ext::` URLs are refused;
- a bare repository that is embedded in the work tree is not taken for the project's (`safe.bareRepository`, which git
  has since 2.38);
- git gets a short list of environment variables, none of which holds a secret of ours, and never asks for a password;
- a command that only reads may use no protocol at all, so that a missing object is not fetched either;
- every command has a time limit, after which it is killed with all its helpers.

The user's own configuration (`~/.gitconfig`, the system's) applies, because that is where `safe.directory` is set.
"""

import errno
import os
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from time import sleep
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.state.shell import shell_word

LOCAL_SECONDS = 9.0
"""Seconds that a local command may take (a network file system can hang).

A program that reads our events receives none meanwhile, and is promised one every 10 s.
"""
PAUSES = (0.2, 1.0)
"""Seconds before each further attempt of a command that failed because of the machine and not of the repository."""
NOT_RUN = -1
"""The exit code if git could not be run, or did not finish."""
GIT_MISSING = "git is not installed, or not in PATH"
"""The error message if git is not installed."""
OLDEST_GIT = "2.31"
"""Earlier ones ignore GIT_CONFIG_COUNT; before 2.26, they do not say from which file a setting comes."""
GIT_TOO_OLD = f"this git is too old: {OLDEST_GIT} or later is needed"
"""The error message for a git that lacks what is needed here."""
_OF_ANOTHER_USER = re.compile(r"^fatal: (detected dubious ownership in|unsafe) repository\b", re.MULTILINE)
"""How git refuses a repository of another user.

git also names the command that permits it, but what is printed beside it may be a text of the project.
"""
_COMPLAINT = re.compile(r"^(fatal|error|warning): ", re.MULTILINE)
_REMEDIES = {
    GIT_MISSING: "install git, or add its folder to PATH",
    GIT_TOO_OLD: f"install git {OLDEST_GIT} or later, or put its folder first in PATH",
}
"""What to do, by the error message."""
_USAGE = 129
"""git's exit code for an option that it does not know."""
_NOT_SET = 1
"""git's exit code if the configuration has no such name."""

_SAFE = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "safe.bareRepository=explicit",
    "protocol.ext.allow=never",
    "protocol.allow=user",
)
_PASSED_ON = frozenset(
    "PATH HOME USER LOGNAME XDG_CONFIG_HOME TMPDIR TZ LD_LIBRARY_PATH DYLD_LIBRARY_PATH"
    # git also compares the owner of a repository with the user behind sudo.
    " SUDO_UID GIT_EXEC_PATH GIT_CEILING_DIRECTORIES GIT_DISCOVERY_ACROSS_FILESYSTEM".split()
)
_USERS_CONFIG = re.compile(r"GIT_CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|KEY_\d+|VALUE_\d+)")
_TO_REACH_REMOTES = frozenset(
    "SSH_AUTH_SOCK GIT_SSH GIT_SSH_COMMAND GIT_SSH_VARIANT XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS KRB5CCNAME"
    " http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY"
    " SSL_CERT_FILE SSL_CERT_DIR GIT_SSL_CAINFO GIT_SSL_CAPATH".split()
)
_NO_PROTOCOL = "none"
"""A value for GIT_ALLOW_PROTOCOL: no such protocol exists, so none is allowed, whatever a configuration says."""
_MACHINE_FAILED = re.compile(
    r"resource temporarily unavailable|cannot allocate memory|out of memory|cannot fork|unable to (fork|create thread)"
    r"|input/output error|stale file handle|interrupted system call|too many open files",
    re.IGNORECASE,
)
_EXHAUSTED = frozenset((errno.EAGAIN, errno.ENOMEM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EINTR))
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
_PROBE = "roar.probe"
"""A setting that git does not know."""
_SHOWN = 300
"""The most characters of git's own error message that are shown."""


class GitAccess(Enum):
    """What a command may use.

    LOCAL: no network and no other repository.
    REMOTE: also the network, with the user's ssh and credentials.
    """

    LOCAL = "local"
    REMOTE = "remote"


class GitResult(Struct, frozen=True):
    """The result of a git command.

    code: its exit code, or NOT_RUN.
    temporary: whether the machine caused the failure, so that another attempt may succeed.
    """

    code: int
    output: str
    stderr: str
    temporary: bool = False

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def complains(self) -> bool:
        """Whether git itself reports something, whatever its exit code; a wrapper or a loader may write there, too."""
        return _COMPLAINT.search(self.stderr) is not None

    @property
    def not_set(self) -> bool:
        """Whether a configuration that git has read does not contain what was asked for."""
        return self.code == _NOT_SET and not self.complains

    @property
    def why(self) -> str:
        """The reason of the failure, on one line of limited length."""
        return " ".join(self.stderr.split())[:_SHOWN] or f"git exited with code {self.code}"


def run_git(
    folder: Path,
    *arguments: str,
    access: GitAccess = GitAccess.LOCAL,
    settings: Mapping[str, str] = NO_SETTINGS,
    seconds: float | None = None,
) -> GitResult:
    """Run git in `folder` and return the result. Failures of git are not raised.

    settings: additional git configuration.
    seconds: the time limit, LOCAL_SECONDS by default.

    A local command that failed because of the machine (no process, no memory, EIO) is run again after each of PAUSES. A
    remote command, or one that timed out, is run once. On an interrupt (KeyboardInterrupt), git is killed first.
    """
    command = ["git", "--no-pager"]
    for setting in _SAFE:
        command += ["-c", setting]
    environ = _configured(git_environment(os.environ, access), settings)
    limit = LOCAL_SECONDS if seconds is None else seconds
    pauses = PAUSES if access is GitAccess.LOCAL else ()
    if settings:
        # A git that ignores settings in its environment would run what they switch off.
        unguessable = os.urandom(8).hex()
        probe = [*command, "config", "--get", _PROBE]
        probed = _run(probe, folder, _configured(environ, {_PROBE: unguessable}), limit, pauses)
        if probed.code not in (0, _NOT_SET):
            return probed
        if probed.output.strip() != unguessable:
            return GitResult(NOT_RUN, "", GIT_TOO_OLD)
    return _run([*command, *arguments], folder, environ, limit, pauses)


def unreadable(place: Path, result: GitResult) -> LocalProblem:
    """Return the error for a repository that git could not read, with git's own message and what to type."""
    where = shell_word(str(place))
    next_step = _REMEDIES.get(result.stderr, f"type `git -C {where} status`, and fix what it reports")
    if _OF_ANOTHER_USER.search(result.stderr):
        next_step = f"git config --global --add safe.directory {where}"
    return LocalProblem(
        f"git cannot read the repository at {place}: {result.why}",
        kept="Nothing was sent, because a lineage without its commit has another hash.",
        next_step=f"{next_step}; then repeat the command",
        reason=Reason.GIT,
    )


def git_environment(environ: Mapping[str, str], access: GitAccess) -> dict[str, str]:
    """Return the variables that git gets: those that select the user's configuration, and for REMOTE those for access.

    Variables that point git elsewhere (GIT_DIR, set inside a hook) are not among them.
    """
    names = _PASSED_ON | (_TO_REACH_REMOTES if access is GitAccess.REMOTE else frozenset())
    passed = {name: value for name, value in environ.items() if name in names or _USERS_CONFIG.fullmatch(name)}
    # git is started in the project's folder: a relative entry would find the project's programs.
    folders = [entry for entry in environ.get("PATH", os.defpath).split(os.pathsep) if os.path.isabs(entry)]
    passed["PATH"] = os.pathsep.join(folders)
    passed |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    passed |= {"GIT_ASKPASS": "", "SSH_ASKPASS": "", "SSH_ASKPASS_REQUIRE": "never"}
    if access is GitAccess.LOCAL:
        passed |= {"GIT_ALLOW_PROTOCOL": _NO_PROTOCOL, "GIT_NO_LAZY_FETCH": "1"}
    return passed


def _configured(environ: dict[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with settings on top of the user's own; `-c` cannot set a name that holds a `=`."""
    count = environ.get("GIT_CONFIG_COUNT", "0")
    first = int(count) if count.isdecimal() else 0
    for number, (name, value) in enumerate(settings.items(), start=first):
        environ |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return environ | {"GIT_CONFIG_COUNT": str(first + len(settings))}


def _run(
    command: list[str], folder: Path, environ: Mapping[str, str], seconds: float, pauses: Sequence[float]
) -> GitResult:
    """Run a command, and after each pause again if the machine failed."""
    for pause in (*pauses, None):
        result = _run_once(command, folder, environ, seconds)
        if not result.temporary or pause is None:
            break
        sleep(pause)
    return replace(result, stderr=GIT_TOO_OLD) if result.code == _USAGE else result


def _run_once(command: list[str], folder: Path, environ: Mapping[str, str], seconds: float) -> GitResult:
    try:
        with subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # no terminal to prompt on, and a separate process group to kill
        ) as process:
            try:
                output, stderr = process.communicate(timeout=seconds)
            except BaseException:
                with suppress(ProcessLookupError):  # it may just have ended; the interrupt counts all the same
                    os.killpg(process.pid, signal.SIGKILL)  # also kills git's helpers, which would outlive it
                raise
    except subprocess.TimeoutExpired:
        return GitResult(NOT_RUN, "", f"git did not finish within {seconds:.0f} s")
    except (FileNotFoundError, NotADirectoryError):
        missing = f"there is no folder {folder}" if not folder.exists() else GIT_MISSING
        return GitResult(NOT_RUN, "", missing)
    except OSError as error:
        return GitResult(NOT_RUN, "", f"git cannot be run: {error.strerror}", temporary=error.errno in _EXHAUSTED)
    killed = process.returncode < 0
    if killed and not stderr.strip():
        stderr = f"git was killed by signal {-process.returncode}"
    failed = process.returncode != 0
    temporary = killed or (failed and _MACHINE_FAILED.search(stderr) is not None)
    return GitResult(process.returncode, output, stderr, temporary)
