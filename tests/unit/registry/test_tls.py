"""A registry that serves https itself."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from roar_publisher.registry.http.names import Names
from roar_publisher.registry.server.serve import ServeOptions, serve
from tests.support.registry.harness import job, succeeded
from tests.support.registry.processes import PATIENCE, serving

PROGRAM = """
import sys
from pathlib import Path
from roar_publisher.registry.server.serve import ServeOptions, serve

files = Path("{certificate}"), Path("{key}")
serve(sys.argv[1], 0, Path(sys.argv[2]), lambda url: print(url, flush=True), options=ServeOptions(certificate=files))
"""


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate of 127.0.0.1 with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry of a test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def test_it_serves_https_and_its_receipts_say_so(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    program = PROGRAM.format(certificate=certificate[0], key=certificate[1])
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    with (
        serving(tmp_path / "data", program=program) as process,
        httpx2.Client(verify=trusted, timeout=PATIENCE) as client,
    ):
        assert process.url.startswith("https://127.0.0.1:")
        root = f"{process.url}/api/v1/registration-sessions"
        opened = succeeded(client.post(root, json={"mode": "anonymous_public"}, timeout=PATIENCE))
        headers = {"Authorization": f"RegistrationSession {opened['registration_session_token']}"}
        session = f"{root}/{opened['registration_session_id']}"
        jobs = {"jobs": [job(1)]}
        succeeded(client.post(f"{session}/jobs/batch", json=jobs, headers=headers, timeout=PATIENCE))
        receipt = succeeded(client.post(f"{session}/finalize", json={}, headers=headers, timeout=PATIENCE))
        assert receipt["url"].startswith(f"{process.url}/dag/")
        with pytest.raises(httpx2.TransportError):
            httpx2.get(process.url.replace("https", "http"), timeout=PATIENCE)
        status, _, err = process.stop()
        assert (status, err) == (0, "")


def test_a_key_that_is_not_the_certificates_is_an_os_error(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    options = ServeOptions(certificate=(certificate[0], certificate[0]))
    with pytest.raises(OSError, match="PEM"):
        serve("127.0.0.1", 0, tmp_path / "data", pytest.fail, options=options)


def test_signatures_name_the_port_unless_it_is_that_of_https() -> None:
    names = Names("registry.example", 443, scheme="https")
    assert names.is_signature_host("registry.example", "192.0.2.1")
    assert not names.is_signature_host("registry.example:443", "192.0.2.1")
    assert Names("registry.example", 443).is_signature_host("registry.example:443", "192.0.2.1")
