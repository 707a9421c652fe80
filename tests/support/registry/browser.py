"""A browser that signs in to a registry in the test's own process."""

import re
from dataclasses import dataclass, field
from http.cookies import SimpleCookie

import httpx2

from roar_publisher.registry.accounts.browser_sessions import issue_code
from roar_publisher.registry.data import Store
from roar_publisher.registry.http.names import Names
from tests.support.registry.harness import Registry, make_registry

ORIGIN = "https://registry.example.org"


@dataclass
class Browser:
    """A browser as far as these pages need one: it keeps cookies, and sends the fields that a form hides."""

    client: httpx2.AsyncClient
    origin: str = ORIGIN
    cookies: dict[str, str] = field(default_factory=dict)
    page: str = ""

    async def get(self, path: str) -> httpx2.Response:
        return await self._send("GET", path, {"Sec-Fetch-Site": "none"})

    async def submit(self, path: str, **fields: str) -> httpx2.Response:
        """Send a form of the page that was opened last."""
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', self.page))
        headers = {"Sec-Fetch-Site": "same-origin", "Origin": self.origin}
        return await self._send("POST", path, headers, hidden | fields)

    async def sign_in(self, code: str, path: str = "/sign-in") -> httpx2.Response:
        await self.get(path)
        return await self.submit("/sign-in", code=code)

    async def _send(
        self, method: str, path: str, headers: dict[str, str], form: dict[str, str] | None = None
    ) -> httpx2.Response:
        headers = {**headers, "Host": self.origin.partition("://")[2]}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        kind = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
        answer = await self.client.request(method, path, data=form, headers={**headers, **kind})
        for line in answer.headers.get_list("set-cookie"):
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        self.page = answer.text
        return answer


def registry_with_name(store: Store) -> Registry:
    """A registry under the name of `ORIGIN`."""
    registry = make_registry(store, names=Names("127.0.0.1", 8123, (ORIGIN,), "buildbox"))
    registry.client.base_url = httpx2.URL("http://127.0.0.1:8123")
    del registry.client.headers["Content-Type"]
    return registry


def code_for(registry: Registry, name: str = "alice") -> str:
    """A new sign-in code."""
    return registry.store.accounts.write(issue_code, name, registry.clock())
