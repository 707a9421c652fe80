"""The destinations of the tests' puts: three kinds of store, each read without our code."""

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from urllib.request import Request, urlopen

from tests.support.put.project import PART_BYTES
from tests.support.storage.proxy import Plan, Proxy, Seen, proxied
from tests.support.storage.servers import BUCKET, client_of, gcs_emulator, rclone

KINDS = ("s3", "gs", "file")
UNDER_WAY = ".roar-*.upload"
"""Files of a folder store that are incomplete."""


class Destination(ABC):
    """A prefix of one store that only this test uses.

    url: what is typed.  env: what leads there.  proxy: what every request to it passes; a folder has none.
    """

    def __init__(self, url: str, env: dict[str, str], proxy: Proxy | None) -> None:
        self.url = url
        self.env = env
        self.proxy = proxy

    def weather(self, plan: Plan) -> None:
        """Set what happens to each request from now on."""
        assert self.proxy is not None
        self.proxy.plan = plan

    def settle(self) -> None:
        """Wait until the store has processed all requests of a killed client."""
        if self.proxy is not None:
            self.proxy.settle()

    @abstractmethod
    def keys(self) -> list[str]:
        """Return everything below the prefix, sorted."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Return the stored content."""

    @abstractmethod
    def write(self, key: str, content: bytes) -> None:
        """Store an object, as another client would."""

    @abstractmethod
    def uploads(self) -> set[str]:
        """Return the ids of the uploads that the store still holds parts of."""

    @abstractmethod
    def parts_sent(self, seen: list[Seen], uploads: Mapping[str, str]) -> list[tuple[str, int]]:
        """Return (key, part from 1) of every body that the requests sent; a file of one part is sent as its part 1.

        uploads: the keys of uploads by their ids, for a store whose requests do not name the key.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove one object, as another client would."""

    def clear(self) -> None:
        """Remove everything, to save disk and memory."""
        for key in self.keys():
            self.delete(key)

    def objects(self) -> dict[str, bytes]:
        """Return everything, by key."""
        return {key: self.read(key) for key in self.keys()}


class S3(Destination):
    """A prefix of a bucket."""

    def __init__(self, proxy: Proxy, name: str) -> None:
        super().__init__(f"s3://{BUCKET}/{name}", {"AWS_ENDPOINT_URL": proxy.url}, proxy)
        self._prefix = f"{name}/"
        self._client = client_of(proxy.url)

    def settle(self) -> None:
        self._client.close()  # else it stays connected; it connects again by itself
        super().settle()

    def keys(self) -> list[str]:
        found = self._client.list_objects_v2(Bucket=BUCKET, Prefix=self._prefix)
        return sorted(one["Key"].removeprefix(self._prefix) for one in found.get("Contents", []))

    def read(self, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=BUCKET, Key=self._prefix + key)["Body"].read()
        return content

    def write(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=self._prefix + key, Body=content)

    def uploads(self) -> set[str]:
        return {one["UploadId"] for one in self._under_way()}

    def begin(self, key: str, parts: int) -> str:
        """Begin an upload as another client would, send that many parts, and return its id."""
        where = {"Bucket": BUCKET, "Key": self._prefix + key}
        upload_id: str = self._client.create_multipart_upload(**where)["UploadId"]
        for number in range(1, parts + 1):
            self._client.upload_part(**where, UploadId=upload_id, PartNumber=number, Body=b"theirs")
        return upload_id

    def _under_way(self) -> list[dict[str, Any]]:
        try:
            found = self._client.list_multipart_uploads(Bucket=BUCKET).get("Uploads") or []
        except self._client.exceptions.NoSuchUpload:  # what rclone says of a bucket that never had any
            return []
        return [one for one in found if one["Key"].startswith(self._prefix)]

    def parts_sent(self, seen: list[Seen], uploads: Mapping[str, str]) -> list[tuple[str, int]]:
        sent = []
        for one in seen:
            parts = urlsplit(one.path)
            key = unquote(parts.path).removeprefix(f"/{BUCKET}/{self._prefix}")
            if one.method == "PUT":
                sent.append((key, int(parse_qs(parts.query).get("partNumber", ["1"])[0])))
        return sent

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=BUCKET, Key=self._prefix + key)

    def clear(self) -> None:
        super().clear()
        self.drop_uploads()

    def drop_uploads(self) -> None:
        """Abort every upload, as a bucket's lifecycle rule does after some days."""
        for one in self._under_way():
            self._client.abort_multipart_upload(Bucket=BUCKET, Key=one["Key"], UploadId=one["UploadId"])


