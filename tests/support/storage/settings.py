"""The variables that httpx2, botocore and google-auth read, each with values that make no sense."""

import os
import re
from pathlib import Path

import pytest

from roar_publisher.state.errors import PublisherError
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.destinations import open_store
from tests.support.net.servers import SETTINGS

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


def clean_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> pytest.MonkeyPatch:
    """Leave the environment with keys and nothing else that any of the tables names, and the folder with CONTENTS."""
    for name in CLEARED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE12345")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRETEXAMPLE12345")
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    (folder / "FOLDER").mkdir()
    return monkeypatch


def put(setting: pytest.MonkeyPatch, name: str, value: str, folder: Path) -> None:
    setting.setenv(name, str(folder / value) if value in CONTENTS or value == "FOLDER" else value)


def explains(error: PublisherError, name: str) -> None:
    """Assert that an error is one that a user can act on."""
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
