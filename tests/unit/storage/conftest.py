"""Stores of every kind for the tests here: servers start once a run and process, buckets are shared, prefixes not."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from roar_publisher.storage import parts
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.parts import MIB, SMALLEST_PART_BYTES
from roar_publisher.storage.store import ObjectStore
from tests.support.net.servers import SETTINGS, Server, serving
from tests.support.sampling import EXHAUSTIVE
from tests.support.storage.proxy import Proxy, proxied
from tests.support.storage.servers import AWS, BUCKET, client_of, gcs_emulator, moto, rclone
from tests.support.storage.settings import clean_environment

PATIENCE_SECONDS = 2.0
PART_BYTES = SMALLEST_PART_BYTES if EXHAUSTIVE else MIB
"""The size of the parts in tests that have `small_parts`."""
_prefixes = count(1)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """No user's credentials; botocore reads the process's environment."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment with keys and no other setting of a store or of the network."""
    return clean_environment(monkeypatch, tmp_path)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that are smaller than a user's: their hashes take most of the time of a test."""
    monkeypatch.setattr(parts, "SMALLEST_PART_BYTES", PART_BYTES)


@pytest.fixture(scope="session")
def rclone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rclone") / "root"


@pytest.fixture(scope="session")
def rclone_proxy(rclone_folder: Path) -> Iterator[Proxy]:
    with rclone(rclone_folder) as url, proxied(url) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def moto_proxy() -> Iterator[Proxy]:
    with moto() as url, proxied(url, verifies=True) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def gcs_proxy() -> Iterator[Proxy]:
    with gcs_emulator() as url, proxied(url) as proxy:
        yield proxy


@dataclass(frozen=True)
class Place:
    """A destination of one test: how to open it, and how to read and delete what is there without our code."""

    name: str
    url: str
    environ: dict[str, str]
    read: Callable[[str], bytes]
    delete: Callable[[str], None]
    proxy: Proxy | None

    @asynccontextmanager
    async def store(self, owner: str = "me") -> AsyncIterator[ObjectStore]:
        async with await open_store(self.url, self.environ, owner=owner, patience=PATIENCE_SECONDS) as store:
            yield store


def _place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    place = MAKERS[kind](request, f"run {next(_prefixes)}", tmp_path)
    if place.proxy:
        place.proxy.seen.clear()
    yield place
    if place.proxy:
        place.proxy.plan = lambda seen: None


def _in_folder(request: pytest.FixtureRequest, prefix: str, tmp_path: Path) -> Place:
    root = tmp_path / "stored"
    return Place(
        "file", root.as_uri(), {}, lambda key: (root / key).read_bytes(), lambda key: (root / key).unlink(), None
    )


def _in_rclone(request: pytest.FixtureRequest, prefix: str, tmp_path: Path) -> Place:
    folder: Path = request.getfixturevalue("rclone_folder")
    proxy: Proxy = request.getfixturevalue("rclone_proxy")
    return _in_s3("s3-rclone", proxy, prefix, lambda key: (folder / BUCKET / prefix / key).read_bytes())


def _in_moto(request: pytest.FixtureRequest, prefix: str, tmp_path: Path) -> Place:
    proxy: Proxy = request.getfixturevalue("moto_proxy")
    return _in_s3("s3-moto", proxy, prefix, lambda key: _get(f"{proxy.url}/{BUCKET}/{quote(f'{prefix}/{key}')}"))


def _in_s3(name: str, proxy: Proxy, prefix: str, read: Callable[[str], bytes]) -> Place:
    def delete(key: str) -> None:
        client_of(proxy.url).delete_object(Bucket=BUCKET, Key=f"{prefix}/{key}")

    return Place(name, f"s3://{BUCKET}/{prefix}", {"AWS_ENDPOINT_URL": proxy.url}, read, delete, proxy)


def _in_gcs(request: pytest.FixtureRequest, prefix: str, tmp_path: Path) -> Place:
    proxy: Proxy = request.getfixturevalue("gcs_proxy")
    objects = f"{proxy.url}/storage/v1/b/{BUCKET}/o/"

    def delete(key: str) -> None:
        urlopen(Request(objects + quote(f"{prefix}/{key}", safe=""), method="DELETE")).close()

    return Place(
        "gs",
        f"gs://{BUCKET}/{prefix}",
        {"STORAGE_EMULATOR_HOST": proxy.url},
        lambda key: _get(objects + quote(f"{prefix}/{key}", safe="") + "?alt=media"),
        delete,
        proxy,
    )


MAKERS: dict[str, Callable[[pytest.FixtureRequest, str, Path], Place]] = {
    "file": _in_folder,
    "s3-rclone": _in_rclone,
    "s3-moto": _in_moto,
    "gs": _in_gcs,
}
"""A new kind of store is added here; the contract suite then runs against it."""


def _get(url: str) -> bytes:
    # moto accepts any key; the emulator does not look.
    named = {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE12345/20260101/us-east-1/s3/aws4_request"}
    with urlopen(Request(url, headers=named)) as response:
        content: bytes = response.read()
        return content


@pytest.fixture(params=list(MAKERS))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each kind of store, with a prefix of its own."""
    yield from _place(str(request.param), request, tmp_path)


@pytest.fixture(params=["s3-rclone", "s3-moto"])
def s3_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each kind of S3."""
    yield from _place(str(request.param), request, tmp_path)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server in the place of S3 and of Google, which answers as a test says. Fetches keep their journals apart."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROAR_STATE_DIR", str(tmp_path / "state"))
    with serving() as server:
        for name, value in {**AWS, "AWS_ENDPOINT_URL": server.url, "STORAGE_EMULATOR_HOST": server.url}.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def gs_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from _place("gs", request, tmp_path)