class Gcs(Destination):
    """A prefix of a Google bucket. Its sessions cannot be listed; unfinished ones expire."""

    def __init__(self, proxy: Proxy, name: str) -> None:
        super().__init__(f"gs://{BUCKET}/{name}", {"STORAGE_EMULATOR_HOST": proxy.url}, proxy)
        self._prefix = f"{name}/"
        self._objects = f"{proxy.url}/storage/v1/b/{BUCKET}/o"

    def keys(self) -> list[str]:
        with urlopen(f"{self._objects}?prefix={quote(self._prefix, safe='')}") as reply:
            return sorted(one["name"].removeprefix(self._prefix) for one in json.load(reply).get("items", []))

    def read(self, key: str) -> bytes:
        with urlopen(f"{self._objects}/{quote(self._prefix + key, safe='')}?alt=media") as reply:
            content: bytes = reply.read()
            return content

    def write(self, key: str, content: bytes) -> None:
        url = f"{self._objects.replace('/storage/', '/upload/storage/')}?uploadType=media"
        urlopen(Request(f"{url}&name={quote(self._prefix + key, safe='')}", content, method="POST")).close()

    def uploads(self) -> set[str]:
        return set()

    def parts_sent(self, seen: list[Seen], uploads: Mapping[str, str]) -> list[tuple[str, int]]:
        keys = {id_.partition("://")[2].partition("/")[2]: key for id_, key in uploads.items()}
        sent = []
        for one in seen:
            if one.method == "PUT" and not one.content_range.startswith("bytes */"):
                offset = int(one.content_range.removeprefix("bytes ").partition("-")[0])
                sent.append((keys.get(one.path.lstrip("/"), one.path), offset // PART_BYTES + 1))
            elif "uploadType=multipart" in one.path:
                name = parse_qs(urlsplit(one.path).query)["name"][0]
                sent.append((name.removeprefix(self._prefix), 1))
        return sent

    def delete(self, key: str) -> None:
        urlopen(Request(f"{self._objects}/{quote(self._prefix + key, safe='')}", method="DELETE")).close()


class Folder(Destination):
    """A folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.as_uri(), {}, None)
        self._folder = folder

    def keys(self) -> list[str]:
        files = (path.relative_to(self._folder) for path in self._folder.rglob("*") if path.is_file())
        return sorted(path.as_posix() for path in files if not path.match(UNDER_WAY))

    def read(self, key: str) -> bytes:
        return (self._folder / key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        (self._folder / key).write_bytes(content)

    def uploads(self) -> set[str]:
        before, _, after = UNDER_WAY.partition("*")
        return {path.name.removeprefix(before).removesuffix(after) for path in self._folder.rglob(UNDER_WAY)}

    def parts_sent(self, seen: list[Seen], uploads: Mapping[str, str]) -> list[tuple[str, int]]:
        return []

    def delete(self, key: str) -> None:
        (self._folder / key).unlink()

    def clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def s3_server(folder: Path) -> Iterator[Proxy]:
    """An S3 server that verifies signatures, behind a proxy."""
    with rclone(folder) as url, proxied(url) as proxy:
        yield proxy


@contextmanager
def gcs_server() -> Iterator[Proxy]:
    """The emulator, behind a proxy. Deleted objects are freed at once, so that many puts fit into memory."""
    with gcs_emulator() as url, proxied(url) as proxy:
        policy = json.dumps({"softDeletePolicy": {"retentionDurationSeconds": "0"}}).encode()
        json_body = {"Content-Type": "application/json"}
        urlopen(Request(f"{url}/storage/v1/b/{BUCKET}", policy, json_body, method="PATCH")).close()
        yield proxy
