"""A registry behind a real nginx that speaks TLS, as docs/registry.md sets it up."""

import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from roar_publisher.glaas.envelope import ReceiptEnvelope
from roar_publisher.lineage.statement import read_statement
from roar_publisher.net.address import origin
from tests.support.cli.program import PATIENCE, serving
from tests.support.interop.clients import TIMEOUT_SECONDS, Workplace
from tests.support.net.servers import authority
from tests.support.ports import reserved_port

CONFIGURATION = """
error_log stderr crit;
pid {folder}/pid;
master_process off;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        client_max_body_size 4m;
        location {location} {{
            proxy_pass {registry};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Request-Id $request_id;
            proxy_read_timeout 3600s;
        }}
    }}
}}
"""
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@contextlib.contextmanager
def nginx(folder: Path, port: int, registry: str, location: str = "/") -> Iterator[None]:
    """nginx before the registry, for the duration of the block. It listens when its first process has ended.

    location: what of its paths goes to the registry. If `registry` ends with a slash, that is in its place.
    """
    assert NGINX is not None
    folder.mkdir()
    file = folder / "nginx.conf"
    file.write_text(
        CONFIGURATION.format(
            folder=folder, port=port, registry=registry, location=location, certificate=authority().server
        )
    )
    command = [NGINX, "-e", "stderr", "-p", str(folder), "-c", str(file)]
    subprocess.run(command, check=True, timeout=TIMEOUT_SECONDS, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        os.kill(int((folder / "pid").read_text()), signal.SIGTERM)


def test_both_clients_publish_through_it_signed_and_read_what_they_get(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority().file))
    port = reserved_port()
    url, data = f"https://127.0.0.1:{port}", tmp_path / "data"
    ours, theirs = Workplace(tmp_path / "ours", "linear"), Workplace(tmp_path / "theirs", "linear")
    for name, workplace in (("alice", ours), ("bob", theirs)):
        workplace.make_ssh_key()
        key = next(tmp_path.glob(f"{'ours' if workplace is ours else 'theirs'}/.ssh/*.pub"))
        for command in (("user", "add", name), ("key", "add", name, str(key))):
            workplace.ours(url, "registry", *command, "--data", str(data))
    options = ("--data", str(data), "--public-url", url, "--forwarded-allow-ips", "127.0.0.1")
    with serving("registry", "serve", *options) as line, nginx(tmp_path / "nginx", port, line.split()[-1]):
        published = json.loads(ours.ours(url, "publish", "--public", "-y", "--json").splitlines()[-1])
        assert published["url"] == f"{url}/dag/{published['hash']}"
        assert published["identity"] != "anonymous"
        check_receipt_names(published["receipt"], url)
        theirs.publish_by_roar_cli(url, [])
        with httpx2.Client(
            base_url=url, verify=ssl.create_default_context(cafile=str(authority().file)), timeout=PATIENCE
        ) as reader:
            page = reader.get(published["url"])
            assert (page.status_code, len(page.headers["x-request-id"])) == (200, 32)
            listed = set(re.findall(r'href="/dag/([0-9a-f]{64})', reader.get("/").text))
            assert reader.get("/readyz").json() == {"status": "ready"}
        assert published["hash"] in listed
        assert len(listed) == 2, "one of each client"


def check_receipt_names(file: str, registry: str) -> None:
    """The registry knows its own origin behind the proxy, and both it and the publisher signed."""
    envelope = ReceiptEnvelope.of_bytes(Path(file).read_bytes())
    assert read_statement(envelope.payload).facts.registry == origin(registry)
    assert len(envelope.signatures) == 2


def test_below_a_path_that_nginx_keeps_or_removes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our client, which signs, goes through the one that keeps it, roar-cli through the other one."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority().file))
    keeps, removes = reserved_port(), reserved_port()
    data = tmp_path / "data"
    ours, theirs = Workplace(tmp_path / "ours", "linear"), Workplace(tmp_path / "theirs", "linear")
    keeping, removing = f"https://127.0.0.1:{keeps}/glaas", f"https://127.0.0.1:{removes}/glaas"
    for name, workplace in (("ours", ours), ("theirs", theirs)):
        workplace.make_ssh_key()
        key = str(tmp_path / name / ".ssh" / "id_ed25519.pub")
        for command in (("user", "add", name), ("key", "add", name, key)):
            workplace.ours(keeping, "registry", *command, "--data", str(data))
    public = [f"--public-url=https://127.0.0.1:{port}" for port in (keeps, removes)]
    options = ("--data", str(data), *public, "--forwarded-allow-ips", "127.0.0.1", "--base-path", "/glaas/")
    with serving("registry", "serve", *options) as line:
        url = line.split()[-1]
        assert url.endswith("/glaas")
        with (
            nginx(tmp_path / "keeps", keeps, url.removesuffix("/glaas"), "/glaas/"),
            nginx(tmp_path / "removes", removes, url.removesuffix("glaas"), "/glaas/"),
        ):
            published = json.loads(ours.ours(keeping, "publish", "--public", "-y", "--json").splitlines()[-1])
            assert published["url"] == f"{keeping}/dag/{published['hash']}"
            assert published["identity"] != "anonymous"
            check_receipt_names(published["receipt"], keeping)
            theirs.publish_by_roar_cli(removing, [])
            assert "Proven" in ours.ours(removing, "verify", published["hash"])
            context = ssl.create_default_context(cafile=str(authority().file))
            with httpx2.Client(verify=context, timeout=PATIENCE) as reader:
                for at in (keeping, removing):
                    front = reader.get(f"{at}/").text
                    listed = re.findall(r'href="/glaas/dag/([0-9a-f]{64})', front)
                    owners = set(re.findall(r'href="/glaas/owner\?name=(\w+)', front))
                    assert (len(set(listed)), len(owners)) == (2, 2), "each client's signatures were accepted"
                    assert reader.get(f"{at}/dag/{listed[0]}").status_code == 200
                    asked = reader.post(f"{at}/api/v1/auth/device/start", json={})
                    assert asked.json()["verification_uri"] == f"{at}/device"
