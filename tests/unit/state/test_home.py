"""Users without a home folder: containers with an arbitrary uid, bare services."""

import pwd
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from roar_publisher.__main__ import run
from roar_publisher.exit_codes import ExitCode
from roar_publisher.state.errors import UsageProblem
from roar_publisher.state.home import NO_HOME, home, home_to_read

FOLDERS = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "ROAR_STATE_DIR")


@pytest.fixture
def _no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> pwd.struct_passwd:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", *FOLDERS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


@pytest.mark.usefixtures("_no_home")
def test_who_has_no_home_reads_nothing_there_and_is_told_where_something_would_be_written() -> None:
    assert home_to_read() == NO_HOME
    assert home(instead="/config") == NO_HOME
    with pytest.raises(UsageProblem) as caught:
        home()
    assert "HOME" in caught.value.next_step


def test_the_home_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert home() == home_to_read() == tmp_path


COMMANDS: Sequence[Sequence[str]] = (
    ("journal", "list"),
    ("publish", "--dry-run"),
    ("put", "x", "/tmp/y", "-m", "z", "--dry-run"),
    ("daemon", "status"),
    ("daemon", "install", "--print"),
    ("registry", "user", "list"),
)
OptionalText = Callable[[], tuple[str, str]]


@pytest.mark.usefixtures("_no_home")
@pytest.mark.parametrize("state", ["", "ROAR_STATE_DIR"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_breaks_without_a_home(
    command: Sequence[str],
    state: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if state:
        monkeypatch.setenv(state, str(tmp_path / "state"))
    code = run(command)
    captured = capsys.readouterr()
    said = captured.out + captured.err
    assert "defect" not in said
    assert "Traceback" not in said
    if command == ("journal", "list"):
        assert code == (0 if state else ExitCode.USAGE)


@pytest.mark.usefixtures("_no_home")
def test_credentials_that_a_home_would_hold_are_just_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from roar_publisher.engine.credentials import user_keyring

    assert user_keyring("https://api.glaas.ai", {}) is not None
