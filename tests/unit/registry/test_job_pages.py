"""The pages of jobs and artifacts with texts that are long, or not what they should be."""

import json
import os
import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.pages.html import COMMAND_SHOWN, TEXT_SHOWN, duration, size_text
from roar_publisher.registry.pages.nodes import COMMAND_IN_LIST
from roar_publisher.registry.store.node_rows import METADATA_READ
from tests.support.registry.harness import Registry, digest, job, link, succeeded, uid
from tests.support.registry.indexing import index_all

pytestmark = pytest.mark.anyio

NOT_UTF8 = json.dumps({"file": os.fsdecode(b"caf\xe9.csv")})


@pytest.mark.parametrize(
    ("metadata", "shown"),
    [
        (NOT_UTF8, NOT_UTF8),
        ("no {JSON}", "no {JSON}"),
        ('{"a":["\\u00e9"]}', '{\n  "a": [\n    "é"\n  ]\n}'),
        ("[" * 5000, "[" * 5000),
        (json.dumps({"a": "y" * 12_000}), '{\n  "a": "' + "y" * (COMMAND_SHOWN - 10) + "…"),
        ("y" * COMMAND_SHOWN, "y" * COMMAND_SHOWN),
        ("y" * 2 * METADATA_READ, "y" * COMMAND_SHOWN + "…"),
    ],
    ids=["not UTF-8", "no JSON", "JSON", "deep", "long JSON", "just fits", "cut"],
)
async def test_any_metadata_is_shown(registry: Registry, metadata: str, shown: str) -> None:
    session = await registry.open()
    await session.add_jobs(job(1, metadata=metadata))
    page = await registry.client.get(f"/dag/{(await session.finalize())['hash']}/jobs/{uid(1)}")
    assert page.status_code == 200
    assert f'<pre class="command mono">{shown}</pre>' in unescape(page.text)


async def test_a_cut_text_does_not_look_whole(registry: Registry, store: Store) -> None:
    """The registry knows only the beginnings, so it does not say how much is missing."""
    session = await registry.open()
    await session.add_jobs(job(1, command="c" * 1000), job(2, command="d" * COMMAND_IN_LIST))
    await session.add_links(1, "inputs", link(1, "p" * 1000), link(2, "q" * TEXT_SHOWN))
    await session.add_links(2, "inputs", link(1, "p" * 1000), link(2, "q" * TEXT_SHOWN))
    await session.add_links(1, "outputs", link(3, "r" * 1000), link(4, "s" * TEXT_SHOWN))
    await session.finalize()
    index_all(store)
    first = unescape((await registry.client.get(f"/artifacts/{digest(1)}")).text)
    second = unescape((await registry.client.get(f"/artifacts/{digest(2)}")).text)
    assert f">{'c' * COMMAND_IN_LIST}…<" in first
    assert f">{'d' * COMMAND_IN_LIST}<" in first
    assert f">as {'p' * TEXT_SHOWN}…<" in first
    assert f">as {'q' * TEXT_SHOWN}<" in second
    impact = unescape((await registry.client.get("/impact", params={"digest": digest(1)})).text)
    assert f">{'r' * TEXT_SHOWN}…<" in impact
    assert f">{'s' * TEXT_SHOWN}<" in impact


async def test_labels_are_shown_as_the_api_gives_them(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1))
    lineage_hash = (await session.finalize())["hash"]
    document = {"a": True, "b": None, "c": ["é", {"k": False}], "d": "True"}
    label = {"entity_type": "job", "job_uid": uid(1), "metadata": document}
    succeeded(await session.post("/labels/batch", {"labels": [label]}))
    page = unescape((await registry.client.get(f"/dag/{lineage_hash}/jobs/{uid(1)}")).text)
    assert re.findall(r'<td class="fixed mono">(\w)</td><td>(.*?)</td>', page) == [
        ("a", "true"),
        ("b", "null"),
        ("c", '["é", {"k": false}]'),
        ("d", "True"),
    ]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (2**20 - 1, "1.0 MiB"), (2**40 - 1, "1.0 TiB")],
)
def test_sizes_are_in_the_unit_that_their_number_fits(size: int, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(59.94, "59.9 s"), (59.97, "1.0 min"), (3594, "59.9 min"), (3598, "1.0 h"), (36_000_000, "10,000.0 h")],
)
def test_durations_are_in_the_unit_that_their_number_fits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    "address", ["/impact?digest=0123456789abcdef", f"/dag/{'a' * 64}?node=j%261&x=%C3%A9", "/artifacts/a%3Fb%26c1234"]
)
async def test_a_sign_in_leads_back_to_the_whole_address(registry: Registry, address: str) -> None:
    page = await registry.client.get(address)
    assert page.status_code == 404
    (link,) = re.findall(r'href="(/sign-in[^"]*)"', page.text)
    assert parse_qs(urlsplit(unescape(link)).query) == {"next": [address]}
