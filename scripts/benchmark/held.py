"""Holds processes to a share of a core each, by cgroups of Linux, which only root may write.

So several workers can be compared with one on a machine with few cores: the workers, and not the cores, are then what
there is too little of.
"""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
PERIOD = 10_000
"""Microseconds in which a process gets its share. It then waits for the next period."""
ATTEMPTS, ATTEMPT_SECONDS = 100, 0.02
"""To remove a group."""


class CannotHold(Exception):
    """There are no cgroups that this process may write; the text says why."""


@contextmanager
def held(processes: Iterable[int], share: float, root: Path = CGROUPS) -> Iterator[None]:
    """Hold each process to this share of a core. End them before the block ends. Raises `CannotHold`."""
    made: list[Path] = []
    try:
        try:
            for pid in processes:
                _hold(pid, share, root, made)
        except OSError as error:
            raise CannotHold(f"cgroups cannot be written: {error}") from error
        yield
    finally:
        for folder in made:
            _remove(folder)


def _hold(pid: int, share: float, root: Path, made: list[Path]) -> None:
    """Move a process to a group of version 1 or 2 of its own."""
    quota = round(share * PERIOD)
    first = (root / "cpu" / "cpu.cfs_quota_us").exists()
    folder = (root / "cpu" if first else root) / f"roar-bench-{os.getpid()}-{pid}"
    folder.mkdir()
    made.append(folder)
    if first:
        (folder / "cpu.cfs_period_us").write_text(str(PERIOD))
        (folder / "cpu.cfs_quota_us").write_text(str(quota))
    else:
        (folder / "cpu.max").write_text(f"{quota} {PERIOD}")
    (folder / "cgroup.procs").write_text(str(pid))


def _remove(folder: Path) -> None:
    """Remove a group. Its process may still be ending."""
    for _ in range(ATTEMPTS):
        with suppress(OSError):
            folder.rmdir()
            return
        time.sleep(ATTEMPT_SECONDS)
