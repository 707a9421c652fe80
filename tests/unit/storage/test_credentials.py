"""Credentials as machines in a cloud have them, from fakes on loopback: what the instance, the container, an identity
token or a program gives out is what the store is asked with.

What the fakes answer follows AWS's documentation: "Use IMDSv2", "Container credential provider", the API reference of
AssumeRoleWithWebIdentity, and "Sourcing credentials with an external process".
"""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import pytest

from roar_publisher.state.errors import NeedsUser
from roar_publisher.storage.destinations import open_store
from roar_publisher.storage.digest import digest_file
from roar_publisher.storage.transfer import transfer
from tests.support.storage.memory import MemoryLedger, nothing, write_file
from tests.support.storage.proxy import Proxy
from tests.support.storage.servers import ACCESS_KEY, BUCKET, SECRET_KEY
from tests.unit.storage.conftest import PART_BYTES

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("small_parts")]
ROLE = "arn:aws:iam::123456789012:role/writer"
IDENTITY_TOKEN = "the-token-of-a-workload"
SOON, LATER = timedelta(minutes=1), timedelta(hours=1)


@dataclass
class Cloud:
    """What gives out credentials.  given: one session token after the other.  lasts: how long each of them does."""

    url: str
    lasts: Callable[[int], timedelta] = lambda number: LATER
    given: list[str] = field(default_factory=list)

    def credentials(self) -> dict[str, str]:
        number = len(self.given) + 1
        self.given.append(f"session-{number}")
        expires = (datetime.now(UTC) + self.lasts(number)).strftime("%Y-%m-%dT%H:%M:%SZ")
        keys = {"AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY}
        return keys | {"Token": self.given[-1], "SessionToken": self.given[-1], "Expiration": expires}


class _Handler(BaseHTTPRequestHandler):
    cloud: Cloud

    def do_PUT(self) -> None:
        self._answer("an-imds-token")

    def do_GET(self) -> None:
        role = "/latest/meta-data/iam/security-credentials/"
        if self.path == role:
            return self._answer("writer")
        assert self.path == "/container" or self.headers["x-aws-ec2-metadata-token"] == "an-imds-token"
        self._answer(json.dumps({"Code": "Success"} | self.cloud.credentials()))

    def do_POST(self) -> None:
        asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        assert asked["Action"] == ["AssumeRoleWithWebIdentity"]
        assert (asked["WebIdentityToken"], asked["RoleArn"]) == ([IDENTITY_TOKEN], [ROLE])
        given = self.cloud.credentials()
        del given["Token"]
        inner = "".join(f"<{name}>{value}</{name}>" for name, value in given.items())
        result = "AssumeRoleWithWebIdentityResult"
        self._answer(
            f'<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{result}>'
            f"<Credentials>{inner}</Credentials></{result}></AssumeRoleWithWebIdentityResponse>"
        )

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A cloud, and a process without credentials of its own."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        _Handler.cloud = Cloud(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield _Handler.cloud
        server.shutdown()
        thread.join()


Settings = Callable[[Cloud, Path], dict[str, str]]


def of_the_instance(cloud: Cloud, folder: Path) -> dict[str, str]:
    return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": cloud.url, "AWS_EC2_METADATA_DISABLED": "false"}


def of_the_container(cloud: Cloud, folder: Path) -> dict[str, str]:
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{cloud.url}/container"}


def of_an_identity_token(cloud: Cloud, folder: Path) -> dict[str, str]:
    path = folder / "token"
    path.write_text(IDENTITY_TOKEN)
    role = {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(path), "AWS_ROLE_SESSION_NAME": "a-put"}
    return role | {"AWS_ENDPOINT_URL_STS": cloud.url}


def of_a_profile(cloud: Cloud, folder: Path) -> dict[str, str]:
    path = folder / "credentials"
    lines = ["[default]", "aws_access_key_id = NOBODY", "aws_secret_access_key = nothing", "[lab]"]
    lines += [f"aws_access_key_id = {ACCESS_KEY}", f"aws_secret_access_key = {SECRET_KEY}"]
    path.write_text("\n".join(lines))
    return {"AWS_SHARED_CREDENTIALS_FILE": str(path), "AWS_PROFILE": "lab"}


def of_a_program(cloud: Cloud, folder: Path) -> dict[str, str]:
    config, said = folder / "config", folder / "said"
    said.write_text(json.dumps({"Version": 1} | cloud.credentials()))
    show = "import sys; print(open(sys.argv[1]).read())"
    config.write_text(f'[default]\ncredential_process = {sys.executable} -c "{show}" {said}\n')
    return {"AWS_CONFIG_FILE": str(config)}


async def send(proxy: Proxy, folder: Path) -> None:
    """Upload a file of three parts to a server that verifies signatures."""
    path = write_file(folder / "source", 5 * PART_BYTES // 2)
    proxy.seen.clear()
    async with await open_store(f"s3://{BUCKET}/{folder.name}", {"AWS_ENDPOINT_URL": proxy.url}) as store:
        content = await digest_file(path)
        await transfer(store, "object", content, MemoryLedger(), parts_at_once=1, advance=nothing)


def take(settings: Settings, cloud: Cloud, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings(cloud, folder).items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("settings", [of_the_instance, of_the_container, of_an_identity_token, of_a_program])
async def test_credentials_of_the_metadata_service_are_requested_once(
    settings: Settings, cloud: Cloud, rclone_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(settings, cloud, tmp_path, monkeypatch)
    await send(rclone_proxy, tmp_path)
    assert cloud.given == ["session-1"]
    assert all("x-amz-security-token" in seen.authorization for seen in rclone_proxy.seen)


async def test_the_keys_are_those_of_the_profile(
    cloud: Cloud, rclone_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(of_a_profile, cloud, tmp_path, monkeypatch)
    await send(rclone_proxy, tmp_path)
    assert all(ACCESS_KEY in seen.authorization for seen in rclone_proxy.seen)
    assert cloud.given == []


# An instance's credentials are used a while longer by botocore itself, in case its metadata service is down.
@pytest.mark.parametrize("settings", [of_the_container, of_an_identity_token])
async def test_credentials_that_expire_soon_are_renewed_before(
    settings: Settings, cloud: Cloud, rclone_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.lasts = lambda number: SOON if number == 1 else LATER
    take(settings, cloud, tmp_path, monkeypatch)
    await send(rclone_proxy, tmp_path)
    assert cloud.given == ["session-1", "session-2"]


def no_such_token(cloud: Cloud, folder: Path) -> dict[str, str]:
    return of_an_identity_token(cloud, folder) | {"AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "missing")}


def no_such_program(cloud: Cloud, folder: Path) -> dict[str, str]:
    (folder / "config").write_text(f"[default]\ncredential_process = {folder / 'missing'}\n")
    return {"AWS_CONFIG_FILE": str(folder / "config")}


def a_container_elsewhere(cloud: Cloud, folder: Path) -> dict[str, str]:
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/container"}


def a_cloud_that_is_away(cloud: Cloud, folder: Path) -> dict[str, str]:
    return {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/container"}


@pytest.mark.parametrize("settings", [no_such_token, no_such_program, a_container_elsewhere, a_cloud_that_is_away])
async def test_unavailable_credentials_need_the_user(
    settings: Settings, cloud: Cloud, rclone_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(settings, cloud, tmp_path, monkeypatch)
    with pytest.raises(NeedsUser, match="AWS credentials"):
        await send(rclone_proxy, tmp_path)


async def test_a_profile_of_aws_login_names_the_package_that_it_needs(
    cloud: Cloud, rclone_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def signed_in(cloud: Cloud, folder: Path) -> dict[str, str]:
        (folder / "config").write_text("[default]\nlogin_session = arn:aws:iam::123456789012:user/alice\n")
        return {"AWS_CONFIG_FILE": str(folder / "config")}

    take(signed_in, cloud, tmp_path, monkeypatch)
    monkeypatch.setattr("botocore.credentials.EC", None)
    with pytest.raises(NeedsUser, match="aws login") as caught:
        await send(rclone_proxy, tmp_path)
    assert caught.value.next_step.startswith("pip install 'botocore[crt]'")


async def test_a_program_that_yields_nothing_is_to_be_asked_by_the_aws_cli(
    cloud: Cloud, rclone_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says may hold a secret, so it is not shown."""

    def of_a_program_that_fails(cloud: Cloud, folder: Path) -> dict[str, str]:
        fail = "import sys; sys.exit('a secret')"
        (folder / "config").write_text(f'[default]\ncredential_process = {sys.executable} -c "{fail}"\n')
        return {"AWS_CONFIG_FILE": str(folder / "config")}

    take(of_a_program_that_fails, cloud, tmp_path, monkeypatch)
    with pytest.raises(NeedsUser, match="CredentialRetrievalError") as caught:
        await send(rclone_proxy, tmp_path)
    assert "`aws sts get-caller-identity`" in caught.value.next_step
    assert "secret" not in caught.value.what


async def test_a_code_of_an_mfa_device_is_not_asked_for(
    cloud: Cloud, rclone_proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt of botocore would be below the display, and the terminal without echo after a stop."""

    def of_a_role(cloud: Cloud, folder: Path) -> dict[str, str]:
        lines = ["[profile lab]", f"role_arn = {ROLE}", "source_profile = base"]
        lines += ["mfa_serial = arn:aws:iam::123456789012:mfa/alice", "[profile base]"]
        lines += [f"aws_access_key_id = {ACCESS_KEY}", f"aws_secret_access_key = {SECRET_KEY}"]
        (folder / "config").write_text("\n".join(lines))
        return {"AWS_CONFIG_FILE": str(folder / "config"), "AWS_PROFILE": "lab", "AWS_ENDPOINT_URL_STS": cloud.url}

    take(of_a_role, cloud, tmp_path, monkeypatch)
    with pytest.raises(NeedsUser, match="the code of an MFA device") as caught:
        await send(rclone_proxy, tmp_path)
    assert "aws configure export-credentials" in caught.value.next_step
    assert cloud.given == []
