"""A checkpoint that needs the user's consent is published once a later publisher of its series gives it."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
from msgspec.structs import replace

from roar_publisher.checkpoints import feeder as feeder_module
from roar_publisher.checkpoints.feeder import RETRY_SECONDS, CheckpointFeeder
from roar_publisher.checkpoints.series import WAITING
from roar_publisher.publishing import calls
from roar_publisher.publishing.consent import Consent
from roar_publisher.publishing.detaching import require_consent
from roar_publisher.publishing.order import Order
from roar_publisher.state.paths import StateFolder
from tests.support.checkpoints import Make


class AgreedCall:
    """A call that plans a put if the user has agreed."""

    def __init__(self, order: Order, on_progress: None) -> None:
        self._agreed = order.yes

    def run(self) -> SimpleNamespace:
        if not self._agreed:
            choice = SimpleNamespace(decision=None, needs_confirmation=True)
            require_consent([choice], Consent(yes=False, how="yes=True").how)  # type: ignore[list-item]
        return SimpleNamespace(publish_id="00000001")

    def stop(self) -> None: ...


@pytest.mark.parametrize(
    ("later", "state"),
    [
        ({"yes": True}, "publishing"),
        ({}, "waiting"),
        ({"yes": True, "visibility": "private"}, "waiting"),
        ({"yes": True, "registry": "https://other.example"}, "waiting"),
    ],
)
def test_a_later_publisher_agrees_to_what_waits_for_the_same(
    make: Make, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: dict[str, object], state: str
) -> None:
    monkeypatch.setattr(calls, "Call", AgreedCall)
    now = [0.0]
    feeder = CheckpointFeeder(StateFolder(tmp_path / "state"), log=logging.getLogger(__name__), clock=lambda: now[0])
    training = make()
    training.submit(model, step=1)
    training.close()
    feeder.feed()
    assert training._series.problem == {
        "what": "this publish is public and anonymous, which needs your consent before the daemon takes it",
        "next": feeder_module.AGREE,
    }

    make(**later).close()
    now[0] = RETRY_SECONDS
    feeder.feed()
    assert [one.state for one in training.checkpoints()] == [state]


def test_what_is_submitted_afterwards_needs_a_consent_of_its_own(make: Make, model: Path) -> None:
    make(yes=True).close()
    training = make()
    training.submit(model, step=1)
    [record] = training._series.records(WAITING)
    training._series.agree(record.visibility, record.registry or "", record.created_at - 1)
    assert not training._series.has_agreed(record)
    assert training._series.has_agreed(replace(record, yes=True))
