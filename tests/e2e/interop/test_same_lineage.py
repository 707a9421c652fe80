"""What roar-cli 0.4.7 publishes of a captured project, we publish too: same hash, same jobs, same links."""

from pathlib import Path

import pytest

from tests.support.interop.clients import Workplace, lineages, published, target_of
from tests.support.lineage.captured import NAMES, recorded, recordings

WHOLE_SESSION: list[str] = []


@pytest.mark.parametrize(("name", "recording"), recordings(), ids="-".join)
def test_readers_cannot_tell_who_published(
    name: str, recording: str, tmp_path: Path, registry: str, other_registry: str
) -> None:
    target = target_of(name, recording)
    lineage_hash = recorded(name, recording)["finalized_hash"]
    Workplace(tmp_path / "theirs", name).publish_by_roar_cli(other_registry, target)

    event = Workplace(tmp_path / "ours", name).publish_by_ours(registry, target)

    assert event["hash"] == lineage_hash
    assert published(registry, lineage_hash) == published(other_registry, lineage_hash)


@pytest.mark.parametrize("name", NAMES)
def test_publishing_after_roar_cli_doubles_nothing(name: str, tmp_path: Path, registry: str) -> None:
    workplace = Workplace(tmp_path / "home", name)
    workplace.publish_by_roar_cli(registry, WHOLE_SESSION)
    lineage_hash = recorded(name, "session")["finalized_hash"]
    before = published(registry, lineage_hash)

    event = workplace.publish_by_ours(registry, WHOLE_SESSION)

    assert event["hash"] == lineage_hash
    assert published(registry, lineage_hash) == before
    assert lineages(registry) == 1


@pytest.mark.parametrize("name", NAMES)
def test_roar_cli_publishing_after_us_doubles_nothing(name: str, tmp_path: Path, registry: str) -> None:
    workplace = Workplace(tmp_path / "home", name)
    event = workplace.publish_by_ours(registry, WHOLE_SESSION)
    before = published(registry, event["hash"])

    workplace.publish_by_roar_cli(registry, WHOLE_SESSION)

    assert published(registry, event["hash"]) == before
    assert lineages(registry) == 1
