"""A publish that has ended, and what is logged about its end."""

import pytest

from roar_publisher.daemon.hooks import EndedPublish
from roar_publisher.state.machine import State

DONE = EndedPublish(
    publish_id="1f2e3d4c",
    state=State.DONE,
    hash="ab" * 32,
    url="https://registry.example/dag/abab",
    project="/home/someone/my model",
    reason="published",
    detail="",
)


def said(caplog: pytest.LogCaptureFixture) -> str:
    """The one line that was logged, with the publish that it is about."""
    (record,) = caplog.records
    assert record.__dict__["publish_id"] == DONE.publish_id
    return f"{record.levelname} {record.getMessage()}"
