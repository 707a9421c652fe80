"""Credentials and signatures for S3, by botocore's credential chain, signer and configuration; nothing else of it.

botocore finds and refreshes the user's credentials (environment, profiles, SSO, web identity, container and instance
roles), and signs. It blocks and takes a tenth of a second to import, so all of that happens in a worker thread. It
reads the process's own environment.

The payload's SHA-256 is signed over https too, although UNSIGNED-PAYLOAD would suffice. The hash is known from the
digest, so it costs nothing, and every endpoint that verifies signatures must refuse a different body, whether or not it
supports the newer checksum headers.
"""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

import anyio

from roar_publisher.blocking import in_thread, in_thread_while_wanted
from roar_publisher.guarded import Guarded
from roar_publisher.net.certificates import TrustedCertificates
from roar_publisher.net.route import unusable_route, user_problem
from roar_publisher.state.errors import NeedsUser, PublisherError
from roar_publisher.state.reasons import Reason
from roar_publisher.storage.s3_location import BucketLocation, Locate
from roar_publisher.storage.s3_settings import S3Settings, new_session, read_settings

SIGN_IN = "set AWS_PROFILE or AWS_ACCESS_KEY_ID, or sign in (aws login, aws sso login)"
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
"""The variables that determine the source of credentials. Error messages name those that are set."""
SAFE_ERRORS = frozenset(
    {"PartialCredentialsError", "ProfileNotFound", "ConfigParseError", "UnknownCredentialError"}
    | {"LoginRefreshRequired", "LoginInsufficientPermissions"}
)
"""botocore's errors whose text quotes only names and paths."""
OF_OTHERS = frozenset({"CredentialRetrievalError", "MetadataRetrievalError"})
"""botocore's errors for a program (`credential_process`) or a service that yields no credentials."""
ASK_AWS = "see what `aws sts get-caller-identity` says"
"""The remedy for OF_OTHERS: what they say is not shown here, because it may hold a secret."""
MISSING_PACKAGE = "MissingDependencyException"
"""botocore's error for a profile that `aws login` signed in: each renewal is signed by the package awscrt."""


class Credentials(Guarded, frozen=True):
    """A snapshot of the credentials, with the field names that botocore's signer expects. Never shown."""

    HIDDEN = ("access_key", "secret_key", "token")
    access_key: str
    secret_key: str
    token: str | None


class AwsAccount:
    """One user's botocore session, shared by all requests to one bucket. Create it with `open_account`.

    place: the bucket's location as far as it is known; written by `move`.
    """

    def __init__(self, session: Any, settings: S3Settings, environ: Mapping[str, str]) -> None:
        self.place: BucketLocation = settings.place
        self.trust: TrustedCertificates = settings.trust
        self.request_checksums = settings.request_checksums
        self.reply_checksums = settings.reply_checksums
        self._locate: Locate = settings.locate
        self._session = session
        self._new_session: Callable[[], Any] = lambda: new_session(settings.trust)
        self._environ = environ
        self._credentials: Any = None  # botocore's; written by current alone
        self._lock = anyio.Lock()

    def move(self, region: str) -> bool:
        """Use the region that the store reports for the bucket. Return whether that changed the place."""
        moved = self._locate(region)
        if moved == self.place:
            return False
        self.place = moved
        return True

    async def current(self) -> Credentials:
        """Return credentials that botocore considers valid, refreshed if needed. Raises NeedsUser without any."""
        known = self._credentials
        if known is not None and not (hasattr(known, "refresh_needed") and known.refresh_needed()):
            return self._freeze()  # nothing to wait for
        async with self._lock:
            return await in_thread_while_wanted(self._freeze)

    async def renew(self, rejected: Credentials) -> bool:
        """Replace the credentials after the store called `rejected` expired. Return whether there are others now.

        Runs the whole chain again, because botocore keeps what it considers valid.
        """
        async with self._lock:
            if await in_thread_while_wanted(self._freeze) != rejected:
                return True
            self._credentials = None
            self._session = await in_thread_while_wanted(self._new_session)
            return await in_thread_while_wanted(self._freeze) != rejected

    def sign(
        self, credentials: Credentials, method: str, url: str, headers: Mapping[str, str], sha256: str
    ) -> dict[str, str]:
        """Return `headers` with those of SigV4. sha256: of the body, in hex."""
        from botocore.auth import S3SigV4Auth  # type: ignore[import-untyped]
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

        signer = S3SigV4Auth(credentials, self.place.service, self.place.region)
        signer.payload = lambda request: sha256
        request = AWSRequest(method=method, url=url, headers=dict(headers))
        signer.add_auth(request)
        return dict(request.headers.items())

    def _freeze(self) -> Credentials:
        try:
            self._credentials = self._credentials or _credentials_of(self._session)
            frozen = self._credentials.get_frozen_credentials() if self._credentials else None
        except Exception as error:  # the chain raises many kinds of errors for files, programs, addresses and replies
            raise self._unavailable(error) from None
        if frozen is None:
            raise NeedsUser("there are no AWS credentials", next_step=SIGN_IN, reason=Reason.AUTH)
        _check(frozen)
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    def _unavailable(self, error: Exception) -> PublisherError:
        if isinstance(error, PublisherError):
            return error
        host = "the service that issues AWS credentials"
        if problem := user_problem(error, host, self.trust, None) or unusable_route(self.place.base, self.trust):
            return problem
        kind = type(error).__name__
        if kind == MISSING_PACKAGE:
            what = "AWS credentials are unavailable: what `aws login` stored needs the package awscrt"
            return NeedsUser(what, next_step="pip install 'botocore[crt]'", reason=Reason.AUTH)
        # The text may quote a file or a token endpoint's reply, so usually only the error's type is shown.
        what = f"AWS credentials are unavailable ({error if kind in SAFE_ERRORS else kind})"
        named = [name for name in SOURCES if self._environ.get(name)]
        what += f"; these variables are set: {', '.join(named)}" if named else ""
        return NeedsUser(what, next_step=ASK_AWS if kind in OF_OTHERS else SIGN_IN, reason=Reason.AUTH)


