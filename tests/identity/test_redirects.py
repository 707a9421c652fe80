"""Credentials go to the registry's own origin and nowhere else, wherever a registry or a proxy points to."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.identity.desk import Desk, alices_desk
from tests.identity.front import Answer, Front, Seen, front

CALLS = {
    "bearer": ["/health", "/registration-sessions", "/jobs/batch", "/artifacts/batch", "/finalize", "/labels/batch"],
    "due bearer": ["/auth/refresh"],
    "environment": ["/auth/me", "/outputs"],
    "key": ["/auth/me", "/registration-sessions", "/inputs", "/finalize"],
    "nothing": ["/registration-sessions", "/jobs/batch", "/finalize", "/labels/batch"],
}
"""The calls of a publish with each credential that are answered with a redirect, by the ends of their paths."""
STATUSES = (301, 302, 303, 307, 308)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with alices_desk(tmp_path) as desk:
        yield desk


@pytest.fixture
def elsewhere() -> Iterator[Front]:
    """Another server, which would take anything."""
    with front() as elsewhere:
        elsewhere.rule = lambda seen: Answer(200)
        yield elsewhere


def seated(desk: Desk, fore: Front, credential: str) -> Desk:
    """Alice with a credential, whose registry is behind `fore`."""
    match credential:
        case "bearer":
            desk.sign_in()
        case "due bearer":
            desk.sign_in(seconds=240)
        case "key":
            desk.make_key()
        case "environment":
            desk = desk.with_environment(ROAR_ACCESS_TOKEN=desk.token())
    return desk.with_environment(GLAAS_URL=fore.url)


def answering(ending: str, answer: Answer) -> Callable[[Seen], Answer | None]:
    return lambda seen: answer if seen.path.endswith(ending) else None


@pytest.mark.parametrize(
    ("credential", "call", "status"),
    [
        (credential, call, STATUSES[number % len(STATUSES)])
        for credential, calls in CALLS.items()
        for number, call in enumerate(calls)
    ],
)
def test_nothing_follows_a_redirect(desk: Desk, elsewhere: Front, credential: str, call: str, status: int) -> None:
    with front(desk.url) as fore:
        seat = seated(desk, fore, credential)
        # Another port of the same host, and another name of it too.
        for host in ("127.0.0.1", "localhost"):
            target = f"http://{host}:{elsewhere.port}/api/v1{call}"
            headers = {"Location": target, "Refresh": f"0; url={target}", "Alt-Svc": f'h2=":{elsewhere.port}"'}
            fore.rule = answering(call, Answer(status, headers=headers))
            asked = len(fore.seen)
            done = seat.roar("publish", "--public", "-y")
            assert any(seen.path.endswith(call) for seen in fore.seen[asked:])
            assert "Traceback" not in done.err
        assert elsewhere.seen == []


def test_a_challenge_that_names_another_server_is_not_followed(desk: Desk, elsewhere: Front) -> None:
    with front(desk.url) as fore:
        seat = seated(desk, fore, "bearer")
        challenge = f'Bearer realm="{elsewhere.url}/token", authorization_uri="{elsewhere.url}/token"'
        fore.rule = answering("/jobs/batch", Answer(401, headers={"WWW-Authenticate": challenge}))
        assert seat.roar("publish", "--private", "-y").code == 4
    assert elsewhere.seen == []


def test_a_receipt_that_points_elsewhere_is_shown_but_not_visited(desk: Desk, elsewhere: Front) -> None:
    """A hostile receipt: the address in it is printed for the person, who may see where it leads."""
    receipt = f'{{"hash": "{"e" * 64}", "url": "{elsewhere.url}/dag/x", "created": true, "status": "closed"}}'
    with front(desk.url) as fore:
        seat = seated(desk, fore, "bearer")
        fore.rule = answering("/finalize", Answer(200, receipt.encode()))
        seat.roar("publish", "--private", "-y")
    assert elsewhere.seen == []


def test_a_proxy_of_the_environment_gets_nothing_that_is_for_this_machine(desk: Desk, elsewhere: Front) -> None:
    """Plain http:// is allowed to this machine because it does not leave it."""
    desk.sign_in()
    proxied = desk.with_environment(HTTP_PROXY=elsewhere.url, http_proxy=elsewhere.url, ALL_PROXY=elsewhere.url)
    proxied.publish("--private")
    assert elsewhere.seen == []


@pytest.mark.parametrize("flag", ["--registry", "GLAAS_URL"])
def test_a_credential_never_goes_unencrypted_to_another_machine(desk: Desk, flag: str) -> None:
    desk.sign_in()
    address = "http://registry.example"
    seat = desk if flag == "--registry" else desk.with_environment(GLAAS_URL=address)
    seat.roar("publish", "--private", "-y", *(["--registry", address] if flag == "--registry" else [])).blames(
        2, "unencrypted", "ROAR_ALLOW_HTTP"
    )
    assert seat.program.publishes == []
