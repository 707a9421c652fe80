"""The word on the desktop when a publish ends: which program is called, and with which texts."""

import errno
import logging
import os
import shlex
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from roar_publisher.daemon.hooks import notification, notify_end
from roar_publisher.state.machine import State
from tests.support.daemon.ended import DONE, said

pytestmark = pytest.mark.anyio


class Desktop:
    """A folder of programs that write their arguments down, first on PATH."""

    def __init__(self, folder: Path, program: str, code: int = 0) -> None:
        self.shown = folder / "shown"
        script = folder / program
        script.write_text(
            f"#!/bin/sh\nfor word; do printf '%s\\0' \"$word\"; done > {shlex.quote(str(self.shown))}\nexit {code}\n"
        )
        script.chmod(0o755)

    def words(self) -> list[str]:
        return self.shown.read_text().split("\0")[:-1]


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/run/user/1000/bus")


@pytest.mark.usefixtures("bus")
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has another notification")
async def test_the_desktop_is_notified(tmp_path: Path, log: logging.Logger, caplog: pytest.LogCaptureFixture) -> None:
    desktop = Desktop(tmp_path, "notify-send")

    await notify_end(DONE, None, notify=True, log=log)

    assert desktop.words()[-3:] == ["--", "Published", "my model: https://registry.example/dag/abab"]
    assert said(caplog) == "INFO the notification ended with exit code 0"


@pytest.mark.usefixtures("bus")
def test_a_notification_of_a_failure_says_why_and_is_not_markup(tmp_path: Path) -> None:
    Desktop(tmp_path, "notify-send")
    failed = replace(DONE, state=State.FAILED, hash="", url="", reason="rejected", detail="<a href='x'>& no\nmore")

    command = notification(failed, dict(os.environ), platform="linux")

    assert command is not None
    assert command[-2:] == ["Could not publish", r"my model: &lt;a href='x'&gt;&amp; no\nmore"]


@pytest.mark.usefixtures("bus")
def test_status_says_what_a_parked_publish_waits_for(tmp_path: Path) -> None:
    Desktop(tmp_path, "notify-send")
    parked = replace(DONE, state=State.STAGE, hash="", url="", reason="auth", detail="you are not signed in any more")

    command = notification(parked, dict(os.environ), platform="linux")

    assert command is not None
    assert command[-2:] == ["A publish needs you", "my model: you are not signed in any more"]


@pytest.mark.usefixtures("bus")
def test_on_macos_the_texts_are_arguments_and_not_script(tmp_path: Path) -> None:
    Desktop(tmp_path, "osascript")
    hostile = replace(DONE, url='" & (do shell script "id") & "')

    command = notification(hostile, dict(os.environ), platform="darwin")

    assert command is not None
    assert command[-2:] == ["Published", f"my model: {hostile.url}"]
    assert not any("do shell script" in word for word in command[:-1])


@pytest.mark.parametrize(
    ("environ", "program"),
    [({}, "notify-send"), ({"DBUS_SESSION_BUS_ADDRESS": "unix:path=/x"}, "another program")],
    ids=["no session", "no program"],
)
def test_without_a_desktop_nothing_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], program: str
) -> None:
    Desktop(tmp_path, program)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert notification(DONE, environ, platform="linux") is None


@pytest.mark.usefixtures("bus")
async def test_a_lack_of_resources_for_a_notification_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: logging.Logger
) -> None:
    Desktop(tmp_path, "notify-send")

    def no_room() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pipe", no_room)
    await notify_end(DONE, None, notify=True, log=log)
