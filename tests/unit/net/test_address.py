"""The registry's address: one spelling, and nothing unencrypted leaves this machine unasked."""

import socket

import pytest

from roar_publisher.net.address import is_loopback, origin_of, registry_address
from roar_publisher.state.errors import Conclusion, UsageProblem


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("https://api.glaas.ai/api/v1", "https://api.glaas.ai"),
        ("https://host/base/api/v1/\n", "https://host/base"),
        ("  https://host \r\n", "https://host"),
        ("https://host/api/v1x", "https://host/api/v1x"),
        ("https://host/a~b/c%20d/e.f", "https://host/a~b/c%20d/e.f"),
        ("https://[fe80::1%eth0]/", "https://[fe80::1%eth0]"),
        ("https://api.glaas.ai", "https://api.glaas.ai"),
        (" https://API.glaas.ai/ ", "https://api.glaas.ai"),
        ("https://host:8443/glaas/", "https://host:8443/glaas"),
        ("http://localhost:3001", "http://localhost:3001"),
        ("http://127.0.0.1:3001", "http://127.0.0.1:3001"),
        ("http://[::1]:3001/", "http://[::1]:3001"),
        ("http://[0:0:0:0:0:0:0:1]:3001/", "http://[::1]:3001"),
        ("https://API.glaas.ai:443/", "https://api.glaas.ai"),
        ("http://127.0.0.1:80", "http://127.0.0.1"),
        ("https://bücher.example/", "https://xn--bcher-kva.example"),
        ("https://\uff21\uff30\uff29.glaas.ai", "https://api.glaas.ai"),
        ("https://\u0430pi.glaas.ai", "https://xn--pi-6kc.glaas.ai"),
    ],
)
def test_an_address_has_one_spelling(typed: str, address: str) -> None:
    assert registry_address(typed, {}) == address


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "api.glaas.ai",
        "ftp://api.glaas.ai",
        "https://",
        "https://host:port",
        "https://host:99999",
        "https://[broken",
        "https://host/$(touch${IFS}x)",
        "https://host/a;b",
        "https://host/`x`",
        "https://host/a b",
        "https://host/a|b",
        "https://host/'x'",
        "https://host/é",
        "https://host/a/../b",
        "https://host/./b",
        "https://host/a//b",
        "https://host/100%",
        "https://host/\x1b[2J",
        "https://[fe80::1%$(x)]",
        "https://[fe80::1%25;x]",
        "https://user:password@host",
        "https://password@host",
        "https://@host",
        "https://api.glaas.ai\\@host",
        "https://api.glaas.ai%00.host",
        "https://api.glaas.ai\\.host",
        "https://host name",
        "https://-host",
        "https://xn--\u0000",
        "https://host/?token=abc",
        "https://host/#there",
        "javascript:alert(1)",
    ],
)
def test_an_invalid_address_is_refused(typed: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        registry_address(typed, {"ROAR_ALLOW_HTTP": "1"})
    assert caught.value.conclusion is Conclusion.USAGE
    assert "password" not in caught.value.what
    assert "abc" not in caught.value.what


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://API.glaas.ai:443/base?x=1", None),
        ("https://API.glaas.ai:443/base", "https://api.glaas.ai"),
        ("http://registry.example:8123/", "http://registry.example:8123"),
        ("https://user@api.glaas.ai", None),
        ("dev-local-auth", None),
        ("", None),
    ],
)
def test_the_origin_of_an_address_is_its_scheme_host_and_port(url: str, found: str | None) -> None:
    assert origin_of(url) == found


@pytest.mark.parametrize("allowed", ["", "0", "yes"])
def test_http_to_another_machine_must_be_allowed_explicitly(allowed: str) -> None:
    with pytest.raises(UsageProblem, match="unencrypted"):
        registry_address("http://glaas.example", {"ROAR_ALLOW_HTTP": allowed})
    assert registry_address("http://glaas.example", {"ROAR_ALLOW_HTTP": "1"}) == "http://glaas.example"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("registry.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("127.0.0.1.example.org", False),
        ("notlocalhost", False),
        ("10.0.0.1", False),
        ("", False),
    ],
)
def test_loopback_names_are_recognised(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_no_test_reaches_another_machine() -> None:
    with socket.socket() as connection, pytest.raises(RuntimeError, match="a test tried to connect"):
        connection.connect(("192.0.2.1", 443))


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("127.0.0.1:8123", "http://127.0.0.1:8123"),
        ("localhost:8123/glaas", "http://localhost:8123/glaas"),
        ("Registry.example:8443", "https://registry.example:8443"),
        ("user:hunter2@host", "https://registry.example"),
        ("ftp://host", "https://registry.example"),
        ("", "https://registry.example"),
        ("http://[::1", "https://registry.example"),
        ("[::1", "https://registry.example"),
    ],
)
def test_the_remedy_for_a_missing_scheme_is_never_another_registry(typed: str, meant: str) -> None:
    with pytest.raises(UsageProblem, match="not an http") as caught:
        registry_address(typed, {})
    assert caught.value.next_step.endswith(f" {meant}")
