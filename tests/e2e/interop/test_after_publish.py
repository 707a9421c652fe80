"""After our publish, roar-cli goes on as if it had published itself (protocol.md §7)."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.interop.clients import Workplace
from tests.support.lineage.captured import NAMES

WHOLE_SESSION: list[str] = []


@pytest.mark.parametrize("name", NAMES)
def test_roar_db_reports_the_same_as_after_its_own_register(
    name: str, tmp_path: Path, registry: str, other_registry: str
) -> None:
    theirs, ours = Workplace(tmp_path / "theirs", name), Workplace(tmp_path / "ours", name)
    theirs.publish_by_roar_cli(other_registry, WHOLE_SESSION)

    ours.publish_by_ours(registry, WHOLE_SESSION)

    assert _synced(ours.roar_cli(registry, "db")) == _synced(theirs.roar_cli(other_registry, "db"))


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="roar-cli signs with ssh-keygen")
@pytest.mark.parametrize("name", NAMES)
def test_label_sync_finds_the_published_jobs_as_after_its_own_register(
    name: str, tmp_path: Path, registry: str, other_registry: str
) -> None:
    theirs, ours = Workplace(tmp_path / "theirs", name), Workplace(tmp_path / "ours", name)
    theirs.publish_by_roar_cli(other_registry, WHOLE_SESSION)

    event = ours.publish_by_ours(registry, WHOLE_SESSION)

    request = _label_sync(ours)
    assert request["session_hash"] == event["hash"]
    assert any(label["metadata"].get("stage") == "reviewed" for label in request["labels"])
    assert request == _label_sync(theirs)


def _synced(report: str) -> str:
    """The section of `roar db` about what is published."""
    section = report.partition("Synced to GLaaS:")[2].partition("\n\n")[0]
    assert "Sessions:" in section
    return section


def _label_sync(workplace: Workplace) -> dict[str, Any]:
    """What `roar label sync` sends after the label of a job was changed."""
    with _recording_server() as (address, requests):
        workplace.roar_cli(address, "label", "set", "job", "@2", "stage=reviewed")
        # roar-cli asks for a credential before it looks for the published jobs; the recording server takes any.
        workplace.make_ssh_key()
        workplace.roar_cli(address, "label", "sync", "-y")
    (request,) = requests
    return request


@contextmanager
def _recording_server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that takes every POST; gives its address and the bodies."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'{"results": []}')

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: the default writes to stderr."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bodies
        finally:
            server.shutdown()
            thread.join()
