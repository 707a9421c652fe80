"""The signature of a request: its payload to the byte, and ours against OpenSSH's and roar-cli's, both ways."""

from importlib import import_module
from pathlib import Path

import asyncssh
import pytest

from roar_publisher.auth.sshkey import load_signer
from roar_publisher.glaas.signature import authorization, fingerprint, signature_host, signing_payload, sshsig
from tests.support.auth.openssh import (
    KEY_TYPES,
    make_key,
    public_blob,
    public_line,
    signature_of,
    ssh_keygen_accepts,
    ssh_keygen_signs,
)

roar_auth = import_module("roar.integrations.glaas.auth")

TS = 1_700_000_000
PATH = "/api/v1/sessions?limit=1"
BODY = b'{"jobs":[]}'
DETERMINISTIC = ("ed25519", "rsa")


def test_the_payload_is_three_lines_and_a_fourth_for_a_body() -> None:
    digest = b"0a5796e93f9b57ddf7c45f860485cbb7353fc0eda3dca753a444d0fd2a1573fe"
    assert signing_payload(TS, "GET", PATH, None) == b"1700000000\nGET\n/api/v1/sessions?limit=1"
    assert signing_payload(TS, "GET", PATH, b"") == signing_payload(TS, "GET", PATH, None)
    assert signing_payload(TS, "POST", "/x", BODY) == b"1700000000\nPOST\n/x\n" + digest


def test_the_host_is_a_line_after_the_path() -> None:
    digest = b"0a5796e93f9b57ddf7c45f860485cbb7353fc0eda3dca753a444d0fd2a1573fe"
    assert signing_payload(TS, "GET", "/x", None, "api.glaas.ai") == b"1700000000\nGET\n/x\napi.glaas.ai"
    assert signing_payload(TS, "POST", "/x", BODY, "[::1]:8123") == b"1700000000\nPOST\n/x\n[::1]:8123\n" + digest
    header = authorization("SHA256:abc", TS, b"blob", "api.glaas.ai")
    assert header == 'Signature keyid="SHA256:abc", ts="1700000000", host="api.glaas.ai", sig="YmxvYg=="'


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://api.glaas.ai", "api.glaas.ai"),
        ("https://API.glaas.AI:443/base", "api.glaas.ai"),
        ("http://127.0.0.1:80", "127.0.0.1"),
        ("https://api.glaas.ai:80", "api.glaas.ai:80"),
        ("http://[::1]:8123", "[::1]:8123"),
    ],
)
def test_the_host_is_written_as_in_the_host_header(address: str, host: str) -> None:
    assert signature_host(address) == host


@pytest.mark.parametrize("body", [None, BODY], ids=["no body", "body"])
@pytest.mark.parametrize("kind", DETERMINISTIC)
@pytest.mark.anyio
async def test_the_header_is_the_one_that_roar_cli_sends(
    kind: str, body: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = make_key(tmp_path / "key", kind)
    monkeypatch.setenv("ROAR_SSH_KEY", str(key))
    monkeypatch.setattr(roar_auth.time, "time", lambda: TS + 0.9)
    signer = await load_signer(key, agent=None, ask=None)
    assert await signer.sign("POST", PATH, body, TS) == roar_auth.make_auth_header("POST", PATH, body)


@pytest.mark.parametrize("kind", KEY_TYPES)
@pytest.mark.anyio
async def test_ssh_keygen_accepts_our_signature_for_its_namespace_and_request_alone(kind: str, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", kind)
    signer = await load_signer(key, agent=None, ask=None)
    keyid, ts, blob = signature_of(await signer.sign("POST", PATH, BODY, TS))
    assert (keyid, ts) == (fingerprint(public_blob(key)), TS)
    payload, public = signing_payload(TS, "POST", PATH, BODY), public_line(key)
    assert ssh_keygen_accepts(public, payload, blob, tmp_path)
    assert not ssh_keygen_accepts(public, payload, blob, tmp_path, namespace="git")
    assert not ssh_keygen_accepts(public, signing_payload(TS, "POST", PATH, BODY + b" "), blob, tmp_path)
    assert not ssh_keygen_accepts(public, signing_payload(TS + 1, "POST", PATH, BODY), blob, tmp_path)
    other = make_key(tmp_path / "other", kind)
    assert not ssh_keygen_accepts(public_line(other), payload, blob, tmp_path)


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_what_ssh_keygen_signs_is_a_signature_of_our_payload(kind: str, tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", kind)
    payload = signing_payload(TS, "POST", PATH, BODY)
    blob = ssh_keygen_signs(key, payload)
    signers = f'someone namespaces="glaas" {public_line(key)}'.encode()
    assert asyncssh.validate_sshsig(payload, blob, "someone", signers)
    assert blob.startswith(sshsig(public_blob(key), b"")[:-4])


def test_the_fingerprint_is_the_one_that_roar_cli_computes(tmp_path: Path) -> None:
    key = make_key(tmp_path / "key", "ed25519")
    assert fingerprint(public_blob(key)) == roar_auth.compute_pubkey_fingerprint(public_line(key))
