"""Who asks S3, and where: botocore's credential chain and signature, its configuration, nothing else of it.

botocore finds what people have (environment, profiles, SSO, web identity, container and instance roles), refreshes it,
and signs.  It blocks and takes a tenth of a second to import, so all of that happens in a worker thread.  It reads the
process's own environment.

The payload's SHA-256 is signed over https too, where UNSIGNED-PAYLOAD would do: the hash is known from the digest, so
it costs nothing, and every endpoint that verifies signatures must refuse a body that differs, whether or not it knows
the newer checksum headers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio

from roar_publisher.net.certificates import Trust
from roar_publisher.net.route import person_problem, unusable_route
from roar_publisher.state.errors import NeedsPerson, PublisherError
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.s3_place import Locate, Place
from roar_publisher.storage.s3_settings import Settings, new_session, read_settings

SIGN_IN = "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or sign in (aws sso login), then resume"
SOURCES = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CREDENTIAL_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    "BOTO_CONFIG",
)
"""What says where credentials come from: whoever reads that they can't be had wants to know which of them is set."""
SAFE_ERRORS = frozenset({"PartialCredentialsError", "ProfileNotFound", "ConfigParseError", "UnknownCredentialError"})
"""Errors of botocore's whose text quotes names and paths alone."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """As they are at one moment, named as botocore's signer wants them; never shown."""

    access_key: str
    secret_key: str
    token: str | None

    def __repr__(self) -> str:
        return "credentials"


class Account:
    """One user's botocore session.  Shared by every request to one bucket; make it with `open_account`.

    place: where the bucket is, as far as is known; written by `move`.
    """

    def __init__(self, session: Any, settings: Settings, environ: Mapping[str, str]) -> None:
        self.place: Place = settings.place
        self.trust: Trust = settings.trust
        self.request_checksums = settings.request_checksums
        self.reply_checksums = settings.reply_checksums
        self._locate: Locate = settings.locate
        self._session = session
        self._new_session: Callable[[], Any] = lambda: new_session(settings.trust)
        self._environ = environ
        self._credentials: Any = None  # botocore's; written by current alone
        self._lock = anyio.Lock()

    def move(self, region: str) -> bool:
        """Whether the bucket is now asked for in `region`, where the store says that it is."""
        moved = self._locate(region)
        if moved == self.place:
            return False
        self.place = moved
        return True

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
            self._session = await anyio.to_thread.run_sync(self._new_session)
            return await anyio.to_thread.run_sync(self._freeze) != rejected

    def sign(
        self, credentials: Credentials, method: str, url: str, headers: Mapping[str, str], sha256: str
    ) -> dict[str, str]:
        """`headers` with SigV4's added.  sha256: of the body, in hex."""
        from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

        signer = S3SigV4Auth(credentials, self.place.service, self.place.region)
        signer.payload = lambda request: sha256
        request = AWSRequest(method=method, url=url, headers=dict(headers))
        signer.add_auth(request)
        return dict(request.headers.items())

    def _freeze(self) -> Credentials:
        try:
            self._credentials = self._credentials or self._session.get_credentials()
            frozen = self._credentials.get_frozen_credentials() if self._credentials else None
        except Exception as error:  # whatever the chain makes of files, programs, addresses and their answers
            raise self._can_not_be_had(error) from None
        if frozen is None:
            raise NeedsPerson("there are no AWS credentials", next_step=SIGN_IN, reason=Reason.AUTH)
        _check(frozen)
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    def _can_not_be_had(self, error: Exception) -> PublisherError:
        host = "the service that gives out AWS credentials"
        if problem := person_problem(error, host, self.trust, None) or unusable_route(self.place.base, self.trust):
            return problem
        kind = type(error).__name__
        # An error's text can quote a file or a token endpoint's answer; its kind says enough.
        what = f"AWS credentials can't be had ({error if kind in SAFE_ERRORS else kind})"
        named = [name for name in SOURCES if self._environ.get(name)]
        what += f"; what is set: {', '.join(named)}" if named else ""
        return NeedsPerson(what, next_step=SIGN_IN, reason=Reason.AUTH)


async def open_account(bucket: str, environ: Mapping[str, str]) -> Account:
    """The account and the place of `bucket` (a name, or an access point's ARN), from environment and profile.

    Raises UsageProblem for a profile or an endpoint that makes no sense.  Connects to nobody.
    """

    def opened() -> Account:
        session = new_session()
        settings = read_settings(session, bucket, environ)
        return Account(new_session(settings.trust), settings, environ)

    return await anyio.to_thread.run_sync(opened)


def _check(frozen: Any) -> None:
    """Raise NeedsPerson for what can't stand in a header: it would be cut, or break the request."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", frozen.access_key),
        ("AWS_SECRET_ACCESS_KEY", frozen.secret_key),
        ("AWS_SESSION_TOKEN", frozen.token),
    ):
        if not isinstance(value, str | None):
            found = "is no text"
        elif not value and name != "AWS_SESSION_TOKEN":
            found = "is empty"
        elif any(one in "\r\n" for one in value or ""):
            found = "holds a line break"
        elif not all("!" <= one <= "~" for one in value or ""):
            found = "holds a blank or a letter that no key has"
        else:
            continue
        raise NeedsPerson(
            f"the AWS credential {name} ({name.lower()} in a profile) {found}",
            next_step=f"set {name} anew, without line breaks and blanks, then resume",
            reason=Reason.CREDENTIAL,
        )
