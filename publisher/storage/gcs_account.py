"""Who asks Google, and where: google-auth's default credentials, or an emulator that asks for none.

google-auth rather than a token request of our own, because what people have is rarely a service account's key alone:
`gcloud auth application-default login`, workload identity and impersonation are files and exchanges of their own.  It
blocks, so it runs in a worker thread.  It asks with `requests`, because it can't do without: its client of the metadata
server imports that, and `default` passes the server over, silently, where it can't be imported.
"""

from collections.abc import Mapping
from typing import Any

import anyio

from roar_publisher.state.errors import NeedsPerson, Transient

GOOGLE = "https://storage.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
SIGN_IN = "sign in (gcloud auth application-default login) or set GOOGLE_APPLICATION_CREDENTIALS, then resume"


class Account:
    """One user's access to Google's storage.  Shared by every request; make it with `open_account`."""

    def __init__(self, base: str, *, emulated: bool) -> None:
        self.base = base
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
        import google.auth
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.auth.transport.requests import Request

        try:
            if self._credentials is None:
                self._credentials, _ = google.auth.default(scopes=[SCOPE], request=Request())
            if not self._credentials.valid or f"Bearer {self._credentials.token}" == rejected:
                self._credentials.refresh(Request())
        except GoogleAuthError as error:
            # Its text can quote a token endpoint's answer; its kind says enough.
            what = f"Google credentials can't be had ({type(error).__name__})"
            if isinstance(error, TransportError) or error.retryable:
                raise Transient(what) from None
            raise NeedsPerson(what, next_step=SIGN_IN, reason="auth") from None
        return f"Bearer {self._credentials.token}"


def open_account(environ: Mapping[str, str]) -> Account:
    """The account that the environment names: STORAGE_EMULATOR_HOST (host:port or URL), else Google's own."""
    emulator = environ.get("STORAGE_EMULATOR_HOST", "")
    if not emulator:
        return Account(GOOGLE, emulated=False)
    return Account((emulator if "://" in emulator else f"http://{emulator}").rstrip("/"), emulated=True)
