"""The table of docs/registry.md agrees with the source of roar-cli and with what our registry answers.

By default with the installed release; with ROAR_TEST_EXHAUSTIVE=1 with all of `releases.RELEASES`.
"""

import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from roar_publisher.glaas.protocol import API_ROOT
from roar_publisher.registry.data import Store
from tests.support.checkout import CHECKOUT
from tests.support.interop.paths import paths_in, requests_in
from tests.support.interop.releases import INSTALLED, RELEASES, python_of
from tests.support.registry.harness import make_registry
from tests.support.sampling import EXHAUSTIVE

_ROW = re.compile(r"^\| `([A-Z]+) (/[^`]*)` \| ([0-9.]+) \| (yes|no) \| (.*) ?\|$", re.MULTILINE)
MISSING = "Endpoint not found"
"""How the registry says that it has no such endpoint, and not that it has no such lineage."""


class Row(NamedTuple):
    """A row of the table. `path` is in the form of `paths_in`."""

    method: str
    path: str
    since: tuple[int, ...]
    served: bool
    remark: str


def numbers(release: str) -> tuple[int, ...]:
    return tuple(map(int, release.split(".")))


TABLE = [
    Row(method, API_ROOT + re.sub(r":\w+", "{}", path), numbers(since), served == "yes", remark)
    for method, path, since, served, remark in _ROW.findall((CHECKOUT / "docs/registry.md").read_text(encoding="utf-8"))
]


def package_of(release: str) -> Path:
    """The folder of a release's modules."""
    program = "import roar; print(*roar.__path__)"
    command = [str(python_of(release)), "-P", "-c", program]
    return Path(subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout.strip())


@pytest.mark.parametrize("release", RELEASES if EXHAUSTIVE else [INSTALLED])
def test_every_request_of_roar_cli_is_in_a_row(release: str) -> None:
    package = package_of(release)
    found = paths_in(package)
    rows = [row for row in TABLE if row.since <= numbers(release)]
    assert len(found) >= 15
    assert set(found) == {row.path for row in rows}
    requests = requests_in(package)
    assert len(requests) >= 10
    assert requests - {(row.method, row.path) for row in rows} == set()


def test_no_row_is_twice_in_the_table_and_what_is_not_served_has_a_reason() -> None:
    assert len({(row.method, row.path) for row in TABLE}) == len(TABLE)
    assert [row for row in TABLE if not row.served and not row.remark] == []


@pytest.mark.anyio
async def test_what_the_table_says_is_served_is_served_and_nothing_else(anyio_backend: str) -> None:
    store = Store.in_memory()
    async with make_registry(store).client as client:
        answers = {row: await client.request(row.method, row.path.replace("{}", "0" * 64)) for row in TABLE}
    store.close()
    assert {row for row, answer in answers.items() if _is_served(answer)} == {row for row in TABLE if row.served}


def _is_served(answer: httpx2.Response) -> bool:
    return answer.status_code != 405 and MISSING not in answer.text


def test_a_path_is_found_however_it_is_put_together(tmp_path: Path) -> None:
    """What the table is compared with: formatted, constant and added texts, but no documentation."""
    (tmp_path / "module.py").write_text(
        '''"""Not /api/v1/docs."""
ROOT = "/api/v1/root?limit=1"
def call(self, a, b):
    """Not /api/v1/docs, either."""
    self._request("PATCH", f"/api/v1/first/{a}/second/{b.c}")
    path = "https://example.org/api/v1/third"
    path += f"/api/v1/fourth/{a}?depth={b}"
    self._request("GET", path)
'''
    )
    expected = {"/api/v1/root", "/api/v1/first/{}/second/{}", "/api/v1/third", "/api/v1/fourth/{}"}
    assert paths_in(tmp_path) == {path: {"module.py"} for path in expected}
    assert requests_in(tmp_path) == {("PATCH", "/api/v1/first/{}/second/{}")}
