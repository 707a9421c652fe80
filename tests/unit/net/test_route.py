"""The way to the registry: certificates and proxies, from real servers on loopback."""

import errno
import gc
import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx2
import pytest

from roar_publisher.daemon.dependencies import Dependencies
from roar_publisher.daemon.workers import reachability_probe
from roar_publisher.net.certificates import TrustedCertificates
from roar_publisher.net.exchange import Exchange, Reply
from roar_publisher.net.proxies import proxy_for
from roar_publisher.net.route import Unreachable, user_problem
from roar_publisher.state.errors import Conclusion, LocalProblem, NeedsUser
from roar_publisher.state.meanings import MEANINGS, Turn
from roar_publisher.state.reasons import Reason
from tests.support.net.servers import HOST, Server, authority, serving, socks

pytestmark = pytest.mark.anyio
REGISTRY = f"https://{HOST}:8443"


@pytest.fixture
def _left_open() -> Iterator[None]:
    """httpcore2 leaves its connection to a SOCKS proxy that refuses to the garbage collector."""
    yield
    gc.collect()


async def ask(registry: str) -> Reply:
    async with Exchange(registry, connections=1) as exchange:
        return await exchange.send("GET", "/api/v1/health", None, None)


async def problem(registry: str) -> NeedsUser:
    """The error for a person that asking ends in: with a code that ends a command with 4, and that a daemon parks."""
    with pytest.raises(NeedsUser) as caught:
        await ask(registry)
    found = MEANINGS[caught.value.reason]
    assert (found.turn, found.conclusion) == (Turn.USER, Conclusion.NEEDS_USER)
    assert caught.value.next_step
    return caught.value


@pytest.fixture
def secure() -> Iterator[Server]:
    with serving(authority().context) as server:
        yield server


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
async def test_the_authority_of_each_tool_is_trusted(
    name: str, secure: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(authority().file))
    assert (await ask(secure.url)).status == 200


