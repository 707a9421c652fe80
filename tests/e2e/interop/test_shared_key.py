"""Several processes of real roar-cli at once that share one SSH key.

roar-cli signs whole seconds, and most keys are deterministic: equal requests of one second carry the same signature.
"""

import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from roar_publisher.registry.store.users import Accounts, find_user
from tests.support.interop.clients import published, running_registry
from tests.support.interop.releases import INSTALLED, TIMEOUT_SECONDS, Desk, add_user, desk_of, git_commit, give_key
from tests.support.sampling import EXHAUSTIVE

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="roar-cli signs with ssh-keygen")

ROUNDS = 6 if EXHAUSTIVE else 1
PROCESSES = 3


def test_processes_that_share_a_key_all_publish_as_its_user(tmp_path: Path) -> None:
    data = tmp_path / "registry"
    add_user(data, "alice")
    with closing(Accounts.open(data)) as store:
        identity = f"glaas:user:{store.read(find_user, 'alice').id}"
    with running_registry(data) as registry:
        desks = [desk_of(INSTALLED, tmp_path / f"home-{number}", registry) for number in range(PROCESSES)]
        give_key(desks[0], data, "alice")
        for desk in desks[1:]:
            shutil.copytree(desks[0].home / ".ssh", desk.home / ".ssh")
        for round_number in range(ROUNDS):
            hashes = _register_at_once(desks, round_number)
            assert len(hashes) == PROCESSES
            assert {published(registry, lineage_hash)["creator"] for lineage_hash in hashes} == {identity}


def _register_at_once(desks: list[Desk], round_number: int) -> set[str]:
    """Have every desk publish another lineage at the same time; their hashes."""
    for number, desk in enumerate(desks):
        git_commit(desk.project, f"round {round_number} of desk {number}")
    processes = [desk.started("register", "--public", "-y", "model.bin") for desk in desks]
    outputs = [process.communicate(timeout=TIMEOUT_SECONDS)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(desks), "\n".join(outputs)
    return {found[0] for output in outputs for found in re.finditer(r"(?<=/dag/)[0-9a-f]{64}", output)}
