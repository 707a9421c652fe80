"""Every variable that httpx2, botocore and google-auth read, each with values that make no sense.

A value stops what needs it, with a reason code and the variable's name, or it changes nothing.  It never is "a defect",
no error of a library comes out, and no value is repeated that may be a credential.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from roar_publisher.net.exchange import Exchange
from roar_publisher.state.errors import PublisherError, Transient, UsageProblem
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.destinations import open_store
from tests.support.net.servers import HOST, SETTINGS, Asked, Server, authority, serving, socks
from tests.support.sampling import pairs

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """One is enough: the settings are read before anything is awaited."""
    return "asyncio"


SECRET = "a-secret-value"
OUR_SETTINGS = (*SETTINGS, "STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG")

NETWORK = {
    "HTTPS_PROXY": ["http://h:port", f"ftp://u:{SECRET}@h", "http://[::1", "://", f"http://u:{SECRET}@h:99999"],
    "ALL_PROXY": ["socks9://h:1", "http://h:-1", "nonsense://", "socks5h://"],
    "SSL_CERT_FILE": ["/nonexistent/ca.pem", "FOLDER", "EMPTY", "NOT_PEM"],
    "SSL_CERT_DIR": ["/nonexistent/certs", "NOT_PEM"],
    "REQUESTS_CA_BUNDLE": ["/nonexistent/ca.pem", "NOT_PEM", "EMPTY"],
    "CURL_CA_BUNDLE": ["/nonexistent/ca.pem", "NOT_PEM"],
}
AWS = {
    "AWS_CA_BUNDLE": ["/nonexistent/ca.pem", "FOLDER", "NOT_PEM"],
    "AWS_ENDPOINT_URL": [
        "https://h:port",
        "https://h:99999",
        "h:9000",
        "ftp://h",
        f"https://u:{SECRET}@h",
        "https://[",
    ],
    "AWS_ENDPOINT_URL_S3": ["https://h:port", "https://h/a/../b", "https://h h", "https://bücher.example"],
    "AWS_REGION": ["evil.example/", "eu west", "ü"],
    "AWS_DEFAULT_REGION": ["evil.example/", "eu west"],
    "AWS_PROFILE": ["nobody"],
    "AWS_DEFAULT_PROFILE": ["nobody"],
    "AWS_CONFIG_FILE": ["NOT_INI", "BINARY"],
    "AWS_ACCESS_KEY_ID": ["AKID\n", "AKID\r\nX: y", "ÄKID", "A KID"],
    "AWS_SECRET_ACCESS_KEY": [f"{SECRET}\n", f"{SECRET}ü", "a b"],
    "AWS_SESSION_TOKEN": [f"{SECRET}ü", f"{SECRET}\n", "a b", "\udcff"],
    "AWS_METADATA_SERVICE_TIMEOUT": ["soon"],
    "AWS_METADATA_SERVICE_NUM_ATTEMPTS": ["often"],
    "AWS_MAX_ATTEMPTS": ["often"],
    "AWS_REQUEST_CHECKSUM_CALCULATION": ["sometimes"],
    "AWS_RESPONSE_CHECKSUM_VALIDATION": ["sometimes"],
}
AWS_WITHOUT_KEYS = {
    "AWS_SHARED_CREDENTIALS_FILE": ["NOT_INI"],
    "AWS_WEB_IDENTITY_TOKEN_FILE": ["/nonexistent/token", "FOLDER", "BINARY"],
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": ["http://example.com/x", "ftp://127.0.0.1/x", "http://127.0.0.1:port/x", "x"],
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": ["/nonexistent/token", "FOLDER"],
    "AWS_ACCESS_KEY_ID": ["AKID"],
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": ["ipv9"],
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": ["http://127.0.0.1:port/", "nonsense"],
}
"""Without keys in the environment, so that the chain gets that far."""
GOOGLE = {
    "GOOGLE_APPLICATION_CREDENTIALS": [
        *("/nonexistent/key.json", "FOLDER", "EMPTY", "BINARY", "NOT_PEM", "JSON_LIST", "JSON_NUMBER", "JSON_NULL"),
        *("JSON_EMPTY", "JSON_ODD_KEY", "JSON_ODD_TYPES"),
    ],
    "STORAGE_EMULATOR_HOST": [
        "h:port",
        "http://h:99999",
        "ftp://h",
        "http://",
        f"http://u:{SECRET}@h",
        "http://h/a/../b",
    ],
}
CONTENTS = {
    "EMPTY": b"",
    "BINARY": bytes(range(256)),
    "NOT_PEM": b"nothing of use\n",
    "NOT_INI": b"nothing of use\n",
    "JSON_LIST": b"[]",
    "JSON_NUMBER": b"7",
    "JSON_NULL": b"null",
    "JSON_EMPTY": b"{}",
    "JSON_ODD_KEY": b'{"type": "service_account", "private_key": "no key", "client_email": "a", "token_uri": "b"}',
    "JSON_ODD_TYPES": b'{"type": "service_account", "private_key": 7, "client_email": [], "token_uri": null}',
}
CLEARED = {name for table in (NETWORK, AWS, AWS_WITHOUT_KEYS, GOOGLE) for name in table} | set(OUR_SETTINGS)


def cases(table: dict[str, list[str]]) -> list[object]:
    return [pytest.param(name, value, id=f"{name}-{value!r}") for name, values in table.items() for value in values]


@pytest.fixture
def setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment with keys and nothing else that any of the tables names."""
    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE12345")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRETEXAMPLE12345")
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "FOLDER").mkdir()
    return monkeypatch


