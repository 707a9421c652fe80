"""Real roar-cli 0.4.7 and ours, with the same credential on the same project: the same lineage for its readers."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.registry.control import SOCKET_NAME
from tests.support.auth.desk import Desk, alices_desk, registry
from tests.support.cli.roar_cli import run_roar_cli

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="roar-cli signs with ssh-keygen")
TIMEOUT_SECONDS = 120


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with alices_desk(tmp_path) as desk:
        yield desk


def published(desk: Desk, lineage_hash: str) -> dict[str, Any]:
    """The lineage as Alice gets it, without what differs from publish to publish: the time and the address."""
    status, lineage = desk.read(lineage_hash, desk.token())
    assert status == 200
    del lineage["published_at"], lineage["url"]
    return lineage


@pytest.mark.parametrize("credential", ["bearer", "key"])
@pytest.mark.parametrize("flag", ["--public", "--private", "--anonymous"])
def test_both_publish_the_same_lineage(desk: Desk, credential: str, flag: str, tmp_path: Path) -> None:
    if credential == "bearer":
        desk.sign_in()
    else:
        desk.make_key()
    shutil.copytree(desk.data, tmp_path / "another", ignore=shutil.ignore_patterns(SOCKET_NAME))
    shutil.copytree(desk.program.cwd, tmp_path / "another-project")
    with registry(tmp_path / "another") as url:
        theirs = replace(desk.with_environment(GLAAS_URL=url, ROAR_GLAAS__URL=url), data=tmp_path / "another", url=url)
        env = theirs.program.env | {"DO_NOT_TRACK": "1"}
        run_roar_cli("register", "-y", flag, cwd=tmp_path / "another-project", env=env).output()
        ours = desk.with_environment(GLAAS_URL=desk.url).publish(flag)
        by_ours, by_theirs = published(desk, ours["hash"]), published(theirs, ours["hash"])
    assert by_ours == by_theirs
