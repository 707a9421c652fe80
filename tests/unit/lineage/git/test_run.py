"""Running git: an interrupt is an interrupt, whenever it comes."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.lineage.git.run import run_git


def test_an_interrupt_at_the_moment_in_which_git_ends_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process group is gone already, which is no problem of git."""

    def ended_and_interrupted(process: "subprocess.Popen[str]", *_: Any, **__: Any) -> None:
        process.wait()
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", ended_and_interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_git(tmp_path, "--version")
