"""Who asks Google, and where: google-auth's default credentials, or an emulator that asks for none.

google-auth rather than a token request of our own, because what people have is rarely a service account's key alone:
`gcloud auth application-default login`, workload identity and impersonation are files and exchanges of their own.  It
blocks, so it runs in a worker thread.  It asks with `requests`, because it can't do without: its client of the metadata
server imports that, and `default` passes the server over, silently, where it can't be imported.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio

from roar_publisher.net.certificates import Trust
from roar_publisher.net.route import person_problem, unusable_route
from roar_publisher.state.errors import NeedsPerson, PublisherError, Transient
from roar_publisher.state.reasons import Reason
from roar_publisher.state.regular import read_bounded
from roar_publisher.storage.s3_place import endpoint_parts

GOOGLE = "https://storage.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
SIGN_IN = "sign in (gcloud auth application-default login) or set GOOGLE_APPLICATION_CREDENTIALS, then resume"
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
"""What says where credentials come from: whoever reads that they can't be had wants to know which of them is set."""

MOST_BYTES = 1024 * 1024
"""Of a file with credentials."""


class Account:
    """One user's access to Google's storage.  Shared by every request; make it with `open_account`."""

    def __init__(self, base: str, environ: Mapping[str, str], *, emulated: bool) -> None:
        self.base = base
        # google-auth asks with `requests`, whose own variable comes first therefore.
        self.trust = Trust.chosen(environ, ("REQUESTS_CA_BUNDLE", environ.get("REQUESTS_CA_BUNDLE")))
        self._environ = environ
        self._emulated = emulated
        self._credentials: Any = None  # google-auth's; written by _token alone
        self._lock = anyio.Lock()

    def __repr__(self) -> str:
        return f"Account({self.base})"

    async def headers(self, *, renew: str = "") -> dict[str, str]:
        """The `Authorization` header, empty for an emulator.

        renew: a value that the store rejected; another one is asked for, unless somebody has it already.  Raises
        NeedsPerson if there are no credentials, Transient if who gives them out does not answer.
        """
        if self._emulated:
            return {}
        async with self._lock:
            return {"Authorization": await anyio.to_thread.run_sync(self._token, renew)}

    def _token(self, rejected: str) -> str:
        try:
            token = self._current(rejected)
        except Exception as error:  # whatever google-auth makes of files, programs, addresses and their answers
            raise self._can_not_be_had(error) from None
        if not isinstance(token, str) or not all("!" <= one <= "~" for one in token):
            raise NeedsPerson(
                "the Google credentials give a token that no request can carry; "
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
            self._check_file()  # google-auth would wait for the other end of a FIFO
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

    def _can_not_be_had(self, error: Exception) -> PublisherError:
        from google.auth.exceptions import GoogleAuthError, TransportError

        host = "the service that gives out Google tokens"
        if problem := person_problem(error, host, self.trust, None) or unusable_route(self.base, self.trust):
            return problem
        # Its text can quote a token endpoint's answer; its kind says enough.
        why = _wrong_file(self._environ) or f" ({type(error).__name__})" + self._named("")
        what = f"Google credentials can't be had{why}"
        if isinstance(error, TransportError) or (isinstance(error, GoogleAuthError) and error.retryable):
            return Transient(what)
        return NeedsPerson(what, next_step=SIGN_IN, reason=Reason.AUTH)

    def _named(self, otherwise: str) -> str:
        named = [name for name in SOURCES if self._environ.get(name)]
        return f"; what is set: {', '.join(named)}" if named else otherwise


def _wrong_file(environ: Mapping[str, str]) -> str:
    """What is wrong with the file that GOOGLE_APPLICATION_CREDENTIALS names; empty where nothing is that shows."""
    name = environ.get(SOURCES[0], "")
    if not name:
        return ""
    try:
        problem = "" if isinstance(json.loads(read_bounded(Path(name), MOST_BYTES)), dict) else "holds no JSON object"
    except OSError as error:
        problem = f"can't be read ({error.strerror})"
    except (ValueError, RecursionError):
        problem = "holds no JSON"
    return f": {SOURCES[0]} names {name}, which {problem}" if problem else ""


def open_account(environ: Mapping[str, str]) -> Account:
    """The account that the environment names: STORAGE_EMULATOR_HOST (host:port or URL), else Google's own.

    Raises UsageProblem for an emulator's address that is none.
    """
    emulator = environ.get(EMULATOR, "")
    if not emulator:
        return Account(GOOGLE, environ, emulated=False)
    scheme, _, netloc, path = endpoint_parts(emulator if "://" in emulator else f"http://{emulator}", EMULATOR)
    return Account(f"{scheme}://{netloc}{path}", environ, emulated=True)
