"""Every variable that httpx2, botocore and google-auth read, each with values that make no sense.

A value stops what needs it, with a reason code and the variable's name, or it changes nothing. It never is "a defect",
no error of a library comes out, and no value is repeated that may be a credential.
"""

from pathlib import Path

import pytest

from roar_publisher.net.exchange import Exchange
from roar_publisher.state.errors import PublisherError, Transient, UsageProblem
from roar_publisher.state.reasons import Reason
from tests.support.net.servers import serving
from tests.support.sampling import pairs
from tests.support.storage.settings import (
    AWS,
    AWS_WITHOUT_KEYS,
    GOOGLE,
    NETWORK,
    cases,
    explains,
    look,
    problem_of,
    put,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """One is enough: the settings are read before anything is awaited."""
    return "asyncio"


@pytest.mark.parametrize(("name", "value"), cases(NETWORK))
async def test_network_settings_and_the_registry(
    name: str, value: str, setting: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(setting, name, value, tmp_path)
    with pytest.raises(PublisherError) as caught:
        async with Exchange("https://registry.example", connections=1) as exchange:
            await exchange.send("GET", "/", None, None)
    explains(caught.value, name)


@pytest.mark.parametrize(("name", "value"), cases(NETWORK))
@pytest.mark.parametrize("url", ["s3://bucket/run", "gs://bucket/run"])
async def test_network_settings_and_the_stores(
    url: str, name: str, value: str, setting: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(setting, name, value, tmp_path)
    if url.startswith("gs:"):
        setting.setenv("STORAGE_EMULATOR_HOST", "https://storage.example")
    with pytest.raises(PublisherError) as caught:
        await look(url)
    explains(caught.value, name)


@pytest.mark.parametrize(("name", "value"), cases(NETWORK))
async def test_plain_http_to_this_machine_ignores_network_settings(
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
async def test_settings_of_s3(name: str, value: str, setting: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put(setting, name, value, tmp_path)
    with pytest.raises(PublisherError) as caught:
        await look("s3://bucket/run")
    assert not isinstance(caught.value, Transient), "it would be tried for ever"
    explains(caught.value, name)


@pytest.mark.parametrize(("name", "value"), cases(AWS_WITHOUT_KEYS))
async def test_settings_of_s3_credentials(name: str, value: str, setting: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
async def test_settings_of_google(name: str, value: str, setting: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
async def test_no_setting_of_a_library_causes_a_defect(
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
async def test_settings_in_a_profile(text: str, setting: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"[default]\n{text}\n")
    setting.setenv("AWS_CONFIG_FILE", str(config))
    if PROFILES[text] in ("AWS_CONFIG_FILE", "aws_access_key_id"):  # where credentials come from
        for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            setting.delenv(key)
    with pytest.raises(PublisherError) as caught:
        await look("s3://bucket/run")
    explains(caught.value, PROFILES[text])
