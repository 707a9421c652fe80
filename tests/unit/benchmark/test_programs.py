"""The programs around a measured one: what starts it, and the server that stops replying."""

import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from benchmark.measure import Cost, Failed, median, run
from benchmark.server import Held
from benchmark.startup import modules_in


def test_a_program_has_its_cost_and_its_output(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    program = [sys.executable, "-c", "import os; print(os.getcwd(), os.environ['NAME'])"]
    cost, text = run(program, cwd=tmp_path / "project", environ={"NAME": "value"})
    assert text.split() == [str(tmp_path / "project"), "value"]
    assert min(cost.wall, cost.cpu, cost.peak_mib) > 0


def test_the_memory_of_the_bench_is_not_that_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    held = bytearray(b"x" * 200 * 1024 * 1024)
    cost, _ = run([sys.executable, "-c", "pass"], cwd=tmp_path / "project", environ={})
    assert cost.peak_mib < len(held) / 1024 / 1024 / 2


def test_a_program_that_fails_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    with pytest.raises(Failed, match="ended with 3:\nreason"):
        run([sys.executable, "-c", "print('reason'); raise SystemExit(3)"], cwd=tmp_path / "project", environ={})


def test_the_run_with_the_median_wall_time_counts() -> None:
    assert median([Cost(3.0, 1.0, 1.0), Cost(1.0, 9.0, 9.0), Cost(2.0, 5.0, 5.0)]) == Cost(2.0, 5.0, 5.0)


def test_the_number_of_modules_is_read_from_the_end_of_the_output() -> None:
    assert modules_in("Published 5 modules: all\n\nmodules: 456\n") == 456


def test_a_server_holds_from_so_many_bytes_on_until_its_file_is_removed(tmp_path: Path) -> None:
    served = []

    async def app(scope: MutableMapping[str, Any], receive: object, send: object) -> None:
        served.append(scope["path"])

    async def gone() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        raise AssertionError(message)

    file = tmp_path / "held"
    held = Held(app, 100, file)

    async def request(path: str, size: int) -> None:
        await held({"path": path, "headers": [(b"content-length", str(size).encode())]}, gone, send)

    async def requests() -> None:
        await request("first", 99)
        assert not file.exists()
        await request("second", 1)
        await request("third", 50)
        file.unlink()
        await request("fourth", 50)

    anyio.run(requests)
    assert served == ["first", "fourth"]
