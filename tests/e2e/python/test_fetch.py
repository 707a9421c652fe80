"""Fetching from Python: the same as on the command line, without printing, and with the same events."""

import logging
import threading
from collections.abc import Iterable
from pathlib import Path

import anyio
import pytest

import roar_publisher
from roar_publisher import aio, errors, events
from roar_publisher.fetching.service import FetchCounts
from roar_publisher.publishing import fetching
from tests.support.cli.program import Program

CONTENT = bytes(range(256)) * 10_000
"""More than a range."""
VOLATILE = {"folder"}


def test_ctrl_c_at_the_very_end_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def carry_out(*_: object, **__: object) -> FetchCounts:
        call._runner.interrupted = True
        return FetchCounts()

    monkeypatch.setattr(fetching, "fetch", carry_out)
    caplog.set_level(logging.INFO, "roar_publisher")
    call = fetching.fetch_call("ab" * 32, (), tmp_path, force=False, registry=None, on_progress=None)
    with pytest.raises(KeyboardInterrupt):
        call.run()
    assert "Fetched(" in caplog.text, "the result is logged as information"


@pytest.mark.parametrize(("lineage", "registry"), [("", None), ("ab" * 32, "")])
def test_an_unset_variable_is_not_taken_for_nothing(
    program: Program, tmp_path: Path, lineage: str, registry: str | None
) -> None:
    """It would continue whatever was interrupted in the folder, or ask another registry."""
    with pytest.raises(errors.UsageProblem, match="empty"):
        roar_publisher.fetch(lineage, to=tmp_path, registry=registry)
    option = [] if registry is None else ["--registry", registry]
    program("fetch", lineage, "--to", str(tmp_path), *option).blames(2, "is empty")


def test_fetching_is_what_the_command_line_does(
    program: Program, project: Path, registry: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "a.bin").write_bytes(b"small")
    (project / "b.bin").write_bytes(CONTENT)
    names = ["a.bin", "b.bin"]
    put = roar_publisher.put(
        [project / name for name in names],
        tmp_path / "store",
        "v1",
        visibility="public",
        project=project,
        registry=registry,
        tag=False,
        yes=True,
    )
    assert put.hash
    seen: list[events.FetchEvent] = []
    threads: set[int] = set()

    def look(event: events.FetchEvent) -> None:
        seen.append(event)
        threads.add(threading.get_ident())

    result = roar_publisher.fetch(put.hash, to=tmp_path / "one", registry=registry, on_progress=look)

    assert result == roar_publisher.Fetched(
        folder=str(tmp_path / "one"), fetched=2, present=0, failed=0, bytes=len(CONTENT) + 5
    )
    assert seen[-1] == result
    assert threads == {threading.get_ident()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()} == {
        "a.bin": b"small",
        "b.bin": CONTENT,
    }
    lines = program("fetch", put.hash, "--to", str(tmp_path / "two"), "--json", "--registry", registry).events
    assert comparable(event.as_dict() for event in seen) == comparable(lines)

    async def twin() -> None:
        assert (await aio.fetch(put.hash, "b.bin", tmp_path / "one", registry=registry)).present == 1
        (tmp_path / "one" / "a.bin").write_bytes(b"mine")
        seen.clear()
        with pytest.raises(errors.Rejected, match="1 of 2 files"):
            await aio.fetch(put.hash, names, tmp_path / "one", registry=registry, on_progress=look)
        assert [event.path for event in seen if isinstance(event, events.FailedEvent)] == ["a.bin"]
        with pytest.raises(errors.UsageProblem, match="interrupted"):
            await aio.fetch(None, to=tmp_path / "one")

    for backend in ("asyncio", "trio"):
        anyio.run(twin, backend=backend)
    capfd.readouterr()
    assert roar_publisher.fetch(put.hash, names, tmp_path / "one", force=True, registry=registry).fetched == 1
    assert capfd.readouterr() == ("", "")


def comparable(lines: Iterable[dict[str, object]]) -> list[str]:
    """Return events without what differs from run to run, such as how often progress is reported."""
    return sorted(
        str({name: value for name, value in line.items() if name not in VOLATILE})
        for line in lines
        if line["event"] != "progress"
    )
