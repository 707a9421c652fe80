"""Which registry is asked about a lineage that this machine has published."""

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest

from roar_publisher.checking import targets
from roar_publisher.state.paths import StateFolder

HASH = "a" * 64
PUBLISHED_TO, ELSEWHERE, TYPED = "https://first.example", "https://other.example", "https://typed.example"


@pytest.mark.parametrize(
    ("typed", "variable", "asked"),
    [
        (None, None, PUBLISHED_TO),
        (None, "  ", PUBLISHED_TO),
        (None, ELSEWHERE, ELSEWHERE),
        (TYPED, None, TYPED),
        (TYPED, ELSEWHERE, TYPED),
    ],
)
def test_the_option_precedes_the_variable_and_both_the_publish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str | None, variable: str | None, asked: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GLAAS_URL", raising=False)
    if variable is not None:
        monkeypatch.setenv("GLAAS_URL", variable)
    plan = SimpleNamespace(registry=PUBLISHED_TO, intent={})
    monkeypatch.setattr(targets, "_whole_hash", lambda *_: None)
    monkeypatch.setattr(targets, "_publish_of", lambda *_: (None, PUBLISHED_TO))
    monkeypatch.setattr(targets, "own_target", lambda *_: None)
    monkeypatch.setattr(targets, "read_status", lambda _: SimpleNamespace(plan=plan))
    with ExitStack() as files:
        assert targets.named_target(HASH, typed, StateFolder(tmp_path / "state"), files).registry == asked
