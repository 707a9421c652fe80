"""A program that gives out the store's credentials and hangs, as for a touch of a key: a stop does not wait for it."""

import os
import select
import signal
import sys
from pathlib import Path

import pytest

from tests.support.cli.program import PATIENCE, Program

HANGS = "import os, signal, sys; open(sys.argv[1], 'w').write(str(os.getpid())); signal.pause()"
"""Says that it was asked, and then nothing more."""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_ends_the_process(program: Program, registry: str, tmp_path: Path, sent: signal.Signals) -> None:
    asked, config, script = (tmp_path / name for name in ("asked", "config", "hangs.py"))
    os.mkfifo(asked)
    script.write_text(HANGS)
    config.write_text(f"[profile alice]\ncredential_process = {sys.executable} {script} {asked}\n")
    program.env.update(AWS_CONFIG_FILE=str(config), AWS_PROFILE="alice", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    (tmp_path / "model.pt").write_bytes(b"weights")
    put = ("put", str(tmp_path / "model.pt"), "s3://bucket/run", "-m", "v1", "--anonymous", "-y")
    reading = os.open(asked, os.O_RDWR)
    with program.started(*put, "--registry", registry) as process:
        assert select.select([reading], [], [], PATIENCE)[0], "nothing asked for credentials"
        source = int(os.read(reading, 100))
        os.close(reading)
        try:
            process.send_signal(sent)
            output, errors = process.communicate(timeout=PATIENCE)
        finally:
            os.kill(source, signal.SIGKILL)
    assert process.returncode == 130, output + errors
    assert "Next: roar publish --resume" in output + errors
