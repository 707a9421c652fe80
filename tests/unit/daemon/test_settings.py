"""What the daemon takes from the user's own file, and what it does not take from a project's."""

import logging
from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher.daemon.settings import DaemonSettings, project_settings, user_settings
from roar_publisher.state.errors import LocalProblem
from roar_publisher.state.limits import TransferLimits

LOG = logging.getLogger("tests.daemon.settings")
BASE = DaemonSettings(on_done=("mine",), limits=TransferLimits(jobs=3))


def config(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(text)


def test_the_users_file_sets_everything(tmp_path: Path) -> None:
    text = "max_active = 2\njobs = 5\nlimit_rate = '1.5M'\non_done = 'tell \"a b\"'\nnotify = false\n"
    text += "start_daemon = false\n"
    config(tmp_path / ".config" / "roar", f"[publisher]\n{text}")

    assert user_settings({}, tmp_path) == DaemonSettings(
        max_active=2,
        limits=TransferLimits(jobs=5, limit_rate=1_500_000),
        on_done=("tell", "a b"),
        notify=False,
        start_daemon=False,
    )


def test_without_a_file_the_defaults_apply(tmp_path: Path) -> None:
    assert user_settings({}, tmp_path) == DaemonSettings()
    assert project_settings(BASE, tmp_path, log=LOG) == BASE


def test_a_command_of_a_project_is_ignored_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It may have come with a clone or an archive."""
    config(tmp_path / ".roar", "[publisher]\non_done = ['touch', '/tmp/x']\njobs = 9\n")

    assert project_settings(BASE, tmp_path, log=LOG) == BASE

    assert f"{tmp_path}/.roar/config.toml: on_done is ignored" in caplog.text


def test_a_project_chooses_whether_the_desktop_is_notified(tmp_path: Path) -> None:
    config(tmp_path / ".roar", "[publisher]\nnotify = false\n")

    assert project_settings(BASE, tmp_path, log=LOG) == replace(BASE, notify=False)


@pytest.mark.parametrize(
    "text",
    [
        "publisher = 1",
        "[publisher]\nmax_activ = 2",
        "[publisher]\nmax_active = true",
        "[publisher]\njobs = 65",
        "[publisher]\nlimit_rate = '0.1'",
        "[publisher]\nlimit_rate = '1 M'",
        "[publisher]\non_done = [1]",
        "[publisher]\non_done = '\"'",
        "[publisher]\nnotify = 'no'",
        "[publisher",
    ],
)
def test_an_invalid_setting_is_reported_with_its_file(tmp_path: Path, text: str) -> None:
    config(tmp_path / ".config" / "roar", text)

    with pytest.raises(LocalProblem, match=r"/\.config/roar/config\.toml") as problem:
        user_settings({}, tmp_path)

    assert problem.value.reason == "config"
