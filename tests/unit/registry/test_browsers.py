"""Web pages in a browser on the registry's machine: they write nothing, and read nothing.

The headers are those that Chromium 156 sent to a registry on loopback for a page at http://evil.test:18701.
"""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from roar_publisher.glaas.signature import signature_host
from roar_publisher.net.address import origin_of as of_a_client
from roar_publisher.net.address import registry_address
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.names import Names, origin_of
from tests.support.registry.harness import GIT, NO_AUTH, Json, Registry, job, make_registry, refused, succeeded
from tests.support.registry.people import Bearer
from tests.support.registry.processes import PATIENCE, served

pytestmark = pytest.mark.anyio

HASH = "e" * 64
BODY: Json = {"hash": HASH, **GIT}
EVIL = {"Origin": "http://evil.test:18701"}
CROSS = {"Sec-Fetch-Site": "cross-site"}
WRITES = {
    "fetch without CORS": {"Content-Type": "text/plain", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"},
    "fetch": {"Content-Type": "text/plain", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    "beacon": {"Content-Type": "text/plain;charset=UTF-8", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"},
    "form into a frame": {"Content-Type": "text/plain", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    "form": {"Content-Type": "text/plain", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    "form fields": {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Mode": "navigate"},
    "form parts": {"Content-Type": "multipart/form-data; boundary=x", "Sec-Fetch-Mode": "navigate"},
    "after a preflight": {"Content-Type": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
}
READS = {
    "fetch": {**EVIL, **CROSS, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    "image": {**CROSS, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
    "script": {**CROSS, "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    "frame": {**CROSS, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    "another port of this machine": {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
    "an older browser": EVIL,
    "no origin to name": {"Origin": "null"},
}


@pytest.fixture
async def registry(anyio_backend: str, store: Store) -> AsyncIterator[Registry]:
    registry = make_registry(store, names=Names("127.0.0.1", 8123, ("https://registry.example.org",), "buildbox"))
    registry.client.base_url = httpx2.URL("http://127.0.0.1:8123")
    async with registry.client:
        yield registry


async def written(registry: Registry, headers: dict[str, str]) -> httpx2.Response:
    """A page tries the write that needs no credential and is visible at once."""
    return await registry.client.post("/api/v1/sessions", json=BODY, headers=headers)


@pytest.mark.parametrize("name", list(WRITES))
@pytest.mark.parametrize("origin", ["http://evil.test:18701", "null", "http://127.0.0.1:3000", "http://localhost:8123"])
async def test_a_page_of_another_site_writes_nothing(registry: Registry, name: str, origin: str) -> None:
    attempts = [
        {**WRITES[name], **CROSS, "Origin": origin},
        {**WRITES[name], "Sec-Fetch-Site": "same-site", "Origin": origin},
        {"Content-Type": WRITES[name]["Content-Type"], "Origin": origin},  # where the browser sends no Sec-Fetch-*
        {**WRITES[name], **CROSS},
    ]
    for headers in attempts:
        refused(await written(registry, headers), 403)
    assert not await registry.is_published(HASH)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json", ""])
async def test_a_body_that_is_not_declared_to_be_json_is_415(registry: Registry, kind: str) -> None:
    """So a browser that says nothing of the page cannot write either."""
    refused(await written(registry, {"Content-Type": kind}), 415)
    session = await registry.open()
    headers = {"Content-Type": kind, "Authorization": session.token}
    for path in ("/jobs/batch", "/finalize"):
        refused(await registry.client.post(session.root + path, json={"jobs": [job(1)]}, headers=headers), 415)
    succeeded(await written(registry, {"Content-Type": "application/json; charset=utf-8"}))


async def test_a_preflight_is_answered_with_no_permission(registry: Registry) -> None:
    asked = {**EVIL, **CROSS, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = await registry.client.request("OPTIONS", "/api/v1/sessions", headers=asked)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("name", list(READS))
async def test_a_page_of_another_site_reads_and_embeds_nothing(registry: Registry, name: str) -> None:
    for path in ("/", "/api/v1/health", f"/dag/{HASH}"):
        answer = await registry.client.get(path, headers=READS[name])
        refused(answer, 403)
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    "host",
    [
        "evil.test:8123",
        "evil.test",
        "127.0.0.1.evil.test:8123",
        "localhost.evil.test",
        "evil.localhost:8123",
        "2130706433",
    ],
)
async def test_a_page_whose_name_was_pointed_here_reads_and_writes_nothing(registry: Registry, host: str) -> None:
    """DNS rebinding: for the browser both are one site."""
    rebound = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    for headers in (rebound, {"Host": host}):
        refused(await registry.client.get("/", headers=headers), 421)
        assert "--public-url" in refused(await written(registry, headers), 421)
    assert not await registry.is_published(HASH)


@pytest.mark.parametrize(
    "host", ["", "evil.test, localhost", "localhost@evil.test", "localhost/x", "[::1", "localhost:x"]
)
async def test_an_invalid_host_is_not_accepted(registry: Registry, host: str) -> None:
    refused(await registry.client.get("/", headers={"Host": host}), 421)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_may_name_any_host_or_none(tmp_path: Path, path: str) -> None:
    """HAProxy's own check is a request of HTTP/1.0 without Host."""
    with served(tmp_path / "data") as url:
        named = httpx2.get(f"{url}{path}", headers={"Host": "registry.internal:8123"}, timeout=PATIENCE)
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=PATIENCE) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            nameless = connection.makefile("rb").readline()
        by_page = httpx2.get(f"{url}{path}", headers={**EVIL, **CROSS}, timeout=PATIENCE)
    assert (named.status_code, nameless.split()[1], by_page.status_code) == (200, b"200", 403)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8123",
        "localhost:8123",
        "LOCALHOST:8123",
        "localhost.:8123",
        "localhost:9000",
        "[::1]:8123",
        "192.168.1.5:8123",
        "buildbox:8123",
        "registry.example.org",
        "Registry.Example.org:443",
    ],
)
async def test_addresses_localhost_and_the_names_that_were_given_are_answered(registry: Registry, host: str) -> None:
    succeeded(await registry.client.get("/api/v1/health", headers={"Host": host}))
    own_page = {"Host": host, "Origin": f"http://{host.lower()}", "Sec-Fetch-Site": "same-origin"}
    succeeded(await written(registry, own_page))


async def test_addresses_in_receipts_are_those_of_the_public_name(registry: Registry) -> None:
    """A proxy that ends TLS forwards the name; it need not say that clients reach it by https."""
    receipt = succeeded(await written(registry, {"Host": "registry.example.org"}))
    assert receipt["url"] == f"https://registry.example.org/dag/{HASH}"
    assert succeeded(await written(registry, {}))["url"] == f"http://127.0.0.1:8123/dag/{HASH}"


async def test_a_person_may_follow_a_link_from_anywhere_and_type_an_address(registry: Registry) -> None:
    followed = {**CROSS, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-User": "?1"}
    for headers in (followed, {**followed, "Sec-Fetch-Site": "none"}, {}):
        page = await registry.client.get("/", headers=headers)
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        expected = {
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "cross-origin-opener-policy": "same-origin",
        }
        assert expected.items() <= dict(page.headers).items()


@pytest.mark.parametrize("path", ["/", f"/dag/{HASH}", f"/api/v1/sessions/{HASH}", "/api/v1/sessions", "/nothing"])
async def test_no_reply_is_kept_on_its_way(registry: Registry, path: str) -> None:
    """A proxy that caches replies would show a private lineage to the next client."""
    alice = Bearer(registry.person("alice"))
    for auth in (alice, NO_AUTH):
        reply = await registry.client.get(path, auth=auth)
        assert reply.headers.get_list("cache-control") == ["no-store"]


def test_a_registry_that_serves_on_loopback_knows_its_names(tmp_path: Path) -> None:
    with served(tmp_path / "data") as url:
        rebound = httpx2.get(f"{url}/", headers={"Host": "evil.test"}, timeout=PATIENCE)
        by_page = httpx2.post(f"{url}/api/v1/sessions", json=BODY, headers={**EVIL, **CROSS}, timeout=PATIENCE)
        by_name = httpx2.get(url.replace("127.0.0.1", "localhost") + "/api/v1/health", timeout=PATIENCE)
        assert (rebound.status_code, by_page.status_code, by_name.status_code) == (421, 403, 200)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Registry.Example.org/", "https://registry.example.org"),
        ("http://buildbox:8123", "http://buildbox:8123"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://registry.example:443/", "https://registry.example"),
        ("https://registry.example:80", "https://registry.example:80"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://\uff21\uff30\uff29.example", "https://api.example"),
        ("https://[2001:DB8:0:0::1]:8443", "https://[2001:db8::1]:8443"),
    ],
)
def test_a_public_url_is_the_origin_that_clients_use(url: str, origin: str) -> None:
    assert origin_of(url) == origin == of_a_client(url)
    host = signature_host(registry_address(url, {"ROAR_ALLOW_HTTP": "1"}))
    names = Names("127.0.0.1", 8123, (origin_of(url),))
    assert names.is_signature_host(host, "127.0.0.1")
    assert names.is_accepted_host(host)
    assert names.scheme_of(host) == url.partition(":")[0]


@pytest.mark.parametrize(
    "url",
    ["registry.example.org", "ftp://x", "https://", "https://x/below", "https://u:p@x", "https://x?q", "http://x:y"],
)
def test_a_public_url_must_be_an_origin(url: str) -> None:
    with pytest.raises(ValueError, match=r"it |Port"):
        origin_of(url)
