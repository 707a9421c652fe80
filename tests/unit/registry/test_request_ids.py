"""The id of each request, and what the log says of it."""

import json
import logging
import re
import warnings
from collections.abc import Iterator

import httpx2
import pytest

from roar_publisher.registry.data import Store
from roar_publisher.registry.server.logs import JsonLines, written_logs
from tests.support.registry.harness import Registry, make_registry

pytestmark = pytest.mark.anyio
NEW_ID = re.compile(r"[0-9a-f]{16}")


class Lines(logging.Handler):
    """Keeps what the registry logs, as it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("roar_publisher")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


async def test_each_reply_has_an_id_of_its_own(registry: Registry) -> None:
    ids = {(await registry.client.get("/api/v1/health")).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(map(NEW_ID.fullmatch, ids))


@pytest.mark.parametrize("sent", ["a", "Z" * 64, "0af7651916cd43dd-8448.eb_211"])
async def test_a_harmless_id_is_taken_over(registry: Registry, sent: str) -> None:
    reply = await registry.client.get("/nowhere", headers={"X-Request-Id": sent})
    assert (reply.status_code, reply.headers["x-request-id"]) == (404, sent)


@pytest.mark.parametrize("sent", ["", "Z" * 65, "a b", 'a"', "a\u00e9", "a;b=c"])
async def test_any_other_id_is_replaced(registry: Registry, sent: str) -> None:
    reply = await registry.client.get("/api/v1/health", headers=[(b"X-Request-Id", sent.encode("latin-1"))])
    assert NEW_ID.fullmatch(reply.headers["x-request-id"])


async def test_a_failure_has_the_id_of_its_log_line(store: Store, log: Lines) -> None:
    def broken() -> float:
        if armed:
            raise RuntimeError("the clock has stopped")
        return 0.0

    armed = False
    registry = make_registry(store, clock=broken)
    transport = httpx2.ASGITransport(registry.app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://registry") as client:
        armed = True
        reply = await client.post("/api/v1/registration-sessions", json={"mode": "anonymous_public"})
    assert reply.status_code == 500
    lines = [json.loads(line) for line in log.lines]
    assert {line["request_id"] for line in lines} == {reply.headers["x-request-id"]}
    assert [line["message"] for line in lines if line["level"] == "error"] == [
        "internal error at '/api/v1/registration-sessions'"
    ]
    assert [line["status"] for line in lines if line["message"] == "request"] == [500]


async def test_a_line_names_the_request_but_no_credential(registry: Registry, log: Lines) -> None:
    secrets = ("bearer-secret", "cookie-secret", "query-secret", "body-secret")
    reply = await registry.client.post(
        "/api/v1/labels/sync?token=query-secret",
        json={"labels": ["body-secret"]},
        headers={"Authorization": "Bearer bearer-secret", "Cookie": "roar=cookie-secret"},
    )
    (line,) = log.lines
    assert not [secret for secret in secrets if secret in line]
    document = json.loads(line)
    assert document.pop("milliseconds") >= 0
    assert document.pop("time")
    assert document == {
        "level": "info",
        "logger": "roar_publisher.registry.access",
        "message": "request",
        "request_id": reply.headers["x-request-id"],
        "method": "POST",
        "path": "/api/v1/labels/sync",
        "route": "/api/v1/labels/sync",
        "status": reply.status_code,
        "client": "127.0.0.1",
    }


async def test_a_path_cannot_forge_or_flood_the_log(registry: Registry, log: Lines) -> None:
    await registry.client.get("/a%0a%7b%22level%22%3a1%7d" + "x" * 5000)
    (line,) = log.lines
    assert "\n" not in line
    document = json.loads(line)
    assert (document["route"], document["status"], len(document["path"])) == ("none", 404, 500)


async def test_the_template_of_the_path_is_logged(registry: Registry, log: Lines) -> None:
    await registry.client.get(f"/api/v1/sessions/{'a' * 64}")
    assert json.loads(log.lines[0])["route"] == "/api/v1/sessions/{hash}"


def test_the_log_goes_to_stderr_for_the_block_alone(capsys: pytest.CaptureFixture[str]) -> None:
    access, other = logging.getLogger("roar_publisher.registry.access"), logging.getLogger("roar_publisher.registry")
    for each_request in (True, False):
        with written_logs(each_request=each_request):
            access.info("request", extra={"fields": {"status": 200}})
            other.error("it broke")
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert [line["message"] for line in lines] == ["request"] * each_request + ["it broke"]
    assert access.level == logging.NOTSET
    assert not any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger().handlers)


def test_what_libraries_log_and_warn_of_is_json_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    with written_logs(each_request=False), warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.getLogger("psycopg").warning("error ignored terminating %s", "a pipeline")
        logging.getLogger("psycopg").info("a detail")
        warnings.warn("a leak", ResourceWarning, stacklevel=1)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["logger"] for line in lines] == ["psycopg", "py.warnings"]
    assert "a leak" in lines[1]["message"]
