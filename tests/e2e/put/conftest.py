"""Fixtures that are made once in each process: the captured project, the servers, the forking process."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.support.processes import line_of, running
from tests.support.put.destinations import S3, Destination, Folder, Gcs, gcs_server, s3_server
from tests.support.put.place import ForkingProcess, Place
from tests.support.put.project import capture, copied
from tests.support.sampling import chosen
from tests.support.shared import made_once
from tests.support.storage.proxy import Proxy

REGISTRY = chosen("features of the registries of puts", ["staged", "grouped"])
"""What the registries of this run can do (`tests.support.faults.registries`)."""
_names = count(1)
MakePlace = Callable[[str], Place]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "captured", lambda folder: copied(capture(), folder / "project")) / "project"


@pytest.fixture(scope="session")
def forking_process() -> Iterator[ForkingProcess]:
    with running("-m", "tests.support.put.forked_program") as process:
        yield ForkingProcess(process)


@pytest.fixture(scope="session")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running("-m", "tests.support.faults.registries", str(tmp_path_factory.mktemp("registries"))) as process:
        yield line_of(process)


@pytest.fixture(scope="session")
def s3_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with s3_server(tmp_path_factory.mktemp("s3") / "root") as proxy:
        yield proxy


@pytest.fixture(scope="session")
def gcs_proxy() -> Iterator[Proxy]:
    with gcs_server() as proxy:
        yield proxy


@pytest.fixture
def reference(make_place: MakePlace, _references: dict[str, dict[str, int]]) -> Callable[[str], dict[str, int]]:
    """Count how often a put to a kind of destination passes each kind of moment."""

    def passed(kind: str) -> dict[str, int]:
        if kind not in _references:
            place = make_place(kind)
            answer = place.put()
            assert answer.code == 0, answer.err
            place.check_published_once()
            _references[kind] = answer.passed
        return _references[kind]

    return passed


@pytest.fixture(scope="session")
def _references() -> dict[str, dict[str, int]]:
    return {}


@pytest.fixture
def make_place(
    template: Path, forking_process: ForkingProcess, registries: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[MakePlace]:
    """Make places that put to one of `destinations.KINDS`; every call makes a new one, discarded in the end."""
    places: list[Place] = []

    def make(kind: str) -> Place:
        name = f"run {next(_names)}"
        destination: Destination = Folder(tmp_path / name / "stored")
        if kind != "file":
            proxy: Proxy = request.getfixturevalue(f"{'s3' if kind == 's3' else 'gcs'}_proxy")
            proxy.seen.clear()
            destination = S3(proxy, name) if kind == "s3" else Gcs(proxy, name)
        registry = f"{REGISTRY}-{name.replace(' ', '-')}"
        places.append(Place(tmp_path / name, template, registries, destination, forking_process, registry))
        return places[-1]

    yield make
    for place in places:
        if place.destination.proxy:
            place.destination.weather(lambda seen: None)
        place.discard()
