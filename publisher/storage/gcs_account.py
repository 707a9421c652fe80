"""Credentials and address of Google Cloud Storage: google-auth's default credentials, or an emulator without any.

google-auth is used instead of our own token requests because users rarely have only a service account's key: `gcloud
auth application-default login`, workload identity and impersonation have their own files and token exchanges.
google-auth blocks, so it runs in a worker thread. It uses `requests`, because its client of the metadata server imports
that, and `default` silently skips the metadata server if the import fails.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from roar_publisher.blocking import in_thread_while_wanted
from roar_publisher.net.certificates import TrustedCertificates
from roar_publisher.net.route import unusable_route, user_problem
from roar_publisher.state.errors import NeedsUser, PublisherError, Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.state.safe_open import read_bounded
from roar_publisher.storage.s3_location import endpoint_parts

GOOGLE = "https://storage.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
SIGN_IN = "sign in (gcloud auth application-default login) or set GOOGLE_APPLICATION_CREDENTIALS"
EMULATOR = "STORAGE_EMULATOR_HOST"
SOURCES = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "CLOUDSDK_CONFIG",
    "GCE_METADATA_HOST",
    "GCE_METADATA_ROOT",
    "GCE_METADATA_IP",
    "GCE_METADATA_TIMEOUT",
    "GCE_METADATA_DETECT_RETRIES",
    "GCE_METADATA_MTLS_MODE",
    "NO_GCE_CHECK",
    "GOOGLE_API_USE_CLIENT_CERTIFICATE",
    "GOOGLE_API_CERTIFICATE_CONFIG",
)
"""The variables that determine the source of credentials. Error messages name those that are set."""

MOST_BYTES = 1024 * 1024
"""The maximum size of a credentials file."""


class GoogleAccount:
    """One user's access to Google Cloud Storage, shared by all requests. Create it with `open_account`."""

    def __init__(self, base: str, environ: Mapping[str, str], *, emulated: bool) -> None:
        self.base = base
        # google-auth uses `requests`, so the variable of `requests` comes first.
        self.trust = TrustedCertificates.chosen(environ, ("REQUESTS_CA_BUNDLE", environ.get("REQUESTS_CA_BUNDLE")))
        self._environ = environ
        self._emulated = emulated
        self._credentials: Any = None  # google-auth's; written by _token alone
        self._lock = anyio.Lock()

    def __repr__(self) -> str:
        return f"GoogleAccount({self.base})"

    async def headers(self, *, renew: str = "") -> dict[str, str]:
        """Return the `Authorization` header; empty for an emulator.

        renew: a value that the store rejected; a new one is requested, unless another task has already obtained it.
        Raises NeedsUser if there are no credentials, Transient if their source does not answer.
        """
        if self._emulated:
            return {}
        known = self._credentials
        if known is not None and known.valid and (header := self._checked(known.token)) != renew:
            return {"Authorization": header}  # nothing to wait for
        async with self._lock:
            return {"Authorization": await in_thread_while_wanted(self._token, renew)}

    def _token(self, rejected: str) -> str:
        try:
            token = self._current(rejected)
        except Exception as error:  # google-auth raises many kinds of errors for files, programs, addresses and replies
            raise self._unavailable(error) from None
        return self._checked(token)

    def _checked(self, token: object) -> str:
        """Return the value of the header, or raise NeedsUser if the token is not valid in one."""
        if not isinstance(token, str) or not all("!" <= one <= "~" for one in token):
            raise NeedsUser(
                "the Google credentials yield a token that is not valid in a header; "
                + self._named("check GOOGLE_APPLICATION_CREDENTIALS"),
                next_step=SIGN_IN,
                reason=Reason.CREDENTIAL,
            )
        return f"Bearer {token}"

    def _current(self, rejected: str) -> object:
        import google.auth
        import requests
        from google.auth.transport.requests import Request

        if self._credentials is None:
            self._check_file()  # google-auth would block on a FIFO
        session = requests.Session()
        if self.trust.setting:
            session.verify = self.trust.path
        if self._credentials is None:
            self._credentials, _ = google.auth.default(scopes=[SCOPE], request=Request(session))
        if not self._credentials.valid or f"Bearer {self._credentials.token}" == rejected:
            self._credentials.refresh(Request(session))
        token: object = self._credentials.token
        return token

    def _check_file(self) -> None:
        if _wrong_file(self._environ):
            raise ValueError("the file of the credentials")

    def _unavailable(self, error: Exception) -> PublisherError:
        from google.auth.exceptions import GoogleAuthError, TransportError

        host = "the service that issues Google tokens"
        if problem := user_problem(error, host, self.trust, None) or unusable_route(self.base, self.trust):
            return problem
        # The text may quote a token endpoint's reply, so only the error's type is shown.
        why = _wrong_file(self._environ) or f" ({type(error).__name__})" + self._named("")
        what = f"Google credentials are unavailable{why}"
        if isinstance(error, TransportError) or (isinstance(error, GoogleAuthError) and error.retryable):
            return Transient(what)
        return NeedsUser(what, next_step=SIGN_IN, reason=Reason.AUTH)

    def _named(self, otherwise: str) -> str:
        named = [name for name in SOURCES if self._environ.get(name)]
        return f"; these variables are set: {', '.join(named)}" if named else otherwise


def _wrong_file(environ: Mapping[str, str]) -> str:
    """Return what is wrong with the file of GOOGLE_APPLICATION_CREDENTIALS; empty if nothing is visibly wrong."""
    name = environ.get(SOURCES[0], "")
    if not name:
        return ""
    try:
        problem = (
            "" if isinstance(json.loads(read_bounded(Path(name), MOST_BYTES)), dict) else "contains no JSON object"
        )
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except (ValueError, RecursionError):
        problem = "contains no JSON"
    return f": {SOURCES[0]} names {name}, which {problem}" if problem else ""


def open_account(environ: Mapping[str, str]) -> GoogleAccount:
    """Return the account for STORAGE_EMULATOR_HOST (host:port or URL) if it is set, or for Google itself.

    Raises UsageProblem if the emulator's address is invalid.
    """
    emulator = environ.get(EMULATOR, "")
    if not emulator:
        return GoogleAccount(GOOGLE, environ, emulated=False)
    scheme, _, netloc, path = endpoint_parts(emulator if "://" in emulator else f"http://{emulator}", EMULATOR)
    return GoogleAccount(f"{scheme}://{netloc}{path}", environ, emulated=True)


def describe_access(environ: Mapping[str, str]) -> str:
    """Return the endpoint and the source of the credentials."""
    if host := environ.get(EMULATOR):
        return f"{host.rpartition('@')[2]}, without credentials ({EMULATOR})"
    named = "GOOGLE_APPLICATION_CREDENTIALS"
    return f"{GOOGLE}, with the credentials of {named if environ.get(named) else 'gcloud or this machine'}"
