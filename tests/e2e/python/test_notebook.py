"""A notebook in a real kernel: its event loop runs, cells are interrupted, progress is shown below the cell."""

import os
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.support.cli.program import Program
from tests.support.lineage.captured import captured_project

PUBLISH = """
import asyncio, sys
import roar_publisher
from roar_publisher import aio
from roar_publisher.integrations.notebook import ProgressBar

assert asyncio.get_running_loop().is_running()
first = roar_publisher.publish(visibility="public", yes=True, on_progress=ProgressBar())
print(first.url)
"""
AWAIT = """
again = await aio.resume(first.publish_id, on_progress=ProgressBar())
print(again == first, "ipywidgets" in sys.modules)
"""
INTERRUPTED = """
import os, signal

def interrupt(event):
    if event.name == "state" and event.state == "probe":
        os.kill(os.getpid(), signal.SIGINT)  # as Jupyter does

# No registry is there: a publish that is nearly over would succeed in spite of the interrupt.
roar_publisher.publish(visibility="public", yes=True, on_progress=interrupt, registry="http://127.0.0.1:9")
"""
RESUMED = """
[stopped] = [each for each in roar_publisher.publishes() if each.status == "interrupted"]
resumed = roar_publisher.resume(stopped.publish_id, registry=os.environ["GLAAS_URL"])
print(stopped.reason, resumed.hash == first.hash)
"""


@pytest.fixture(scope="module")
def notebook(registry: str, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The cells of a notebook, after its kernel has run them."""
    folder = tmp_path_factory.mktemp("notebook")
    program = Program.within(captured_project("linear", folder), folder)
    codes = (PUBLISH, AWAIT, INTERRUPTED, RESUMED)
    cells = [nbformat.v4.new_code_cell(code) for code in codes]
    client = NotebookClient(
        nbformat.v4.new_notebook(cells=cells),
        timeout=120,
        kernel_name="python3",
        allow_errors=True,
        resources={"metadata": {"path": str(program.cwd)}},
    )
    client.execute(env=program.env | {"GLAAS_URL": registry, "PATH": os.environ["PATH"]})
    return list(client.nb.cells)


def outputs(cell: Any, kind: str) -> list[Any]:
    return [output for output in cell.outputs if output.output_type == kind]


def printed(cell: Any) -> str:
    assert outputs(cell, "error") == []
    return "".join(output.text for output in outputs(cell, "stream"))


def test_a_cell_publishes_below_a_progress_bar(notebook: list[Any]) -> None:
    """The cell prints nothing but what its own code prints, and the bar is one output that was replaced."""
    url = printed(notebook[0]).strip()
    assert url.startswith("http://127.0.0.1:")
    [bar] = outputs(notebook[0], "display_data")
    assert bar.data["text/html"].startswith('<progress value="1" max="1"></progress> <a href="http://127.0.0.1:')
    assert bar.data["text/plain"].startswith("roar: published ")


def test_a_cell_awaits_in_the_loop_of_the_kernel_without_widgets(notebook: list[Any]) -> None:
    assert printed(notebook[1]) == "True False\n"


def test_an_interrupted_cell_leaves_a_publish_that_the_next_one_resumes(notebook: list[Any]) -> None:
    [error] = outputs(notebook[2], "error")
    assert error.ename == "KeyboardInterrupt"
    assert printed(notebook[3]) == "interrupted True\n"
