"""Ctrl-C and SIGTERM end a fetch cleanly, and --resume asks for the missing ranges only, without the registry."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from itertools import count
from pathlib import Path

import pytest
from blake3 import blake3

from roar_publisher.fetching.folder import TargetFolder
from roar_publisher.fetching.journal import FetchJournal, FetchRequest
from roar_publisher.fetching.stored import StoredFile
from roar_publisher.storage.ranges import RANGE_BYTES
from tests.support.net.servers import Answer, Asked, serving
from tests.support.processes import environment
from tests.support.storage.servers import AWS

RANGES = 8
CONTENT = bytes(range(251)) * ((RANGES * RANGE_BYTES) // 251 - 1)
JOBS = 2
PATIENCE = 60
RANGE = re.compile(r"bytes=(\d+)-(\d+)")


def answered(asked: Asked) -> Answer:
    """Answer as S3 does."""
    wanted = RANGE.fullmatch(asked.headers.get("range", ""))
    if wanted is None:
        return 200, {"ETag": '"1"', "Content-Length": str(len(CONTENT))}, b""
    first, last = map(int, wanted.groups())
    return 206, {"ETag": '"1"', "Content-Range": f"bytes {first}-{last}/{len(CONTENT)}"}, CONTENT[first : last + 1]


def interrupted_before_its_first_range(target: Path) -> None:
    """Leave the journal of a fetch that was interrupted when it knew its files."""
    with TargetFolder.opened(target) as folder:
        journal = FetchJournal(folder.journal)
        files = [StoredFile(blake3(CONTENT).hexdigest(), "s3://bucket/x", "x")]
        journal.begin(FetchRequest("ab" * 32, (), "http://127.0.0.1:9", force=False), files)
        journal.close()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_fetch_is_resumed_with_the_missing_ranges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals
) -> None:
    target, state = tmp_path / "target", str(tmp_path / "state")
    monkeypatch.setenv("ROAR_STATE_DIR", state)
    interrupted_before_its_first_range(target)
    ended, ranges = threading.Event(), count(1)
    processes: list[subprocess.Popen[str]] = []

    def stop_at_the_fifth(asked: Asked) -> Answer:
        if "range" in asked.headers and next(ranges) == 5:
            os.kill(processes[0].pid, sent)
            ended.wait(PATIENCE)
        return answered(asked)

    with serving() as server:
        command = [sys.executable, "-m", "roar_publisher", "fetch", "--resume", "--to", str(target), "--json"]
        env = environment(HOME=str(tmp_path), ROAR_STATE_DIR=state, AWS_ENDPOINT_URL=server.url, **AWS)
        server.answer = stop_at_the_fifth
        with subprocess.Popen([*command, "--jobs", str(JOBS)], env=env, stdout=subprocess.PIPE, text=True) as process:
            processes.append(process)
            out, _ = process.communicate(timeout=PATIENCE)
        ended.set()
        assert process.returncode == 130
        said = json.loads(out.splitlines()[-1])
        assert (said["event"], said["next"]) == ("error", f"roar fetch --resume --to {target}")
        assert not (target / "x").exists()
        first = [asked.headers["range"] for asked in server.asked if "range" in asked.headers]

        server.asked.clear()
        server.answer = answered
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)

        assert (done.returncode, done.stderr) == (0, "")
        second = [asked.headers["range"] for asked in server.asked if "range" in asked.headers]
        assert len(set(second)) == len(second)
        assert len(first) + len(second) <= RANGES + JOBS
    assert [path.name for path in target.iterdir()] == ["x"]
    assert (target / "x").read_bytes() == CONTENT