async def open_account(bucket: str, environ: Mapping[str, str]) -> AwsAccount:
    """Return the account and the place of `bucket` (a name, or an access point's ARN), from environment and profile.

    Raises UsageProblem for an invalid profile or endpoint. Does not connect.
    """

    def opened() -> AwsAccount:
        session = new_session()
        settings = read_settings(session, bucket, environ)
        return AwsAccount(new_session(settings.trust), settings, environ)

    return await in_thread(opened)


def describe_access(bucket: str, environ: Mapping[str, str]) -> str:
    """Return the endpoint and the source of the credentials. Raises UsageProblem for an invalid profile or endpoint."""
    session = new_session()
    endpoint = urlsplit(read_settings(session, bucket, environ).place.base)
    if environ.get("AWS_ACCESS_KEY_ID"):
        source = "AWS_ACCESS_KEY_ID"
    else:
        source = f"the AWS profile {session.profile or 'default'}"
    return f"{endpoint.scheme}://{endpoint.netloc}, with the credentials of {source}"


def _credentials_of(session: Any) -> Any:
    """Return botocore's credentials, which ask nobody for the code of an MFA device.

    Its own prompt would wait in a thread, below a display that paints over it, and leave the terminal without echo.
    """
    session.get_component("credential_provider").get_provider("assume-role")._prompter = _refuse_code
    return session.get_credentials()


def _refuse_code(prompt: str) -> NoReturn:
    raise NeedsUser(
        "the AWS profile requires the code of an MFA device, for which only the AWS CLI asks",
        next_step='eval "$(aws configure export-credentials --format env)"',
        reason=Reason.AUTH,
    )


def _check(frozen: Any) -> None:
    """Raise NeedsUser for a value that is not valid in a header, where it would be truncated or break the request."""
    for name, value in (
        ("AWS_ACCESS_KEY_ID", frozen.access_key),
        ("AWS_SECRET_ACCESS_KEY", frozen.secret_key),
        ("AWS_SESSION_TOKEN", frozen.token),
    ):
        if not isinstance(value, str | None):
            found = "is not text"
        elif not value and name != "AWS_SESSION_TOKEN":
            found = "is empty"
        elif any(one in "\r\n" for one in value or ""):
            found = "contains a line break"
        elif not all("!" <= one <= "~" for one in value or ""):
            found = "contains a space or a character that is not allowed"
        else:
            continue
        raise NeedsUser(
            f"the AWS credential {name} ({name.lower()} in a profile) {found}",
            next_step=f"set {name} again, without spaces and line breaks",
            reason=Reason.CREDENTIAL,
        )
