"""Who asks S3, and where: botocore's credential chain and signature, its configuration, nothing else of it.

botocore finds what people have (environment, profiles, SSO, web identity, container and instance roles), refreshes it,
and signs.  It blocks and takes a tenth of a second to import, so all of that happens in a worker thread.  It reads the
process's own environment.

The payload's SHA-256 is signed over https too, where UNSIGNED-PAYLOAD would do: the hash is known from the digest, so
it costs nothing, and every endpoint that verifies signatures must refuse a body that differs, whether or not it knows
the newer checksum headers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import anyio

from roar_publisher.glaas.address import is_loopback
from roar_publisher.state.errors import NeedsPerson, PublisherError, UsageProblem

DEFAULT_REGION = "us-east-1"
UNRESERVED = "-._~"
SIGN_IN = "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or sign in (aws sso login), then resume"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bucket is: `base` is the URL that keys are appended to, without a trailing slash."""

    base: str
    region: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """As they are at one moment, named as botocore's signer wants them; never shown."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return "credentials"


class Account:
    """One user's botocore session.  Shared by every request to one bucket; make it with `open_account`."""

    def __init__(self, session: Any, place: Place) -> None:
        self.place = place
        self._session = session
        self._credentials: Any = None  # botocore's; written by current alone
        self._lock = anyio.Lock()

    async def current(self) -> Credentials:
        """Credentials that botocore believes valid, refreshed if need be.  Raises NeedsPerson if there are none."""
        known = self._credentials
        if known is not None and not (hasattr(known, "refresh_needed") and known.refresh_needed()):
            return self._freeze()  # nothing to wait for
        async with self._lock:
            return await anyio.to_thread.run_sync(self._freeze)

    async def renew(self, rejected: Credentials) -> bool:
        """After the store called `rejected` expired: whether there are others now.

        Asks the whole chain again, because botocore holds on to what it believes valid.
        """
        async with self._lock:
            if await anyio.to_thread.run_sync(self._freeze) != rejected:
                return True
            self._credentials = None
            self._session = await anyio.to_thread.run_sync(_new_session)
            return await anyio.to_thread.run_sync(self._freeze) != rejected

    def sign(
        self, credentials: Credentials, method: str, url: str, headers: Mapping[str, str], sha256: str
    ) -> dict[str, str]:
        """`headers` with SigV4's added.  sha256: of the body, in hex."""
        from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

        signer = S3SigV4Auth(credentials, "s3", self.place.region)
        signer.payload = lambda request: sha256
        request = AWSRequest(method=method, url=url, headers=dict(headers))
        signer.add_auth(request)
        return dict(request.headers.items())

    def _freeze(self) -> Credentials:
        from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

        try:
            self._credentials = self._credentials or self._session.get_credentials()
            if self._credentials is None:
                raise NeedsPerson("there are no AWS credentials", next_step=SIGN_IN, reason="auth")
            frozen = self._credentials.get_frozen_credentials()
        except (BotoCoreError, ClientError, OSError, ValueError) as error:  # the last two: files, programs, addresses
            raise _no_credentials(error) from None
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)


async def open_account(bucket: str, environ: Mapping[str, str]) -> Account:
    """The account and the place of `bucket`, from environment and profile.

    Raises UsageProblem for a profile or an endpoint that makes no sense.  Connects to nobody.
    """
    return await anyio.to_thread.run_sync(_open, bucket, environ)


def _open(bucket: str, environ: Mapping[str, str]) -> Account:
    from botocore.exceptions import BotoCoreError

    session = _new_session()
    try:
        profile = session.get_scoped_config()
        services = session.full_config.get("services", {}).get(profile.get("services", ""), {}).get("s3", {})
        region = environ.get("AWS_REGION") or session.get_config_variable("region") or DEFAULT_REGION
    except BotoCoreError as error:
        raise UsageProblem(f"the AWS configuration can't be used: {error}") from None
    endpoint = (
        environ.get("AWS_ENDPOINT_URL_S3")
        or environ.get("AWS_ENDPOINT_URL")
        or services.get("endpoint_url")
        or profile.get("endpoint_url")
    )
    style = (profile.get("s3") or {}).get("addressing_style", "auto")
    return Account(session, locate(bucket, region, endpoint, style))


def locate(bucket: str, region: str, endpoint: str | None, style: str) -> Place:
    """The URL of a bucket.

    style: `path`, `virtual` or `auto`, as in `~/.aws/config`.  Auto means the path style for an endpoint of one's own
    and for a bucket with dots, whose name would not fit AWS's certificate.  Raises UsageProblem for a bad endpoint.
    """
    own = endpoint is not None
    if endpoint is None:
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        endpoint = f"https://s3.{region}.{suffix}"
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise UsageProblem("the S3 endpoint is no plain http(s) URL", next_step="check AWS_ENDPOINT_URL")
    path = parts.path.rstrip("/")
    by_path = style == "path" or (style != "virtual" and (own or "." in bucket or is_loopback(parts.hostname)))
    if by_path:
        return Place(f"{parts.scheme}://{parts.netloc}{path}/{quote(bucket, safe=UNRESERVED)}", region)
    return Place(f"{parts.scheme}://{bucket}.{parts.netloc}{path}", region)


def _new_session() -> Any:
    from botocore.session import Session  # type: ignore[import-untyped]

    return Session()


def _no_credentials(error: Exception) -> PublisherError:
    # Its text can quote a file or a token endpoint's answer; its kind says enough.
    return NeedsPerson(f"AWS credentials can't be had ({type(error).__name__})", next_step=SIGN_IN, reason="auth")
