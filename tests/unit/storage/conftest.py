"""Stores of every kind for the tests here: servers start once a run and process, buckets are shared, prefixes not."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.store import ObjectStore
from tests.support.storage.proxy import Proxy, proxied
from tests.support.storage.servers import AWS, BUCKET, client_of, gcs_emulator, moto, rclone

PATIENCE_SECONDS = 2.0
_prefixes = count(1)


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """No user's credentials; botocore reads the process's environment."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)


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


@pytest.fixture(params=["file", "s3-rclone", "s3-moto", "gs"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each kind of store, with a prefix of its own."""
    yield from _place(str(request.param), request, tmp_path)


@pytest.fixture(params=["s3-rclone", "s3-moto"])
def s3_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each kind of S3."""
    yield from _place(str(request.param), request, tmp_path)


@pytest.fixture
def gs_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    yield from _place("gs", request, tmp_path)


def _place(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    prefix = f"run {next(_prefixes)}"
    if kind == "file":
        root = tmp_path / "stored"
        yield Place(
            kind, root.as_uri(), {}, lambda key: (root / key).read_bytes(), lambda key: (root / key).unlink(), None
        )
        return
    proxy: Proxy = request.getfixturevalue(
        {"s3-rclone": "rclone_proxy", "s3-moto": "moto_proxy"}.get(kind, "gcs_proxy")
    )
    proxy.seen.clear()
    if kind == "s3-rclone":
        folder: Path = request.getfixturevalue("rclone_folder")
        read: Callable[[str], bytes] = lambda key: (folder / BUCKET / prefix / key).read_bytes()  # noqa: E731
    elif kind == "s3-moto":
        read = lambda key: _get(f"{proxy.url}/{BUCKET}/{quote(f'{prefix}/{key}')}")  # noqa: E731
    else:
        name = f"{proxy.url}/storage/v1/b/{BUCKET}/o/"
        read = lambda key: _get(name + quote(f"{prefix}/{key}", safe="") + "?alt=media")  # noqa: E731
    if kind == "gs":
        environ = {"STORAGE_EMULATOR_HOST": proxy.url}
        delete: Callable[[str], None] = lambda key: urlopen(  # noqa: E731
            Request(name + quote(f"{prefix}/{key}", safe=""), method="DELETE")
        ).close()
    else:
        environ = {"AWS_ENDPOINT_URL": proxy.url}
        delete = lambda key: client_of(proxy.url).delete_object(Bucket=BUCKET, Key=f"{prefix}/{key}")  # noqa: E731
    yield Place(kind, f"{'gs' if kind == 'gs' else 's3'}://{BUCKET}/{prefix}", environ, read, delete, proxy)
    proxy.plan = lambda seen: None


def _get(url: str) -> bytes:
    # moto accepts any key; the emulator does not look.
    named = {"Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE12345/20260101/us-east-1/s3/aws4_request"}
    with urlopen(Request(url, headers=named)) as response:
        content: bytes = response.read()
        return content
