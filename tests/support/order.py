"""The order in which files of tests begin: the longest first, so that no worker is left alone with one at the end.

`scripts/test` hands whole files to the workers, in this order: what a file shares is made once.
"""

from pathlib import Path, PurePath

import pytest

LONGEST = (
    "e2e/put/test_kill_sweep.py",
    "e2e/interop/test_readback.py",
    "e2e/put/test_faults.py",
    "e2e/put/test_changes.py",
    "e2e/put/test_command_line.py",
    "e2e/publish/test_take_over.py",
    "e2e/auth/test_command_line.py",
    "e2e/daemon/test_together.py",
    "e2e/daemon/test_conditions.py",
    "e2e/publish/test_detach.py",
    "e2e/auth/test_canary.py",
    "unit/daemon/test_virtual_time.py",
    "e2e/faults/test_kill_sweep.py",
    "e2e/put/test_moving.py",
    "e2e/auth/test_moving.py",
    "unit/daemon/test_virtual_queue.py",
    "e2e/publish/test_bad_servers.py",
    "e2e/interop/test_release_matrix.py",
    "e2e/faults/test_real_network.py",
    "e2e/registry/test_browser.py",
    "e2e/packaging/test_audit.py",
    "e2e/auth/test_login.py",
    "e2e/packaging/test_wheel.py",
    "e2e/auth/test_uids_as_roar_cli.py",
    "e2e/auth/test_redirects.py",
    "e2e/interop/test_same_lineage.py",
    "unit/registry/test_serve.py",
    "e2e/fuzz/test_projects.py",
    "unit/lineage/redaction/test_redactor.py",
    "unit/planning/bundles/test_database_attacks.py",
)
"""Files that take more than 10 s with their waits, below `tests`, the longest first."""


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
