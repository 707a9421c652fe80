"""A registry below a path of its host, behind a proxy that removes the path, and behind one that does not."""

import re
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from html import unescape
from http.cookies import SimpleCookie
from urllib.parse import urljoin, urlsplit

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from roar_publisher.registry.api.app import create_app
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.base_path import OWN_NAMES, base_path_of
from roar_publisher.registry.http.lifecycle import Lifecycle
from roar_publisher.registry.http.names import Names
from tests.support.registry.browser import ORIGIN, Browser, code_for
from tests.support.registry.harness import PROTOCOL_RELEASE, Clock, Registry, job, link, succeeded
from tests.support.registry.indexing import index_all
from tests.support.registry.people import Bearer, Ssh
from tests.support.registry.planted import Planted, plant
from tests.support.registry.treqs import OWN

pytestmark = pytest.mark.anyio

BASE = "/glaas"
PATHS = re.compile(r'(href|action)="([^"]*)"')
UNKNOWN = re.compile("/dag/(unknown|9{64})$")
OF_A_KIND = 12
MANY = [
    *(Planted(f"python fetch.py {number}", (), (number,)) for number in range(150)),
    *(Planted(f"python clean.py {number}", (number, 900), (number + 1000,)) for number in range(60)),
    Planted("python merge.py", range(1000, 1060), (5000,)),
]


class Removing:
    """A proxy that removes the path, and serves nothing beside it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["path"].startswith(f"{BASE}/"), f"{scope['path']} is not the registry's"
        raw = scope["raw_path"].removeprefix(BASE.encode())
        await self._app({**scope, "path": scope["path"].removeprefix(BASE), "raw_path": raw}, receive, send)


class Keeping(Removing):
    """A proxy that passes the path on."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["path"].startswith(f"{BASE}/"), f"{scope['path']} is not the registry's"
        await self._app(scope, receive, send)


@pytest.fixture(params=[Removing, Keeping])
async def registry(anyio_backend: str, request: pytest.FixtureRequest) -> AsyncIterator[Registry]:
    store, clock = Store.in_memory(), Clock()
    app = create_app(store, clock=clock, base_path=BASE, names=Names("127.0.0.1", 8123, (ORIGIN,)))
    transport = httpx2.ASGITransport(request.param(app))
    headers = {"X-Roar-Version": PROTOCOL_RELEASE}
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN + BASE, headers=headers) as client:
        yield Registry(app, client, clock, store)
    store.close()


@pytest.fixture
def browser(registry: Registry) -> Browser:
    return Browser(registry.client)


async def test_no_link_and_no_form_of_any_page_leaves_it(registry: Registry, browser: Browser) -> None:
    alice = registry.person("alice")
    plant(registry.store, 1, MANY, repository="https://github.com/acme/linear.git")
    for number in range(2, 60):
        plant(registry.store, number, [Planted("python train.py", (1,), (2,))], owner=alice.user.id)
    index_all(registry.store)
    await browser.sign_in(code_for(registry))
    crawl = Crawl(browser, registry.app)
    await crawl.follow("/", "/search?q=train&kind=command", "/project?name=models", "/dag/unknown", "/device")
    await browser.get("/account")
    await browser.submit("/sign-out")
    await crawl.follow("/sign-in", f"/dag/{'9' * 64}")
    pages = {route.path for route in registry.app.routes if isinstance(route, Route) and "GET" in (route.methods or ())}
    assert crawl.opened.keys() == {path for path in pages if not path.startswith("/api/")} - {
        "/healthz",
        "/readyz",
        "/openapi.json",
    }
    assert crawl.forms == {"/search", "/sign-out", "/sign-in", "/device"}


async def test_a_base_path_may_be_the_beginning_of_a_path_of_the_registry(anyio_backend: str, store: Store) -> None:
    """A proxy that removes `/a` passes on `/api/…`, which is what clients sign."""
    app = create_app(store, base_path="/a", clock=Clock(), names=Names("127.0.0.1", 8123, (ORIGIN,)))
    registry = Registry(app, httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=ORIGIN), Clock(), store)
    async with registry.client:
        assert (await registry.client.get("/api/v1/sessions", auth=Ssh(registry.person("alice")))).status_code == 200


@dataclass
class Crawl:
    """Opens what pages link to. `opened` counts by the templates of paths, `forms` are where forms go."""

    browser: Browser
    app: Starlette
    opened: Counter[str] = field(default_factory=Counter)
    forms: set[str] = field(default_factory=set)

    async def follow(self, *paths: str) -> None:
        """Begin at these paths, and open at most `OF_A_KIND` pages of each template."""
        waiting = [BASE + path for path in paths]
        seen = set(waiting)
        for address in waiting:
            template = self._template(address)
            self.opened[template] += 1
            if self.opened[template] <= OF_A_KIND:
                found = [place for place in await self._links(address) if place not in seen]
                seen.update(found)
                waiting += found

    async def _links(self, address: str) -> list[str]:
        answer = await self.browser.get(ORIGIN + address)
        assert answer.status_code in ((404,) if UNKNOWN.search(address) else (200, 303)), address
        assert answer.headers.get("location", BASE).startswith(BASE)
        places = []
        for kind, found in PATHS.findall(answer.text):
            target = urlsplit(urljoin(ORIGIN + address, unescape(found)))
            if target.netloc == "github.com":
                continue
            assert f"{target.scheme}://{target.netloc}" == ORIGIN
            assert target.path.startswith(f"{BASE}/"), f"{found} on {address} leaves it"
            template = self._template(target.path)
            if kind == "action":
                self.forms.add(template)
            else:
                places.append(f"{target.path}?{target.query}" if target.query else target.path)
        return places

    def _template(self, address: str) -> str:
        below = urlsplit(address).path.removeprefix(BASE)
        routes = (route for route in self.app.routes if isinstance(route, Route))
        return next(route.path for route in routes if route.path_regex.fullmatch(below))


