"""Which registry is asked about a lineage that this machine has published."""

from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest

from roar_publisher.checking import service, targets
from roar_publisher.state.paths import StateFolder
from roar_publisher.verification.errors import CannotCheck

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
    monkeypatch.setattr(targets, "publish_of", lambda *_: SimpleNamespace(paths=None, plan=plan))
    monkeypatch.setattr(targets, "own_target", lambda *_: None)
    with ExitStack() as files:
        assert targets.named_target(HASH, typed, StateFolder(tmp_path / "state"), files).registry == asked


@pytest.mark.parametrize(("variable", "guessed"), [("", True), (ELSEWHERE, False)])
def test_the_default_registry_is_a_guess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, guessed: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GLAAS_URL", variable)
    with ExitStack() as files:
        order = targets.named_target(HASH, None, StateFolder(tmp_path / "state"), files)
    assert order.guessed is guessed


@pytest.mark.parametrize("guessed", [True, False])
def test_who_asked_the_wrong_registry_learns_how_to_name_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guessed: bool
) -> None:
    async def away(*_: object) -> None:
        raise CannotCheck("the registry cannot be reached")

    monkeypatch.setattr(service, "_verify", away)

    async def check() -> None:
        order = service.VerifyOrder(HASH, ELSEWHERE, {}, guessed=guessed)
        await service.verify(order, StateFolder(tmp_path), anyio.Event())

    with pytest.raises(CannotCheck) as caught:
        anyio.run(check)
    assert ("--registry URL" in caught.value.next_step) is guessed
