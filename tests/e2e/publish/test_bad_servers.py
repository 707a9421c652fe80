"""Servers that are not GLaaS: one clear message, nothing lost, nothing sent to another server."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from roar_publisher.state.reasons import Reason
from tests.support.cli.program import Program, ended, read_until_it_waits
from tests.support.cli.servers import answering, http
from tests.support.lineage.captured import recorded
from tests.support.ports import reserved_port

HASH = recorded("linear", "session")["finalized_hash"]
HEALTH = {"features": {"registration_sessions": {"anonymous_public": True, "finalize_server_authoritative_hash": True}}}
NESTED = b"[" * 200_000


def _after_health(answer: bytes) -> Callable[[bytes], bytes]:
    """A server that is fine until it is asked for something that counts."""

    def respond(request: bytes) -> bytes:
        healthy = request.startswith(b"GET /api/v1/health")
        return http("200 OK", json.dumps(HEALTH).encode(), "Content-Type: application/json") if healthy else answer

    return respond


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (http("200 OK", b"<html><h1>Please sign in to the Wi-Fi</h1></html>"), 3, ["is not a GLaaS registry"]),
        (http("200 OK", b""), 3, ["is not a GLaaS registry"]),
        (http("200 OK", b'{"features": {"registration_sess'), 3, ["is not a GLaaS registry"]),
        (http("200 OK", NESTED), 3, ["is not a GLaaS registry"]),
        (http("200 OK", b"[1, 2, 3]"), 3, ["is not a GLaaS registry"]),
        (http("400 Bad Request", b"<html>\x1b[31mproxy</html>"), 3, ["is not a GLaaS registry"]),
        (http("402 Payment Required", b'{"error": {"message": "pay \\u001b[2J first"}}'), 1, ["pay", "first"]),
        (_after_health(http("200 OK", b"[1]")), 3, ["is not a GLaaS registry"]),
        (
            _after_health(http("201 Created", b'{"registration_session_id": "/"}')),
            3,
            ["is not a GLaaS registry"],
        ),
        (_after_health(http("403 Forbidden", b'{"detail": "no anonymous guests"}')), 1, ["no anonymous guests"]),
    ],
)
def test_an_unusable_answer_is_reported(
    program: Program, answer: bytes | Callable[[bytes], bytes], code: int, words: list[str]
) -> None:
    with answering(answer) as server:
        done = program("publish", "--public", "-y", "--registry", server.url)
    done.blames(code, *words)
    assert "\x1b" not in done.err
    assert program.publishes[0] in done.err


def test_a_redirect_is_not_followed(program: Program) -> None:
    with answering(http("200 OK", b"{}")) as elsewhere:
        location = f"Location: {elsewhere.url}/api/v1/health"
        with answering(http("307 Temporary Redirect", b"", location)) as server:
            done = program("publish", "--public", "-y", "--registry", server.url)
        asked = {request.partition(b" HTTP")[0] for request in server.requests}
        assert asked == {b"GET /api/v1/health"}, "it may be asked again, if its reply is not fresh any more"
        assert elsewhere.requests == []
    done.blames(3, "redirects to 127.0.0.1", "not followed")


def test_a_publish_interrupted_by_a_bad_server_resumes_with_a_good_one(program: Program, tmp_path: Path) -> None:
    with answering(http("200 OK", b"<html>")) as server:
        program("publish", "--public", "-y", "--registry", server.url).blames(3, "--resume")
    with program.started("registry", "serve", "--port", str(server.port), "--data", str(tmp_path / "data")) as good:
        assert good.stdout is not None
        assert good.stdout.readline().strip() == server.url
        done = program("publish", "--resume", "-y", "-q")
        good.terminate()
        assert ended(good).code == 0
    assert (done.code, done.out.splitlines()[0]) == (0, HASH)


def test_waiting_for_an_unreachable_registry_is_shown(program: Program) -> None:
    unreachable = f"http://127.0.0.1:{reserved_port()}"
    with program.started("publish", "--public", "-y", "--json", "--registry", unreachable) as p:
        read_until_it_waits(p, Reason.OFFLINE)
        p.terminate()
        assert ended(p).code == 130
