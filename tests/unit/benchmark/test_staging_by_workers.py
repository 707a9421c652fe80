"""What the workers of a registry are measured with: each user stages all of a recording."""

from contextlib import closing
from pathlib import Path

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
