"""The order in which files of tests begin: the longest first, so that no worker is left alone with one at the end.

`scripts/test` hands whole files to the workers, in this order: what a file shares is made once.
"""

from pathlib import PurePath

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
    """Return the tests of the longest files in the order of `LONGEST`, then the others as they are."""
    rank = {PurePath(tests, name): number for number, name in enumerate(LONGEST)}
    return sorted(items, key=lambda item: rank.get(item.path, len(rank)))
