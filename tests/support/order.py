"""The order in which files of tests begin: the longest first, so that no worker is left alone with one at the end.

`scripts/test` hands whole files to the workers, in this order: what a file shares is made once.
"""

from pathlib import Path, PurePath

import pytest

LONGEST = (
    "e2e/put/test_kill_sweep.py",
    "e2e/publish/test_detach.py",
    "unit/daemon/test_virtual_time.py",
    "unit/daemon/test_virtual_queue.py",
    "e2e/faults/test_kill_sweep.py",
    "e2e/daemon/test_conditions.py",
    "e2e/daemon/test_reported_reasons.py",
    "e2e/auth/test_canary.py",
    "e2e/put/test_changes.py",
    "e2e/put/test_faults.py",
    "e2e/interop/test_same_lineage.py",
    "e2e/interop/test_release_matrix.py",
    "e2e/auth/test_uids_as_roar_cli.py",
    "e2e/daemon/test_real_processes.py",
    "e2e/packaging/test_wheel.py",
    "e2e/auth/test_expiry.py",
    "e2e/interop/test_registry_with_roar_cli_auth.py",
    "e2e/interop/test_registry_with_roar_cli.py",
    "e2e/publish/test_take_over.py",
    "e2e/auth/test_login.py",
    "unit/lineage/test_plan.py",
    "unit/registry/test_serve.py",
    "unit/planning/put/test_like_roar_cli.py",
    "unit/storage/test_pages.py",
)
"""Files that take more than 10 s, below `tests`, the longest first."""


def longest_first(items: list[pytest.Item], tests: PurePath) -> list[pytest.Item]:
    """Return the tests of the longest files in the order of `LONGEST`, then the others by the names of their files."""
    rank = {PurePath(tests, name): number for number, name in enumerate(LONGEST)}
    return sorted(items, key=lambda item: (rank.get(item.path, len(rank)), item.path))


def begin_elsewhere(tests: Path, worker: int, workers: int) -> list[str]:
    """Return all that is in the folders of the tests, beginning at another place for each worker.

    The first worker that imports a file of a new checkout rewrites its assertions and keeps the result, which takes
    longer than all else that is done to collect it: so each does a part of that for the others.
    """
    folders = [tests, tests / "e2e", tests / "unit"]
    found = sorted(path for folder in folders for path in folder.iterdir() if path not in folders and _has_tests(path))
    first = len(found) * worker // workers
    return [str(path) for path in found[first:] + found[:first]]


def _has_tests(path: Path) -> bool:
    return path.match("test_*.py") or (path.is_dir() and any(path.rglob("test_*.py")))
