"""The daemon as a service: what the managers are given, that they can read it, and what is printed if there is none."""

import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from roar_publisher.daemon import install as install_module
from roar_publisher.daemon.install import UNIT, service
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.paths import StateFolder
from tests.support.checkout import CHECKOUT
from tests.support.cli.program import Program
from tests.support.daemon.daemons import daemons_of, pid_of, program_with_daemons, until

MARKED = {
    "ROAR_ACCESS_TOKEN": "marked",
    "AWS_SECRET_ACCESS_KEY": "marked",
    "GOOGLE_APPLICATION_CREDENTIALS": "/marked",
    "SSH_AUTH_SOCK": "/marked",
    "HTTPS_PROXY": "http://somebody:marked@proxy.example",
}
HARD_NAMES = ["with a space", "50% $HOME %h", "a;b#c", "ünïcode"]
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not there to verify the unit"
)


def unit_of(folder: Path, environ: dict[str, str], tmp_path: Path) -> Path:
    """The unit, written down."""
    unit = tmp_path / UNIT
    unit.write_text(service(StateFolder(folder), environ, platform="linux").text, encoding="utf-8")
    return unit


def verified(unit: Path, tmp_path: Path) -> str:
    """What `systemd-analyze verify` finds wrong; nothing where it is right."""
    environ = os.environ | {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path), "LC_ALL": "C"}
    command = ["systemd-analyze", "verify", "--user", "--man=no", str(unit)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


@needs_systemd
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    assert verified(unit_of(tmp_path, {}, tmp_path), tmp_path) == ""


@needs_systemd
@pytest.mark.parametrize("name", HARD_NAMES)
def test_systemd_reads_the_names_of_folders_as_they_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / name / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    unit = unit_of(tmp_path / name, {"ROAR_STATE_DIR": "set"}, tmp_path)
    assert verified(unit, tmp_path) == ""

    python.unlink()
    assert f"Command {python} is not executable" in verified(unit, tmp_path)


@needs_systemd
def test_a_folder_with_quotes_in_its_name_stays_one_variable(tmp_path: Path) -> None:
    unit = unit_of(Path('/state/a "b"\\c\n'), {"ROAR_STATE_DIR": "set"}, tmp_path)

    assert r'Environment="ROAR_STATE_DIR=/state/a \x22b\x22\x5cc\x0a"' in unit.read_text().splitlines()
    assert verified(unit, tmp_path) == ""


def test_the_unit_holds_the_rules_of_restart_and_stop(tmp_path: Path) -> None:
    lines = service(StateFolder(tmp_path), {}, platform="linux").text.splitlines()

    assert {"Type=exec", "Restart=on-failure", "RestartPreventExitStatus=5", "TimeoutStopSec=15"} <= set(lines)
    assert f'ExecStart=":{sys.executable}" -P -m roar_publisher daemon run' in lines


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_a_service_gets_folders_by_name_and_nothing_else_of_the_environment(platform: str, tmp_path: Path) -> None:
    chosen = {"ROAR_STATE_DIR": str(tmp_path), "XDG_CONFIG_HOME": "/etc/someone"}

    bare = service(StateFolder(tmp_path), MARKED, platform=platform).text
    full = service(StateFolder(tmp_path), MARKED | chosen, platform=platform).text

    assert "marked" not in bare + full
    assert ("ROAR_STATE_DIR" in bare, "ROAR_STATE_DIR" in full) == (False, True)
    assert ("/etc/someone" in bare, "/etc/someone" in full) == (False, True)


@pytest.mark.parametrize("name", [*HARD_NAMES, 'a "quoted" \\ <name> & more'])
def test_launchd_reads_back_what_was_written(name: str) -> None:
    folder = StateFolder(Path("/state") / name)

    agent = plistlib.loads(service(folder, {"XDG_STATE_HOME": "set"}, platform="darwin").text.encode())

    assert agent["Label"] == "roar-publisher"
    assert agent["ProgramArguments"] == [sys.executable, "-P", "-m", "roar_publisher", "daemon", "run", "--quiet"]
    assert agent["EnvironmentVariables"] == {"ROAR_STATE_DIR": str(folder.root), "PYTHONPATH": str(CHECKOUT / "src")}
    assert (agent["RunAtLoad"], agent["KeepAlive"]) == (True, {"SuccessfulExit": False})


class Manager:
    """A `systemctl` that starts and stops the daemon as ordered, and records its orders."""

    def __init__(self, folder: Path, *, answers: bool = True, refuses: str = "") -> None:
        self.folder = folder
        self.folder.mkdir()
        daemon = f"{shlex.quote(sys.executable)} -P -m roar_publisher daemon"
        script = self.folder / "systemctl"
        script.write_text(
            "#!/bin/sh\n"
            f'echo "$*" >> {shlex.quote(str(self._order_file))}\n'
            'case "$2" in\n'
            f"show-environment) exit {0 if answers else 1} ;;\n"
            f'"{refuses}") echo "it is masked" >&2; exit 1 ;;\n'
            f"enable) {daemon} run --quiet </dev/null >/dev/null 2>&1 & ;;\n"
            f"disable) {daemon} stop ;;\n"
            "esac\n"
        )
        script.chmod(0o755)

    @property
    def _order_file(self) -> Path:
        return self.folder / "orders"

    def orders(self) -> list[str]:
        """Return its orders since the last call, except the probes."""
        lines = self._order_file.read_text().splitlines()
        self._order_file.unlink()
        return [line for line in lines if "show-environment" not in line]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The program, where no service manager is found: its folder of programs has none."""
    with program_with_daemons(tmp_path, tmp_path, PATH=str(tmp_path / "bin"), **MARKED) as program:
        yield program


@pytest.fixture
def unit(program: Program) -> Path:
    """Where the unit belongs."""
    return Path(program.env["HOME"]) / ".config" / "systemd" / "user" / UNIT


linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="systemd is there on Linux only")
pytestmark = linux_only


def test_after_install_it_runs_and_uninstall_leaves_nothing(program: Program, unit: Path, tmp_path: Path) -> None:
    manager = Manager(tmp_path / "bin")

    done = program("daemon", "install")
    pid = pid_of(program)

    assert (done.code, done.err) == (0, "")
    assert f"Installed {unit}. The daemon is running (pid {pid})" in done.out
    assert manager.orders() == ["--user daemon-reload", f"--user enable --now {UNIT}"]
    assert "marked" not in unit.read_text()

    done = program("daemon", "uninstall")

    assert (done.code, done.err) == (0, "")
    assert manager.orders() == [f"--user disable --now {UNIT}", "--user daemon-reload"]
    assert not unit.exists()
    until(lambda: daemons_of(program) == [])
    assert program("daemon", "uninstall").out == "The service is not installed.\n"


def test_a_running_daemon_is_replaced_by_the_service(program: Program, tmp_path: Path) -> None:
    Manager(tmp_path / "bin")
    assert program("daemon", "start").code == 0
    before = pid_of(program)

    assert program("daemon", "install").code == 0
    first = pid_of(program)
    assert program("daemon", "install").code == 0

    until(lambda: daemons_of(program) == [pid_of(program)])
    assert len({before, first, pid_of(program), None}) == 4


@pytest.mark.parametrize("there", [True, False], ids=["does not answer", "is not there"])
def test_without_a_manager_the_commands_to_run_are_printed(
    there: bool, program: Program, unit: Path, tmp_path: Path
) -> None:
    if there:
        Manager(tmp_path / "bin", answers=False)

    done = program("daemon", "install")

    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"Wrote {unit}. No service manager answers here. Where one does, run:",
        "  systemctl --user daemon-reload",
        f"  systemctl --user enable --now {UNIT}",
    ]
    assert unit.exists()
    assert pid_of(program) is None

    done = program("daemon", "uninstall")
    assert done.code == 0
    assert f"  systemctl --user disable --now {UNIT}" in done.out.splitlines()
    assert not unit.exists()


def test_an_error_of_the_manager_is_reported(program: Program, tmp_path: Path) -> None:
    Manager(tmp_path / "bin", refuses="enable")

    done = program("daemon", "install")

    done.blames(1, "the service manager failed: it is masked", f"next: systemctl --user enable --now {UNIT}")


def test_on_macos_a_repetition_renews_the_service_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """launchctl refuses to load what is loaded, and to unload what is not."""
    loaded: list[str] = []

    def launchctl(command: tuple[str, ...]) -> None:
        if command[1] == "bootout":
            if not loaded:
                raise LocalProblem("3: No such process")
            loaded.clear()
        if command[1] == "bootstrap":
            if loaded:
                raise LocalProblem("37: Operation already in progress")
            loaded.append(Path(command[-1]).read_text())

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(install_module, "_answers", lambda probe: True)
    monkeypatch.setattr(install_module, "_run", launchctl)
    monkeypatch.setattr(install_module, "wait_for", lambda folder, seconds: os.getpid())
    for name in ("first", "second"):
        folder = StateFolder(tmp_path / name)
        wanted = service(folder, {"ROAR_STATE_DIR": "set"}, platform="darwin")
        assert install_module.install(wanted, folder).pid == os.getpid()
        assert loaded == [wanted.text]


def test_a_folder_that_cannot_be_written_is_named(program: Program, unit: Path) -> None:
    unit.parents[2].mkdir(parents=True)
    unit.parents[1].write_text("in the way")

    program("daemon", "install").blames(1, f"{unit} cannot be changed", "roar daemon install --print")


def test_print_prints_the_unit_only_and_changes_nothing(program: Program, unit: Path) -> None:
    elsewhere = replace(program, env=program.env | {"XDG_CONFIG_HOME": "/nowhere"})

    done = elsewhere("daemon", "install", "--print")

    assert (done.code, done.err) == (0, "")
    assert done.out == service(StateFolder(program.state), elsewhere.env).text
    assert not unit.exists()
    assert not program.state.exists()
