"""A client-only installation: no store's SDK and no server, and a message that names what is missing."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from roar_publisher.extras import NEEDED, require
from roar_publisher.state.errors import UsageProblem
from tests.support.cli.program import Program
from tests.support.lineage.captured import captured_project
from tests.support.put.projects import put_project

FRAMEWORKS = {"lightning", "transformers"}
"""The extras that are not in `all`: they take 1 GB and more."""
BLOCKER = """
import sys
sys.modules.update(dict.fromkeys({modules!r}))  # None: every import of it fails
"""


def _requirements(extra: str | None) -> set[str]:
    """The distributions that the package itself (None) or one of its extras brings."""
    marked = rf"""; extra == ['"]{extra}['"]"""
    lines = importlib.metadata.requires("roar-publisher") or []
    return {
        re.split(r"[\[<>=;~ ]", line)[0]
        for line in lines
        if ("extra ==" not in line if extra is None else re.search(marked, line))
    }


def test_the_client_brings_no_server_and_no_sdk() -> None:
    assert _requirements("s3") == {"botocore"}
    assert _requirements("gcs") == {"google-auth", "requests"}
    assert _requirements("registry") == {"h11", "prometheus-client", "starlette", "uvicorn"}
    optional = {"boto3", "botocore", "google-auth", "prometheus-client", "requests", "starlette", "uvicorn", "numpy"}
    assert not _requirements(None) & optional


@pytest.fixture
def client_only(tmp_path: Path) -> Program:
    """The program in an environment in which the packages of every extra are missing."""
    modules = {name.split(".")[0] for names in NEEDED.values() for name in names} - {"h11"}  # of httpcore2, too
    site = tmp_path / "site"
    site.mkdir()
    # An interpreter imports `usercustomize` or `sitecustomize` at its start, before anything of ours.
    (site / "sitecustomize.py").write_text(BLOCKER.format(modules=sorted(modules)))
    return Program.within(captured_project("linear", tmp_path), tmp_path, PYTHONPATH=str(site))


@pytest.mark.parametrize("extra", sorted(FRAMEWORKS))
def test_a_callback_names_the_extra_that_it_needs(client_only: Program, extra: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import roar_publisher.integrations.{extra}"],
        env=client_only.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"the {extra} extra, which is not installed" in done.stderr


def test_lineage_is_planned_without_any_extra(client_only: Program) -> None:
    assert client_only("publish", "--public", "--dry-run", "--registry", "http://127.0.0.1:9").code == 0
    assert client_only("journal", "list").code == 0


@pytest.mark.parametrize(("destination", "extra"), [("s3://bucket/x", "s3"), ("gs://bucket/x", "gcs")])
def test_a_put_names_the_extra_that_its_destination_needs(
    client_only: Program, tmp_path: Path, destination: str, extra: str
) -> None:
    put = Program(put_project(tmp_path / "put"), client_only.state, client_only.env)
    done = put("put", "out0.txt", destination, "-m", "x", "--public", "-y", "--no-tag")
    done.blames(2, f"the {extra} extra", f"pip install 'roar-publisher[{extra}]'")


def test_a_registry_names_the_extra_that_it_needs(client_only: Program) -> None:
    client_only("registry", "serve", "--port", "0").blames(2, "pip install 'roar-publisher[registry]'")


@pytest.mark.parametrize("extra", sorted(NEEDED.keys() - FRAMEWORKS))
def test_here_every_extra_is_installed(extra: str) -> None:
    require(extra, "the test suite")


def test_a_missing_parent_package_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google", None)
    with pytest.raises(UsageProblem, match="gcs extra"):
        require("gcs", "this")
