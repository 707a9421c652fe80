"""What the workers of a registry are measured with: each user stages all of a recording."""

from contextlib import closing
from pathlib import Path

import pytest
from benchmark.held import CannotHold, held
from benchmark.workers import USERS, staged

from roar_publisher.registry.data import Store
from tests.support.registry.postgres import running_postgres
from tests.unit.benchmark.test_ingest import publish, recording

COUNTS = "SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM jobs), (SELECT count(*) FROM links)"


def test_each_user_stages_everything_into_an_own_session(tmp_path: Path) -> None:
    with running_postgres() as server:
        assert staged(server, tmp_path / "data", 1, recording(tmp_path, publish())) > 0
        with closing(Store.open(tmp_path / "data", server.url("test0"))) as store:
            counts = store.read(lambda connection: tuple(connection.execute(COUNTS).fetchone()))
    assert counts == (USERS, 3 * USERS, 5 * USERS)


@pytest.mark.parametrize(
    ("version", "files"),
    [(1, {"cpu.cfs_period_us": "10000", "cpu.cfs_quota_us": "1500"}), (2, {"cpu.max": "1500 10000"})],
)
def test_each_process_gets_a_group_of_its_own(tmp_path: Path, version: int, files: dict[str, str]) -> None:
    parent = tmp_path / "cpu" if version == 1 else tmp_path
    parent.mkdir(exist_ok=True)
    if version == 1:
        (parent / "cpu.cfs_quota_us").touch()
    with held([11, 12], 0.15, tmp_path):
        groups = sorted(parent.glob("roar-bench-*"))
        assert [(group / "cgroup.procs").read_text() for group in groups] == ["11", "12"]
        for group in groups:
            limits = {each.name: each.read_text() for each in group.iterdir() if each.name != "cgroup.procs"}
            assert limits == files
            for each in group.iterdir():  # those of the kernel do not keep a folder
                each.unlink()
    assert not list(parent.glob("roar-bench-*"))


def test_without_cgroups_the_reason_is_given(tmp_path: Path) -> None:
    with pytest.raises(CannotHold, match="cgroups cannot be written"), held([11], 0.15, tmp_path / "none"):
        pytest.fail("nothing is measured")
