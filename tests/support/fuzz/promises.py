"""What must hold whatever a registry, a project or a bundle holds."""

import json
import os
import resource
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from roar_publisher.exit_codes import ExitCode
from tests.support.fuzz.program import Ended, Place

CPU_SECONDS = 20.0
"""Processor time of one case on a slow, busy machine; usual is a hundredth of a second."""
STUCK_SECONDS = 120
"""Real time after which a case is ended that uses no processor time; no case waits for real time."""
IDLE_SECONDS = 1.0
"""Processor time that one uses at most that waits."""
MEMORY_KIB = 400 * 1024
"""How far one case may push the process's peak."""


def is_clean(ended: Ended, *, as_json: bool) -> None:
    """A documented exit code, no traceback, nothing that steers a terminal; with --json, lines of JSON alone."""
    everything = ended.out + ended.err
    assert ended.code in set(ExitCode), everything
    assert "Traceback" not in everything
    assert "defect" not in everything, everything
    steering = {c for c in everything if not c.isprintable() and c != "\n"}
    assert not steering, f"{steering!r} in {everything!r}"
    if as_json:
        for line in ended.out.splitlines():
            assert isinstance(json.loads(line), dict)


def holds_none(canaries: Iterable[str], texts: Mapping[str, bytes]) -> None:
    """No credential in any of the texts."""
    for name, text in texts.items():
        for canary in canaries:
            assert canary.encode() not in text, f"{canary} is in {name}"


def files_below(folder: Path, *but: str) -> dict[str, bytes]:
    """The contents of the files in `folder`, without those of the given names."""
    return {
        str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in but
    }


def listing(place: Place) -> dict[str, tuple[int, int, int]]:
    """Everything that there is outside of the state folder: mode, size and time of the last change."""
    found = {}
    for parent, folders, files in os.walk(place.root):
        if Path(parent) == place.root:
            folders.remove(place.state.name) if place.state.name in folders else None
        for name in (*folders, *files):
            path = os.path.join(parent, name)
            about = os.lstat(path)
            size = 0 if name in folders else about.st_size  # a folder's changes with what is in it
            found[path] = (about.st_mode, size, 0 if name in folders else about.st_mtime_ns)
    return found


@contextmanager
def bounded() -> Iterator[None]:
    """Neither processor time nor memory grow with what a peer sent, and nothing waits for ever."""
    began, before = time.process_time(), _peak()
    looked = began

    def look(*interrupt: object) -> None:
        nonlocal looked
        used, looked = time.process_time() - looked, time.process_time()
        assert used > IDLE_SECONDS, "it waits for something that never comes, such as the other end of a FIFO"
        assert looked - began < CPU_SECONDS
        signal.alarm(STUCK_SECONDS)

    former = signal.signal(signal.SIGALRM, look)
    signal.alarm(STUCK_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)
    assert time.process_time() - began < CPU_SECONDS
    assert _peak() - before < MEMORY_KIB, f"{(_peak() - before) // 1024} MB"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def changes(place: Place, before: Mapping[str, tuple[int, int, int]]) -> set[str]:
    """What is not as it was, outside of the state folder."""
    after = listing(place)
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
