"""`scripts/audit.py`: a known vulnerability fails the check; a service that cannot be asked is only reported."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.support.checkout import CHECKOUT

SCRIPT = CHECKOUT / "scripts" / "audit.py"
FLAW = {
    "id": "PYSEC-2024-1",
    "aliases": ["CVE-2024-0001"],
    "summary": "writes where it should not",
    "affected": [
        {
            "package": {"name": "flawed", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
        }
    ],
}
Reply = Callable[[str], tuple[int, bytes]]


@contextmanager
def _service(reply: Reply) -> Iterator[str]:
    """OSV's query endpoint on loopback.  reply: status and body for the name of a package."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = reply(query["package"]["name"])
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Two installed packages: `flawed` and `sound`."""
    for name in ("flawed", "sound"):
        about = tmp_path / f"{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    return tmp_path


def _audit(url: str, packages: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--service", url, "--path", str(packages)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_known_vulnerability_fails_the_check(packages: Path) -> None:
    def reply(name: str) -> tuple[int, bytes]:
        return 200, json.dumps({"vulns": [FLAW]} if name == "flawed" else {}).encode()

    with _service(reply) as url:
        done = _audit(url, packages)
    assert done.returncode == 1
    assert done.stderr == "flawed 1.0: PYSEC-2024-1, CVE-2024-0001 (fixed in 1.1)\n"


def test_a_set_without_known_vulnerabilities_passes_in_silence(packages: Path) -> None:
    with _service(lambda name: (200, b"{}")) as url:
        done = _audit(url, packages)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("status", "body"), [(503, b"busy"), (403, b"blocked"), (200, b"<html>sign in</html>")])
def test_a_service_that_gives_no_answer_passes_with_a_warning(packages: Path, status: int, body: bytes) -> None:
    with _service(lambda name: (status, body)) as url:
        done = _audit(url, packages)
    assert done.returncode == 0
    assert "NOT AUDITED" in done.stderr


def test_an_unreachable_service_passes_with_a_warning(packages: Path) -> None:
    with _service(lambda name: (200, b"{}")) as url:
        pass  # nothing listens there any more
    done = _audit(url, packages)
    assert done.returncode == 0
    assert "NOT AUDITED" in done.stderr


def test_a_service_that_fails_half_way_does_not_pass_in_silence(packages: Path) -> None:
    with _service(lambda name: (200, b"{}") if name == "flawed" else (500, b"")) as url:
        done = _audit(url, packages)
    assert done.returncode == 0
    assert "NOT AUDITED" in done.stderr


def test_an_audit_that_fails_by_itself_fails_the_check(packages: Path) -> None:
    with _service(lambda name: (200, b'{"vulns": 5}')) as url:
        done = _audit(url, packages)
    assert done.returncode == 2
    assert "failed" in done.stderr