async def test_the_authority_of_a_setting_is_trusted_as_the_systems_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.13 is stricter in contexts of this function alone."""
    create = ssl.create_default_context

    def create_strict(*, cafile: str) -> ssl.SSLContext:
        context = create(cafile=cafile)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        return context

    monkeypatch.setattr(ssl, "create_default_context", create_strict)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority().file))
    for context in (authority().context, authority().sparing):
        with serving(context) as server:
            assert (await ask(server.url)).status == 200


async def test_a_folder_of_authorities_is_trusted(
    secure: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("the names of certificates in a folder come from openssl")
    shutil.copy(authority().file, tmp_path / "ca.pem")
    await anyio.run_process(["openssl", "rehash", str(tmp_path)])
    for name in ("SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        with monkeypatch.context() as patched:
            patched.setenv(name, str(tmp_path))
            assert (await ask(secure.url)).status == 200


@pytest.mark.parametrize("order", ["{0}:{1}", "{1}:{0}", "{0}:", ":{0}"])
async def test_some_folders_of_authorities_may_be_missing(order: str, tmp_path: Path) -> None:
    """As in a list for several systems, which OpenSSL and curl take."""
    (tmp_path / "there").mkdir()
    shutil.copy(authority().file, tmp_path / "there" / "0a1b2c3d.0")
    folders = order.format(tmp_path / "there", tmp_path / "gone")
    assert TrustedCertificates("SSL_CERT_DIR", folders).context().verify_mode is ssl.CERT_REQUIRED
    (tmp_path / "there" / "0a1b2c3d.0").unlink()
    with pytest.raises(NeedsUser, match="cannot be read"):
        TrustedCertificates("SSL_CERT_DIR", folders).context()


async def test_the_error_for_an_untrusted_authority_names_the_trusted_ones(
    secure: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = await problem(secure.url)
    assert error.reason == Reason.CERTIFICATE
    assert "certificate of 127.0.0.1 is not trusted" in error.what
    assert "the system's certificates" in error.what
    assert "SSL_CERT_FILE" in error.next_step
    assert secure.asked == []


async def test_the_remedy_names_the_setting_that_takes_a_file(
    secure: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(authority().file, tmp_path / "0a1b2c3d.0")  # by a name that is not the certificate's
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert (await problem(secure.url)).next_step.startswith("set SSL_CERT_FILE to a PEM file")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "gone"))
    unreadable = (await problem(secure.url)).next_step
    assert unreadable.startswith("set SSL_CERT_FILE to a PEM file")
    assert "or unset SSL_CERT_DIR" in unreadable


async def test_the_remedy_for_an_expired_certificate_mentions_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority().file))
    with serving(authority().expired) as server:
        error = await problem(server.url)
    assert "expired" in error.what
    assert "clock" in error.next_step


@pytest.mark.parametrize("kind", ["Hostname", "IP address"])
def test_the_remedy_for_a_certificate_of_another_name_is_no_authority(kind: str) -> None:
    refused = ssl.SSLCertVerificationError(1, "failed")
    refused.verify_message = f"{kind} mismatch, certificate is not valid for 'a'."  # as the ssl module sets it
    error = user_problem(refused, "a", TrustedCertificates("", ""), None)
    assert error is not None
    assert f"{kind} mismatch, certificate is not valid for 'a'; " in error.what
    assert error.next_step.startswith("use the name that the certificate is for")


async def test_a_server_that_requires_a_client_certificate_needs_the_user() -> None:
    alert = ssl.SSLError(1, "alert")
    alert.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"  # as the ssl module sets it
    error = httpx2.ReadError("")
    error.__cause__ = alert
    found = user_problem(error, HOST, TrustedCertificates(), None)
    assert isinstance(found, NeedsUser)
    assert found.reason == Reason.CERTIFICATE
    assert f"{HOST} requires a client certificate" in found.what


async def test_a_server_without_tls_is_not_a_certificate_problem() -> None:
    with serving() as server, pytest.raises(Unreachable, match="no TLS connection"):
        await ask(server.url.replace("http:", "https:"))


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("kind", ["missing", "no certificates", "a folder without any"])
async def test_unreadable_certificates_are_named(
    name: str, kind: str, secure: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trusted"
    if kind == "no certificates":
        path.write_text("no certificates\n")
    if kind == "a folder without any":
        path.mkdir()
    monkeypatch.setenv(name, str(path))
    error = await problem(secure.url)
    assert error.reason == Reason.CERTIFICATE
    assert name in error.what
    assert str(path) in error.what
    with serving() as plain:  # plain http needs no certificates
        assert (await ask(plain.url)).status == 200


@pytest.mark.parametrize(
    ("status", "words"),
    [(407, "407 Proxy Authentication Required"), (403, "403"), (405, "405")],
)
async def test_a_proxy_that_refuses_the_connection_needs_the_user(
    status: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        proxy.answer = lambda asked: (status, {}, b"")
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:secret@"))
        error = await problem(REGISTRY)
    assert [asked.method for asked in proxy.asked] == ["CONNECT"]
    assert error.reason == Reason.PROXY
    assert words.split()[0] in error.what
    assert "HTTPS_PROXY" in error.what
    assert "secret" not in f"{error.what} {error.next_step}"


async def test_a_proxy_that_requires_a_sign_in_over_http_needs_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        proxy.answer = lambda asked: (407, {}, b"")
        monkeypatch.setenv("http_proxy", proxy.url)
        error = await problem(f"http://{HOST}")
    assert "http_proxy" in error.what
    assert error.reason == Reason.PROXY


@pytest.mark.parametrize(
    ("user", "remedy"), [("", "put its user and password into HTTPS_PROXY"), ("user:secret@", "px, cntlm")]
)
async def test_a_password_that_a_proxy_does_not_accept_is_not_asked_for_again(
    user: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a proxy often takes only the sign-ins of Windows, for which there are local proxies."""
    with serving() as proxy:
        proxy.answer = lambda asked: (407, {}, b"")
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", f"//{user}"))
        assert remedy in (await problem(REGISTRY)).next_step


@pytest.mark.parametrize(
    ("status", "answer"),
    [(502, "502 Bad Gateway"), (503, "503 Service Unavailable"), (429, "429 Too Many Requests"), (599, "599")],
)
async def test_a_proxy_that_cannot_reach_the_host_is_a_network_problem(
    status: int, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as proxy:
        proxy.answer = lambda asked: (status, {}, b"")
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        with pytest.raises(Unreachable) as caught:
            await ask(REGISTRY)
    assert str(caught.value) == f"the proxy that ALL_PROXY names cannot connect to {HOST} ({answer})"


@pytest.mark.parametrize("scheme", ["socks5h", "socks5", "socks"])
async def test_a_socks_proxy_leads_to_the_registry(
    scheme: str, secure: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority().file))
    with socks(secure.port) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url.replace("socks5h", scheme))
        assert (await ask(f"https://{HOST}")).status == 200
    assert proxy.asked == [HOST]


@pytest.mark.usefixtures("_left_open")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_socks_proxy_that_refuses_needs_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    with socks(9) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        proxy.code = 2
        assert "not allowed by ruleset" in (await problem(REGISTRY)).what
        proxy.code = 4
        with pytest.raises(Unreachable, match=r"cannot connect to .* \(Host unreachable\)"):
            await ask(REGISTRY)
        proxy.method = 255
        assert (await problem(REGISTRY)).reason == Reason.PROXY


