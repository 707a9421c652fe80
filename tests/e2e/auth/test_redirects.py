"""Credentials go to the registry's own origin and nowhere else, wherever a registry or a proxy points to.

Every call of a publish with every credential is redirected to every kind of place, on virtual time; the calls that real
processes make over real sockets follow.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from roar_publisher.auth.choice import Flag
from roar_publisher.glaas.protocol import ANONYMOUS_IDENTITY
from roar_publisher.state.errors import Conclusion, Transient
from roar_publisher.state.machine import LIVE, State
from roar_publisher.state.record import Progress
from tests.support.auth.desk import Desk, alices_desk
from tests.support.auth.front import Answer, Front, Seen, front
from tests.support.auth.worlds import BY_BEARER, BY_KEY, FEATURES, World
from tests.support.faults.simulation import run_virtually
from tests.support.lineages import chain, cut
from tests.support.registry.features import BULK
from tests.support.sampling import pairs, sample

STATUSES = (301, 302, 303, 307, 308)
LINKS = "links/batch" if FEATURES is BULK else "inputs"
LINEAGE = cut(chain(3), batch=lambda: 2)
OWN_ORIGIN = "https://registry.example"
PLACES = {
    "another host": "https://elsewhere.example{path}",
    "another port": f"{OWN_ORIGIN}:8443{{path}}",
    "unencrypted": "http://registry.example{path}",
    "a host whose name begins alike": f"{OWN_ORIGIN}.elsewhere.example{{path}}",
    "no scheme": "//elsewhere.example{path}",
    "another path of its own": f"{OWN_ORIGIN}/v2{{path}}",
    "a path alone": "/v2{path}",
    "itself": f"{OWN_ORIGIN}{{path}}",
}
"""Where a call to `path` is redirected to."""


class Redirecting(World):
    """A world that redirects the calls whose path ends in `call` to `place`.

    asked: origin and path of every request, also of those to somewhere else.
    """

    call: str | None = None
    place = ""
    status = 0

    def __init__(self, root: Path, flag: Flag) -> None:
        super().__init__(root, LINEAGE, flag, registry=OWN_ORIGIN)
        self.asked: list[tuple[str, str]] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Deliver a request to this registry, or point it elsewhere."""
        path = request.url.raw_path.decode()
        self.asked.append((str(request.url.copy_with(raw_path=b"/")).rstrip("/"), path))
        if self.call is not None and self.call == last_part(path):
            return httpx2.Response(self.status, headers={"Location": self.place.format(path=path)})
        return await super().handle_async_request(request)


def last_part(path: str) -> str:
    """What distinguishes a call from the others: `jobs/batch`, `inputs`, `auth/me`, …"""
    parts = path.partition("?")[0].split("/")
    return "/".join(parts[-2:] if parts[-1] in ("batch", "me", "refresh", "composites") else parts[-1:])


def with_lapsed_token(world: World) -> None:
    """A sign-in that must be refreshed before its first use."""
    world.sign_in()
    world.let_time_pass(3601)


CREDENTIALS: dict[str, tuple[Callable[[World], None], Flag, str]] = {
    "bearer": (World.sign_in, Flag.PRIVATE, BY_BEARER),
    "bearer to be refreshed": (with_lapsed_token, Flag.PUBLIC, BY_BEARER),
    "token of the environment": (World.export_token, Flag.PRIVATE, BY_BEARER),
    "key": (World.make_key, Flag.PRIVATE, BY_KEY),
    "key, public": (World.make_key, Flag.PUBLIC, BY_KEY),
    "session token": (lambda world: None, Flag.ANONYMOUS, ANONYMOUS_IDENTITY),
}


@pytest.mark.parametrize("credential", CREDENTIALS)
def test_wherever_a_call_is_redirected_nothing_is_sent_there_and_the_publish_continues_later(
    credential: str, memory: Path
) -> None:
    begin, flag, identity = CREDENTIALS[credential]
    calls: list[str] = []

    async def undisturbed() -> None:
        world = Redirecting(memory / "undisturbed", flag)
        begin(world)
        assert isinstance(await world.live(), Progress)
        calls.extend(dict.fromkeys(last_part(path) for _, path in world.asked))

    async def redirected(root: Path, call: str, place: str, status: int) -> None:
        world = Redirecting(root, flag)
        begin(world)
        world.call, world.place, world.status = call, place, status
        end = await world.live()
        if call == "receipt":  # the lineage is published by then; the receipt is owed
            assert isinstance(end, Progress), end
            assert "which is not followed" in end.detail
        else:
            assert isinstance(end, Transient), end
            assert (end.conclusion, end.reason) == (Conclusion.INTERRUPTED, "not glaas")
            assert "which is not followed" in end.what
            assert end.next_step
            assert world.progress().state in LIVE
        world.call = None
        end = await world.live()
        assert isinstance(end, Progress), end
        assert (end.state, end.identity) == (State.DONE, identity)
        assert {origin for origin, _ in world.asked} == {OWN_ORIGIN}
        assert all(path.startswith("/api/v1/") for _, path in world.asked)
        world.check_published(identity)

    run_virtually(undisturbed, 0)
    assert {"health", "registration-sessions", "jobs/batch", LINKS, "finalize", "labels/batch"} <= set(calls)
    for number, (call, place) in enumerate(pairs(f"redirects {credential}", calls, list(PLACES.values()))):
        status = STATUSES[number % len(STATUSES)]
        root = memory / str(number)
        try:
            run_virtually(lambda r=root, c=call, p=place, s=status: redirected(r, c, p, s), 0)  # type: ignore[misc]
        except BaseException as error:
            error.add_note(f"{call} was redirected to {place} with {status}")
            raise


# ---------------------------------------------------------------- real processes

CALLS = {
    "bearer": ["/registration-sessions", "/jobs/batch"],
    "lapsed token": ["/auth/refresh"],
    "environment": ["/auth/me", "/links/batch"],
    "key": ["/auth/me", "/links/batch", "/finalize"],
    "nothing": ["/health", "/registration-sessions", "/artifacts/batch", "/finalize", "/labels/batch"],
}
"""The calls of a publish with each credential that are answered with a redirect, by the ends of their paths."""


REDIRECTED = sample(
    "redirects of real processes",
    [
        (credential, call, STATUSES[number % len(STATUSES)])
        for credential, calls in CALLS.items()
        for number, call in enumerate(calls)
    ],
    6,
    lambda case: case[0],
)


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
        case "lapsed token":
            desk.sign_in()
            document = json.loads(desk.auth_json.read_text()) | {"expires_at": "2001-01-01T00:00:00Z"}
            desk.auth_json.write_text(json.dumps(document))
        case "key":
            desk.make_key()
        case "environment":
            desk = desk.with_environment(ROAR_ACCESS_TOKEN=desk.token())
    return desk.with_environment(GLAAS_URL=fore.url)


def answering(ending: str, answer: Answer) -> Callable[[Seen], Answer | None]:
    return lambda seen: answer if seen.path.endswith(ending) else None


@pytest.mark.parametrize(("credential", "call", "status"), REDIRECTED)
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
            begun = call != "/auth/me"  # whom the credential names belongs to the plan
            done.blames(3 if begun else 1, f"redirects to {host}, which is not followed", "check the address")
        assert elsewhere.seen == []
        fore.rule = lambda seen: None
        assert seat.publish("--public")["url"]


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