async def test_the_sign_in_leads_back_and_its_cookie_stays_below_it(registry: Registry, browser: Browser) -> None:
    alice = registry.person("alice")
    session = await registry.open(auth=Bearer(alice))
    await session.add_jobs(job(1))
    receipt = await session.finalize(scope_request=OWN)
    page = f"{BASE}/dag/{receipt['hash']}"
    assert receipt["url"] == ORIGIN + page
    (sign_in,) = re.findall(r'href="(/glaas/sign-in[^"]*)"', (await browser.get(ORIGIN + page)).text)
    await browser.get(ORIGIN + unescape(sign_in))
    answer = await browser.submit("/sign-in", code=code_for(registry))
    assert (answer.status_code, answer.headers["location"]) == (303, page)
    (morsel,) = SimpleCookie(answer.headers["set-cookie"]).values()
    assert (morsel.key, morsel["path"], morsel["secure"]) == ("__Secure-roar", BASE, True)
    assert (await browser.get(ORIGIN + page)).status_code == 200
    await browser.get("/account")
    assert (await browser.submit("/sign-out")).headers["location"] == f"{BASE}/"


async def test_a_program_is_allowed_on_the_page_that_the_reply_names(registry: Registry, browser: Browser) -> None:
    registry.person("alice")
    begun = succeeded(await registry.client.post("/api/v1/auth/device/start", json={}))
    assert begun["verification_uri"] == f"{ORIGIN}{BASE}/device"
    first = await browser.get(begun["verification_uri"])
    assert first.headers["location"] == f"{BASE}/sign-in?next=/device"
    await browser.get(ORIGIN + first.headers["location"])
    assert (await browser.submit("/sign-in", code=code_for(registry))).headers["location"] == f"{BASE}/device"
    await browser.get(begun["verification_uri"])
    await browser.submit("/device", user_code=begun["user_code"])
    await browser.submit("/device/decision", decision="allow")
    poll = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": begun["device_code"]}
    granted = succeeded(await registry.client.post("/api/v1/auth/device/token", json=poll))
    assert granted["issuer"] == ORIGIN + BASE


async def test_a_signature_covers_the_path_below_it(registry: Registry) -> None:
    alice = registry.person("alice")
    for path, status in (("/api/v1/sessions?limit=1", 200), (f"{BASE}/api/v1/sessions?limit=1", 401)):
        header = {"Authorization": alice.signed("GET", path)}
        answer = await registry.client.get("/api/v1/sessions?limit=1", headers=header)
        assert answer.status_code == status, answer.text


async def test_lists_continue_and_writes_arrive(registry: Registry) -> None:
    session = await registry.open()
    await session.add_jobs(job(1), job(2))
    await session.add_links(1, "outputs", link(1))
    receipt = await session.finalize()
    assert (await registry.lineage(receipt["hash"]))["url"] == f"{ORIGIN}{BASE}/dag/{receipt['hash']}"


async def test_the_base_path_itself_leads_to_the_front_page(registry: Registry) -> None:
    front = Browser(httpx2.AsyncClient(transport=httpx2.ASGITransport(registry.app), base_url=ORIGIN))
    answer = await front.get(BASE)
    assert (answer.status_code, answer.headers["location"]) == (307, f"{ORIGIN}{BASE}/")


async def test_probes_are_answered_while_it_drains(registry: Registry) -> None:
    lifecycle = Lifecycle()
    lifecycle.draining = True
    app = create_app(Store.in_memory(), base_path=BASE, lifecycle=lifecycle)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1") as probe:
        for path, status in (("/healthz", 200), (f"{BASE}/healthz", 200), (f"{BASE}/", 503)):
            assert (await probe.get(path)).status_code == status


def test_no_base_path_hides_a_path_of_the_registry() -> None:
    paths = {route.path for route in create_app(Store.in_memory()).routes if isinstance(route, Route)}
    assert {path.split("/")[1] for path in paths} - {""} <= OWN_NAMES
    for text, path in (("/glaas/", "/glaas"), ("/", ""), ("", ""), ("/a/b-c", "/a/b-c")):
        assert base_path_of(text) == path
    for text in ("glaas", "/gl aas", "/a//b", "/dag", "/api/glaas", "/a/../b", "/a?b", '/"', "https://host/glaas"):
        with pytest.raises(ValueError, match="it "):
            base_path_of(text)
