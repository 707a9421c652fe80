"""After our publish, roar-cli goes on as if it had published itself (protocol.md §7)."""

from pathlib import Path

import pytest

from tests.interop.clients import Workplace, published
from tests.lineage.captured import NAMES

WHOLE_SESSION: list[str] = []


@pytest.mark.parametrize("name", NAMES)
def test_roar_db_reports_the_same_as_after_its_own_register(
    name: str, tmp_path: Path, registry: str, other_registry: str
) -> None:
    theirs, ours = Workplace(tmp_path / "theirs", name), Workplace(tmp_path / "ours", name)
    theirs.publish_by_roar_cli(other_registry, WHOLE_SESSION)

    ours.publish_by_ours(registry, WHOLE_SESSION)

    assert _synced(ours.roar_cli(registry, "db")) == _synced(theirs.roar_cli(other_registry, "db"))


def test_roar_cli_adds_a_label_to_a_job_that_we_published(tmp_path: Path, registry: str) -> None:
    workplace = Workplace(tmp_path / "home", "linear")
    event = workplace.publish_by_ours(registry, WHOLE_SESSION)

    workplace.roar_cli(registry, "label", "set", "job", "@1", "stage=reviewed")
    workplace.roar_cli(registry, "label", "sync", "job", "@1", "-y")

    labels = {job["step_number"]: job["labels"] for job in published(registry, event["hash"])["jobs"]}
    assert labels[1]["stage"] == "reviewed"
    assert "stage" not in labels[2]


def _synced(report: str) -> str:
    """The section of `roar db` about what is published."""
    section = report.partition("Synced to GLaaS:")[2].partition("\n\n")[0]
    assert "Sessions:" in section
    return section
