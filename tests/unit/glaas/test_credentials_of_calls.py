"""The credentials of calls: signed again, renewed, and never shown, whatever a server repeats."""

import json
from base64 import b64encode
from urllib.parse import quote

import pytest

from roar_publisher.glaas.client import MAX_RENEWALS, Refused
from roar_publisher.glaas.replies import Receipt
from roar_publisher.glaas.signature import authorization
from roar_publisher.net.documents import MAX_TEXT
from roar_publisher.state.errors import Transient
from tests.support import virtual
from tests.support.glaas.scripted import OK, Calls, Script, call, repeated, reply


class Signer:
    """Signs with a number that each renewal raises."""

    def __init__(self, renewals: int) -> None:
        self.left = renewals
        self.number = 0

    async def header(self, method: str, path: str, body: bytes | None) -> str | None:
        return f"Bearer {self.number}"

    async def renew(self, rejected: str) -> bool:
        assert rejected == f"Bearer {self.number}"
        self.number += 1
        self.left -= 1
        return self.left >= 0


@pytest.mark.parametrize(("renewals", "requests"), [(0, 1), (1, 2), (99, 1 + MAX_RENEWALS)])
def test_a_rejected_credential_is_renewed_a_bounded_number_of_times(renewals: int, requests: int) -> None:
    async def scenario() -> None:
        calls = Calls(Script([], default=lambda: reply(401, b'{"detail": "who are you"}')))
        with pytest.raises(Refused):
            await calls.client.call("GET", "/api/v1/thing", expect=Receipt, authorize=Signer(renewals))
        sent = [request.headers["authorization"] for request in calls.script.requests]
        assert sent == [f"Bearer {number}" for number in range(requests)]

    virtual.run(scenario)


def test_every_attempt_is_signed_again() -> None:
    class Fresh(Signer):
        async def header(self, method: str, path: str, body: bytes | None) -> str | None:
            self.number += 1
            return f"Bearer {self.number}"

    async def scenario() -> None:
        calls = Calls(Script(repeated(2, lambda: reply(500))))
        await calls.client.call("GET", "/api/v1/thing", expect=Receipt, authorize=Fresh(0))
        sent = [request.headers["authorization"] for request in calls.script.requests]
        assert sent == ["Bearer 1", "Bearer 2", "Bearer 3"]

    virtual.run(scenario)


TOKEN = "AbCdEf/GhIjKl+MnOpQr=="
SAID = f"bad token {TOKEN} here"


class Shows:
    """Shows a token, and has no other."""

    def __init__(self, header: str = f"Bearer {TOKEN}") -> None:
        self._header = header

    async def header(self, method: str, path: str, body: bytes | None) -> str:
        return self._header

    async def renew(self, rejected: str) -> bool:
        return False


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"detail": SAID}).encode(),
        json.dumps({"detail": SAID}).replace("/", "\\/").encode(),
        json.dumps({"detail": SAID}).replace("+", "\\u002b").encode(),
        json.dumps({"detail": SAID}).encode("utf-16"),
        json.dumps({"detail": f"bad token {quote(TOKEN)} here"}).encode(),
        json.dumps({"detail": f"bad token {quote(TOKEN, safe='')} here"}).encode(),
        json.dumps({"error": {"message": SAID, "headers": [{TOKEN: TOKEN}]}}).encode(),
    ],
    ids=["plain", "slash", "unicode", "utf-16", "quoted", "all quoted", "nested"],
)
@pytest.mark.parametrize("status", [401, 500])
def test_a_credential_that_the_server_repeats_is_removed_from_its_text(status: int, body: bytes) -> None:
    async def scenario() -> None:
        calls = Calls(Script([], default=lambda: reply(status, body)))
        with pytest.raises((Refused, Transient), match=r"bad token \[credential\] here") as caught:
            await calls.client.call("GET", "/api/v1/thing", expect=Receipt, authorize=Shows())
        shown = repr((caught.value.args, getattr(caught.value, "body", {}), calls.reports))
        assert TOKEN not in shown
        assert quote(TOKEN) not in shown

    virtual.run(scenario)


def test_a_credential_at_the_edge_of_what_is_shown_is_not_shown_in_part() -> None:
    async def scenario() -> None:
        body = json.dumps({"detail": "x" * (MAX_TEXT - 12) + TOKEN}).encode()
        calls = Calls(Script([], default=lambda: reply(401, body)))
        with pytest.raises(Refused) as caught:
            await calls.client.call("GET", "/api/v1/thing", expect=Receipt, authorize=Shows())
        assert caught.value.what.endswith("x[credential]")

    virtual.run(scenario)


