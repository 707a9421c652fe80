"""Which objects of a lineage are looked at: each that a put stored, where it is now."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from roar_publisher.checking import locating
from roar_publisher.checking.locating import LocatedObjects
from roar_publisher.glaas.client import Refused
from roar_publisher.inspection.findings import Finding
from roar_publisher.inspection.inspector import Inspector
from roar_publisher.inspection.subjects import Subject
from roar_publisher.storage.destinations import open_readable, open_store
from roar_publisher.storage.digest import digest_file
from tests.support.storage.memory import write_file

DIGEST = "ab" * 32


class Reader:
    """A registry without labels."""

    async def ask(self, path: str) -> Mapping[str, Any]:
        raise Refused("no such thing", status=404)


def put_job(step: int, url: str) -> dict[str, Any]:
    put = {"destination": url.rpartition("/")[0], "artifacts": {"i": url}}
    inputs = [{"hash": DIGEST, "path": "model.pt"}]
    return {"job_type": "put", "step_number": step, "metadata": {"put": put}, "inputs": inputs, "outputs": []}


async def looked_at(monkeypatch: pytest.MonkeyPatch, *urls: str) -> tuple[list[str], list[Finding]]:
    """Return the addresses that are looked at of content that was put to each, and what else is found."""

    async def whole_hash(*_: object) -> None:
        return None

    monkeypatch.setattr(locating, "whole_hash", whole_hash)
    located = LocatedObjects()
    for step, url in enumerate(urls):
        located.add(put_job(step, url))
    subjects, lost = await located.subjects(Reader(), "00", None)  # type: ignore[arg-type]
    return [each.url for each in subjects], [each.finding for each in lost]


@pytest.mark.anyio
async def test_content_that_was_put_twice_is_looked_at_in_both_places(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ["s3://b/v1/model.pt", "s3://b/v2/model.pt"]
    assert await looked_at(monkeypatch, *urls) == (urls, [])


@pytest.mark.anyio
@pytest.mark.parametrize("key", ["tab\tfolder/x", "line\nname"])
async def test_a_folder_may_have_any_name(tmp_path: Path, key: str) -> None:
    content = await digest_file(write_file(tmp_path / "source", 10))
    async with await open_store(str(tmp_path / "store")) as store:
        await store.put(key, content, lambda sent: None)
        subject = Subject(store.url(key), content.blake3, content)
    inspection = await Inspector(open_readable).run([subject])
    assert inspection.counts[Finding.PROVEN] == 1


@pytest.mark.anyio
async def test_a_redacted_address_is_never_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be missing, and repaired."""
    found = await looked_at(monkeypatch, "file:///data/[AWS_KEY_REDACTED]/model.pt")
    assert found == ([], [Finding.UNREADABLE])