def put(setting: pytest.MonkeyPatch, name: str, value: str, folder: Path) -> None:
    setting.setenv(name, str(folder / value) if value in CONTENTS or value == "FOLDER" else value)


def explains(error: PublisherError, name: str) -> None:
    """Whether an error is one that a person can act on."""
    said = f"{error.what} {error.next_step}"
    assert error.reason in set(Reason) - {Reason.DEFECT}
    assert re.search(rf"\b{name}\b", said), said
    assert SECRET not in said
    assert "Traceback" not in said


async def look(url: str) -> None:
    async with await open_store(url, dict(os.environ), patience=0.0) as store:
        await store.stat("key")


async def problem_of(url: str) -> PublisherError | None:
    try:
        await look(url)
    except PublisherError as error:
        return error
    return None


@pytest.mark.parametrize(("name", "value"), cases(NETWORK))
async def test_of_the_network_for_the_registry(
    name: str, value: str, setting: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(setting, name, value, tmp_path)
    with pytest.raises(PublisherError) as caught:
        async with Exchange("https://registry.example", connections=1) as exchange:
            await exchange.send("GET", "/", None, None)
    explains(caught.value, name)


@pytest.mark.parametrize(("name", "value"), cases(NETWORK))
@pytest.mark.parametrize("url", ["s3://bucket/run", "gs://bucket/run"])
async def test_of_the_network_for_the_stores(
    url: str, name: str, value: str, setting: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(setting, name, value, tmp_path)
    if url.startswith("gs:"):
        setting.setenv("STORAGE_EMULATOR_HOST", "https://storage.example")
    with pytest.raises(PublisherError) as caught:
        await look(url)
    explains(caught.value, name)


@pytest.mark.parametrize(("name", "value"), cases(NETWORK))
async def test_of_the_network_where_plain_http_to_this_machine_needs_none_of_it(
    name: str, value: str, setting: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(setting, name, value, tmp_path)
    with serving() as server:
        server.answer = lambda asked: (404, {}, b"")
        async with Exchange(server.url, connections=1) as exchange:
            assert (await exchange.send("GET", "/", None, None)).status == 404
        setting.setenv("AWS_ENDPOINT_URL", server.url)
        setting.setenv("STORAGE_EMULATOR_HOST", server.url)
        await look("s3://bucket/run")
        await look("gs://bucket/run")


@pytest.mark.parametrize(("name", "value"), cases(AWS))
async def test_of_s3(name: str, value: str, setting: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(setting, name, value, tmp_path)
    with pytest.raises(PublisherError) as caught:
        await look("s3://bucket/run")
    assert not isinstance(caught.value, Transient), "it would be tried for ever"
    explains(caught.value, name)


@pytest.mark.parametrize(("name", "value"), cases(AWS_WITHOUT_KEYS))
async def test_of_s3_where_credentials_come_from(
    name: str, value: str, setting: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        setting.delenv(key)
    if name == "AWS_WEB_IDENTITY_TOKEN_FILE":
        setting.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/writer")
        setting.setenv("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:9")
    if name == "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE":
        setting.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:9/x")
    if name.startswith("AWS_EC2"):
        setting.setenv("AWS_EC2_METADATA_DISABLED", "false")
    put(setting, name, value, tmp_path)
    with pytest.raises(PublisherError) as caught:
        await look("s3://bucket/run")
    explains(caught.value, name)


@pytest.mark.parametrize(("name", "value"), cases(GOOGLE))
async def test_of_google(name: str, value: str, setting: pytest.MonkeyPatch, tmp_path: Path) -> None:
    setting.setenv("NO_GCE_CHECK", "true")
    put(setting, name, value, tmp_path)
    with pytest.raises(PublisherError) as caught:
        await look("gs://bucket/run")
    assert not isinstance(caught.value, Transient), "it would be tried for ever"
    explains(caught.value, name)


ODD = ["", "http://h:port", "ü\n"]


def botocores() -> list[str]:
    """Every variable that botocore's own tables name, in whichever release is installed."""
    from botocore import configprovider  # type: ignore[import-untyped]

    found: set[str] = set()
    for table in (configprovider.BOTOCORE_DEFAUT_SESSION_VARIABLES, configprovider.DEFAULT_S3_CONFIG_VARS):
        for _, variable, *_ in table.values():
            found |= {variable} if isinstance(variable, str) else set(variable or ())
    return sorted(found)


def googles() -> list[str]:
    """Every variable that google-auth names."""
    from google.auth import environment_vars

    return sorted({value for name, value in vars(environment_vars).items() if name.isupper() and value.isupper()})


@pytest.mark.parametrize("url", ["s3", "gs"])
async def test_no_variable_of_a_library_makes_a_defect(
    url: str, setting: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    setting.setenv("NO_GCE_CHECK", "true")
    with serving() as server:
        server.answer = lambda asked: (404, {}, b"")
        if url == "s3":
            setting.setenv("AWS_ENDPOINT_URL", server.url)
        for name, value in pairs(f"variables for {url}", botocores() if url == "s3" else googles(), ODD):
            with setting.context() as patched:
                patched.setenv(name, value)
                error = await problem_of(f"{url}://bucket/run")
            assert error is None or error.reason in set(Reason) - {Reason.DEFECT}, name
            if isinstance(error, UsageProblem):
                explains(error, name)
    assert "Traceback" not in "".join(capsys.readouterr())


PROFILES = {
    "s3 = path": "s3",
    "services = ours\n[services ours]\ns3 = x": "s3",
    "s3 =\n    addressing_style = diagonal": "addressing_style",
    "endpoint_url = https://h:port": "endpoint_url",
    "endpoint_url = nonsense": "endpoint_url",
    "ca_bundle = /nonexistent/ca.pem": "ca_bundle",
    "max_attempts = often": "max_attempts",
    "metadata_service_timeout = soon": "metadata_service_timeout",
    "request_checksum_calculation = sometimes": "request_checksum_calculation",
    "region = evil.example/": "region",
    "aws_access_key_id = A KID\naws_secret_access_key = x": "aws_access_key_id",
    "credential_process = printf []": "AWS_CONFIG_FILE",
    "credential_process = printf nonsense": "AWS_CONFIG_FILE",
    "credential_process = 'unbalanced": "AWS_CONFIG_FILE",
    "source_profile = default\nrole_arn = x": "AWS_CONFIG_FILE",
    "sso_session = nobody\nsso_account_id = 1\nsso_role_name = x": "AWS_CONFIG_FILE",
}


@pytest.mark.parametrize("text", PROFILES)
async def test_of_a_profile(text: str, setting: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"[default]\n{text}\n")
    setting.setenv("AWS_CONFIG_FILE", str(config))
    if PROFILES[text] in ("AWS_CONFIG_FILE", "aws_access_key_id"):  # where credentials come from
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            setting.delenv(key)
    with pytest.raises(PublisherError) as caught:
        await look("s3://bucket/run")
    explains(caught.value, PROFILES[text])


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


async def test_google_tokens_come_through_a_socks_proxy_too(
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
async def test_of_the_network_where_google_tokens_come_from(
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