HOST = "registry-of-the-team.example:8443"
SIGNED = authorization("SHA256:" + "k" * 43, 1_700_000_000, b"signature" * 9, HOST)


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        (f"Bearer {TOKEN}", TOKEN),
        (f"RegistrationSession {TOKEN}", TOKEN),
        (SIGNED, b64encode(b"signature" * 9).decode()),
        (authorization("SHA256:" + "k" * 43, 1_700_000_000, b"signature" * 9), b64encode(b"signature" * 9).decode()),
    ],
    ids=["bearer", "session", "signature with a host", "signature"],
)
def test_only_the_credential_is_removed_from_what_a_registry_says(header: str, secret: str) -> None:
    """Its own host, the key and the scheme are in the header, too, and in its addresses and texts by right."""

    async def scenario() -> None:
        words = f"{HOST} RegistrationSession SHA256:{'k' * 43} 1700000000"
        page = f"https://{HOST}/dag"
        body = json.dumps({"hash": "a" * 64, "url": page, "status": f"{words} {secret}"}).encode()
        calls = Calls(Script([], default=lambda: reply(200, body)))
        receipt = await calls.client.call("GET", "/api/v1/thing", expect=Receipt, authorize=Shows(header))
        assert (receipt.url, receipt.status) == (page, f"{words} [credential]")

    virtual.run(scenario)


@pytest.mark.parametrize(
    ("header", "date"),
    [
        (f"Bearer {TOKEN}", None),
        (f"RegistrationSession {TOKEN}", None),
        (SIGNED, "Tue, 14 Nov 2023 22:13:20 GMT"),
        (authorization("SHA256:" + "k" * 43, 1_700_000_000, b"sig"), "Tue, 14 Nov 2023 22:13:20 GMT"),
    ],
)
def test_only_a_signature_is_refused_because_of_the_clock(header: str, date: str | None) -> None:
    """A token has no time of this machine in it: the registry's clock explains nothing about it."""

    async def scenario() -> None:
        refusal = reply(401, b'{"detail": "no"}', date="Tue, 14 Nov 2023 22:13:20 GMT")
        with pytest.raises(Refused) as caught:
            await Calls(Script([refusal])).client.call("GET", "/api/v1/thing", expect=Receipt, authorize=Shows(header))
        assert caught.value.date == date

    virtual.run(scenario)


def test_the_text_of_a_reply_that_is_nested_too_deeply_is_not_shown() -> None:
    async def scenario() -> None:
        deep = b'{"detail": "%s", "more": %s}' % (TOKEN.encode(), b"[" * 600 + b"]" * 600)
        with pytest.raises(Transient, match="is not a GLaaS registry"):
            await Calls(Script([], default=lambda: reply(401, deep))).client.call(
                "GET", "/api/v1/thing", expect=Receipt, authorize=Shows()
            )

    virtual.run(scenario)


def test_an_anonymous_request_has_no_credential() -> None:
    async def scenario() -> None:
        calls = Calls(Script([]))
        await call(calls)
        (request,) = calls.script.requests
        assert "authorization" not in request.headers
        assert "cookie" not in request.headers
        assert request.headers["x-roar-version"]
        assert str(request.url) == "http://registry.localhost/glaas/api/v1/thing"

    virtual.run(scenario)


def test_cookies_of_the_registry_are_not_sent_back() -> None:
    async def scenario() -> None:
        calls = Calls(Script([reply(500, set_cookie="a=b"), reply(200, OK, set_cookie="a=b")]))
        await call(calls)
        await call(calls)
        assert not [request for request in calls.script.requests if "cookie" in request.headers]

    virtual.run(scenario)


@pytest.mark.parametrize("status", [403, 500])
def test_the_error_names_the_request_as_the_registry_logged_it(status: int) -> None:
    async def scenario() -> None:
        body = b'{"detail": "it is broken"}'
        calls = Calls(Script([], default=lambda: reply(status, body, x_request_id="0af7651916cd43dd")))
        with pytest.raises((Refused, Transient)) as caught:
            await call(calls)
        assert "it is broken (request 0af7651916cd43dd)" in str(caught.value)

    virtual.run(scenario)


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "\x1b[31mred", "z9" * 16])
def test_an_id_that_is_none_or_repeats_a_credential_is_not_shown(sent: str) -> None:
    class Held(Shows):
        async def header(self, method: str, path: str, body: bytes | None) -> str:
            return f"Bearer {'z9' * 16}"

    async def scenario() -> None:
        calls = Calls(Script([], default=lambda: reply(403, b'{"detail": "no"}', x_request_id=sent)))
        with pytest.raises(Refused) as caught:
            await calls.client.call("GET", "/api/v1/thing", expect=Receipt, authorize=Held())
        assert caught.value.what == "the registry refused: no"

    virtual.run(scenario)
