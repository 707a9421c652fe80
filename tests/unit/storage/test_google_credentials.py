"""Google's credentials as a service account's key has them, against a token endpoint on loopback."""

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from roar_publisher.state.errors import NeedsUser, Transient
from roar_publisher.storage.gcs_account import open_account
from tests.support.cli.servers import answering, http

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture
def key_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "key.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    return path


def write_key(path: Path, private_key: str, token_uri: str) -> None:
    account = {"type": "service_account", "project_id": "p", "client_email": "writer@p.iam.gserviceaccount.com"}
    path.write_text(json.dumps(account | {"private_key": private_key, "token_uri": token_uri}))


def place(path: Path, content: str | None) -> None:
    """A file with this content, or a folder."""
    if content is None:
        path.mkdir()
    else:
        path.write_text(content)


async def test_a_token_is_requested_once(key_file: Path, private_key: str) -> None:
    answer = {"access_token": "a-token", "expires_in": 3600}
    with answering(http("200 OK", json.dumps(answer).encode(), "Content-Type: application/json")) as endpoint:
        write_key(key_file, private_key, endpoint.url)
        account = open_account({})
        for _ in range(2):
            assert await account.headers() == {"Authorization": "Bearer a-token"}
        assert len(endpoint.requests) == 1
        await account.headers(renew="Bearer a-token")
        assert len(endpoint.requests) == 2


async def test_a_token_endpoint_that_does_not_answer_is_a_network_problem(key_file: Path, private_key: str) -> None:
    with answering(b"") as endpoint:
        write_key(key_file, private_key, endpoint.url)
    with pytest.raises(Transient, match="Google credentials are unavailable"):
        await open_account({}).headers()


async def test_a_token_endpoint_that_refuses_needs_the_user(key_file: Path, private_key: str) -> None:
    refusal = http("400 Bad Request", b'{"error": "invalid_grant"}', "Content-Type: application/json")
    with answering(refusal) as endpoint:
        write_key(key_file, private_key, endpoint.url)
        with pytest.raises(NeedsUser, match="RefreshError"):
            await open_account({}).headers()


async def test_an_invalid_key_needs_the_user(key_file: Path) -> None:
    write_key(key_file, "no key", "http://127.0.0.1:9")
    with pytest.raises(NeedsUser, match="Google credentials are unavailable"):
        await open_account({}).headers()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read (it is not a regular file)"),
        ("", "contains no JSON"),
        ("[]", "contains no JSON object"),
        ("[" * 100_000, "contains no JSON"),
    ],
    ids=["folder", "empty", "list", "deep"],
)
async def test_a_file_without_credentials_is_named_with_its_problem(
    key_file: Path, content: str | None, problem: str
) -> None:
    place(key_file, content)
    with pytest.raises(NeedsUser) as caught:
        await open_account({"GOOGLE_APPLICATION_CREDENTIALS": str(key_file)}).headers()
    assert f"GOOGLE_APPLICATION_CREDENTIALS names {key_file}, which {problem}" in caught.value.what


async def test_a_pipe_without_a_writer_is_not_waited_for(key_file: Path) -> None:
    os.mkfifo(key_file)
    with pytest.raises(NeedsUser, match="it is not a regular file"):
        await open_account({"GOOGLE_APPLICATION_CREDENTIALS": str(key_file)}).headers()
