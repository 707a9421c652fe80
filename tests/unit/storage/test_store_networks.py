"""Certificates, proxies and Google's tokens: the settings of the network apply to all requests of a store."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from roar_publisher.state.errors import PublisherError, Transient
from roar_publisher.state.reasons import Reason
from tests.support.net.servers import HOST, Asked, Server, authority, serving, socks
from tests.support.storage.settings import NETWORK, cases, explains, look, put

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """One is enough: the settings are read before anything is awaited."""
    return "asyncio"


@pytest.fixture
def secure() -> Iterator[Server]:
    def answer(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        return 404, {}, b""

    with serving(authority().context) as server:
        server.answer = answer
        yield server


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://bucket/run", "AWS_CA_BUNDLE"),
        ("s3://bucket/run", "REQUESTS_CA_BUNDLE"),
        ("s3://bucket/run", "SSL_CERT_FILE"),
        ("s3://bucket/run", "ca_bundle"),
        ("gs://bucket/run", "REQUESTS_CA_BUNDLE"),
        ("gs://bucket/run", "SSL_CERT_FILE"),
    ],
)
async def test_a_store_is_trusted_by_the_settings_that_its_users_know(
    url: str, name: str, secure: Server, setting: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    setting.setenv("AWS_ENDPOINT_URL", secure.url)
    setting.setenv("STORAGE_EMULATOR_HOST", secure.url)
    with pytest.raises(PublisherError) as caught:
        await look(url)
    assert caught.value.reason == Reason.CERTIFICATE
    if name == "ca_bundle":
        (tmp_path / "config").write_text(f"[default]\nca_bundle = {authority().file}\n")
        setting.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    else:
        setting.setenv(name, str(authority().file))
    await look(url)
    assert len(secure.asked) == 1


@pytest.fixture(scope="module")
def rsa_key() -> str:
    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


def service_account(setting: pytest.MonkeyPatch, folder: Path, key: str, token_uri: str) -> None:
    document = {"type": "service_account", "client_email": "a@b", "token_uri": token_uri, "private_key": key}
    (folder / "key.json").write_text(json.dumps(document))
    setting.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "key.json"))


async def test_the_issuer_of_google_tokens_is_trusted_by_the_same_settings(
    secure: Server, rsa_key: str, setting: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service_account(setting, tmp_path, rsa_key, secure.url)
    with pytest.raises(PublisherError) as caught:
        await look("gs://bucket/run")
    assert caught.value.reason == Reason.CERTIFICATE
    secure.answer = lambda asked: (400, {}, b'{"error": "invalid_grant"}')
    setting.setenv("SSL_CERT_FILE", str(authority().file))
    with pytest.raises(PublisherError) as caught:
        await look("gs://bucket/run")
    assert caught.value.reason == Reason.AUTH


async def test_google_tokens_use_a_socks_proxy(
    secure: Server, rsa_key: str, setting: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secure.answer = lambda asked: (400, {}, b'{"error": "invalid_grant"}')
    service_account(setting, tmp_path, rsa_key, f"https://{HOST}/token")
    setting.setenv("SSL_CERT_FILE", str(authority().file))
    with socks(secure.port) as proxy:
        setting.setenv("ALL_PROXY", proxy.url)
        with pytest.raises(PublisherError) as caught:
            await look("gs://bucket/run")
    assert caught.value.reason == Reason.AUTH
    assert proxy.asked == [HOST]


@pytest.mark.parametrize(("name", "value"), cases(NETWORK))
async def test_network_settings_and_google_tokens(
    name: str, value: str, rsa_key: str, setting: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service_account(setting, tmp_path, rsa_key, "https://tokens.example/token")
    put(setting, name, value, tmp_path)
    with pytest.raises(PublisherError) as caught:
        await look("gs://bucket/run")
    explains(caught.value, name)


@pytest.mark.parametrize(("status", "words"), [(407, "407"), (403, "403")])
async def test_a_proxy_that_refuses_google_tokens_needs_the_user(
    status: int, words: str, rsa_key: str, setting: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service_account(setting, tmp_path, rsa_key, "https://tokens.example/token")
    with serving() as proxy:
        proxy.answer = lambda asked: (status, {}, b"")
        setting.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(PublisherError, match=words) as caught:
            await look("gs://bucket/run")
    assert caught.value.reason == Reason.PROXY


async def test_a_proxy_that_refuses_a_store_needs_the_user(setting: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        proxy.answer = lambda asked: (407, {}, b"")
        setting.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(PublisherError) as caught:
            await look("s3://bucket/run")
    assert caught.value.reason == Reason.PROXY
    assert "407" in caught.value.what


async def test_a_store_without_tls_is_a_network_problem(setting: pytest.MonkeyPatch) -> None:
    with serving() as server:
        setting.setenv("AWS_ENDPOINT_URL", server.url.replace("http:", "https:"))
        with pytest.raises(Transient, match="no TLS connection"):
            await look("s3://bucket/run")
