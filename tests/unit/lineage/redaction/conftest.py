"""The hints are searched for from the first text on, so that each secret of these tests must have one."""

import pytest

from roar_publisher.lineage.redaction import options, scan


@pytest.fixture(autouse=True)
def _hints_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    for hints in (scan._ANY_SHAPE, scan._ANY_KEYWORD, options._ANY_OPTION):
        monkeypatch.setattr(hints, "_left", 0)