@pytest.mark.usefixtures("_left_open")
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("instead", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x04\x5b", b"\x05"])
async def test_a_server_that_does_not_speak_socks_is_named(instead: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with socks(9) as proxy:
        proxy.instead = instead
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        error = await problem(REGISTRY)
    assert "does not speak SOCKS5" in error.what
    assert "ALL_PROXY" in error.what


BROKEN = ["http://host:port", "ftp://host", "http://", "http://host:99999999", "http://[", "://", "socks4://h:1"]


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
async def test_an_invalid_proxy_setting_is_named_without_its_value(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    error = await problem(REGISTRY)
    assert error.reason == Reason.PROXY
    assert name in error.what


@pytest.mark.parametrize(
    ("url", "settings", "expected"),
    [
        ("https://a.example", {"HTTPS_PROXY": "proxy:3128"}, "HTTPS_PROXY"),
        ("https://a.example", {"HTTP_PROXY": "http://host:port"}, ""),
        ("https://a.example", {"HTTPS_PROXY": "http://p:1", "ALL_PROXY": "ftp://broken"}, "HTTPS_PROXY"),
        ("http://a.example", {"ALL_PROXY": "http://p:1"}, "ALL_PROXY"),
        ("https://a.example", {"https_proxy": "http://p:1", "HTTPS_PROXY": "http://q:1"}, "https_proxy"),
        ("https://a.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, ""),
        ("https://a.example:8443", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, ""),
        ("https://b.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example"}, "HTTPS_PROXY"),
        ("https://a.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, ""),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, ""),
        ("https://11.1.2.3", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8,nonsense/9"}, "HTTPS_PROXY"),
        ("https://[fd00::1]", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "fd00::/8"}, ""),
        ("https://[fd00::443]", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "fd00::443"}, ""),
        ("https://[fd00::1]", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[fd00::1]:443"}, ""),
        ("https://a.b.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "x *.B.example"}, ""),
        ("https://ab.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*.b.example"}, "HTTPS_PROXY"),
        ("https://a.example", {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example:443"}, ""),
        ("http://a.example", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:443"}, "HTTP_PROXY"),
        ("http://a.example:443", {"HTTP_PROXY": "http://p:1", "NO_PROXY": "a.example:443"}, ""),
        ("https://localhost", {"HTTPS_PROXY": "http://p:1"}, ""),
        ("https://a.example", {"HTTPS_PROXY": "Socks://p:1"}, "HTTPS_PROXY"),
        ("http://127.0.0.1:9000", {"HTTP_PROXY": "http://host:port"}, ""),
    ],
)
def test_only_the_proxy_setting_for_the_host_applies(
    url: str, settings: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    found = proxy_for(url)
    assert (found.setting if found else "") == expected


@pytest.mark.parametrize(
    ("address", "is_socks", "over_tls"),
    [("SOCKS5://p:1", True, False), ("Socks://p:1", True, False), ("HTTPS://p:1", False, True), ("p:1", False, False)],
)
def test_the_scheme_of_a_proxy_is_read_in_capitals_too(
    address: str, is_socks: bool, over_tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    proxy = proxy_for("https://a.example")
    assert proxy is not None
    assert (proxy.is_socks, proxy.over_tls) == (is_socks, over_tls)


async def test_an_invalid_host_name_is_a_network_problem() -> None:
    with pytest.raises(Unreachable):
        await ask(f"http://{'a' * 70}.localhost")


@pytest.mark.parametrize("setting", ["", "SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_certificates_that_cannot_be_opened_now_are_no_wrong_setting(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publish waits then, and is not left to the user; and the daemon asks again later whether a server answers."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    (tmp_path / "0a1b2c3d.0").touch()
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    if setting:
        monkeypatch.setenv(setting, str(tmp_path / ("0a1b2c3d.0" if setting == "SSL_CERT_FILE" else "")))
    monkeypatch.setattr(httpx2, "create_ssl_context", refuse)
    monkeypatch.setattr(ssl, "create_default_context", refuse)
    with pytest.raises(LocalProblem, match="this process cannot open more files") as problem:
        await ask(REGISTRY)
    assert (problem.value.reason, problem.value.conclusion) == (Reason.TOO_MANY_FILES, Conclusion.INTERRUPTED)
    async with reachability_probe(REGISTRY, Dependencies()) as anything_answers:
        assert not await anything_answers()
