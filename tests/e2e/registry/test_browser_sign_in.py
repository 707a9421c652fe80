"""Signing in in a real browser: the forms reach the registry, and scripts do not see the cookie."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from roar_publisher.registry.accounts.browser_sessions import issue_code
from roar_publisher.registry.accounts.device_flow import DEVICE_GRANT
from roar_publisher.registry.store import users
from roar_publisher.registry.store.users import Accounts
from tests.support.browser import PROGRAM, Browser, browser
from tests.support.registry.harness import succeeded
from tests.support.registry.processes import PATIENCE, served

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here")


class Visit:
    """A tab on the registry, and codes with which Alice signs in there."""

    def __init__(self, url: str, data: Path, tab: Browser) -> None:
        self.url, self.data, self.tab = url, data, tab

    def new_code(self) -> str:
        store = Accounts.open(self.data)
        code = store.write(issue_code, "alice", time.time())
        store.close()
        return code

    def submit(self, button: str = "button", **fields: str) -> None:
        """Fill in the form of the page, press a button, and wait for the next page."""
        for name, value in fields.items():
            self.tab.evaluate(f"document.getElementById('{name}').value = '{value}'")
        seen = len(self.tab.events)
        self.tab.evaluate(f"document.querySelector('main form {button}').click()")
        self.tab.wait_for_page(seen)

    @property
    def path(self) -> str:
        path: str = self.tab.evaluate("location.pathname")
        return path

    @property
    def text(self) -> str:
        text: str = self.tab.evaluate("document.body.innerText")
        return text


@pytest.fixture
def visit(tmp_path: Path) -> Iterator[Visit]:
    data = tmp_path / "registry"
    store = Accounts.open(data)
    store.write(users.add_user, "alice")
    store.close()
    with served(data) as url, browser(tmp_path / "browser") as tab:
        yield Visit(url, data, tab)


def test_a_program_is_allowed_by_a_user_who_signs_in_on_the_way(visit: Visit) -> None:
    codes = succeeded(
        httpx2.post(f"{visit.url}/api/v1/auth/device/start", json={"client_name": "roar-cli"}, timeout=PATIENCE)
    )
    visit.tab.open(codes["verification_uri"])
    assert visit.path == "/sign-in"
    visit.submit(code=visit.new_code())
    assert visit.path == "/device"
    visit.submit(user_code="bbbb bbbb")
    assert "unknown" in visit.text
    visit.submit(user_code=codes["user_code"])
    assert codes["user_code"] in visit.text
    visit.submit("button[value=allow]")
    assert "roar-cli is signed in" in visit.text
    poll = {"grant_type": DEVICE_GRANT, "device_code": codes["device_code"]}
    assert succeeded(httpx2.post(f"{visit.url}/api/v1/auth/device/token", json=poll, timeout=PATIENCE))["access_token"]
    problems = [text for text in visit.tab.problems() if "favicon" not in text and "403" not in text]
    assert problems == []


def test_scripts_do_not_see_the_cookie_and_the_sign_out_ends_it(visit: Visit) -> None:
    visit.tab.open(f"{visit.url}/account")
    visit.submit(code=visit.new_code())
    assert (visit.path, "alice" in visit.text) == ("/account", True)
    assert visit.tab.evaluate("document.cookie") == ""
    visit.submit()
    visit.tab.open(f"{visit.url}/account")
    assert visit.path == "/sign-in"
