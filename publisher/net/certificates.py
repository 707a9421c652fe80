"""Trusted certificates: those of the first setting that names any, else the system's.

A setting replaces the system's certificates, as it does in the tools that these variables come from: `SSL_CERT_FILE`
and `SSL_CERT_DIR` (OpenSSL), `REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE` (requests, curl). A store's own settings
(`AWS_CA_BUNDLE`) take precedence.
"""

import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path

import httpx2
from msgspec import Struct

from roar_publisher.state.errors import NeedsUser
from roar_publisher.state.reasons import Reason
from roar_publisher.state.system_errors import exhausted

SETTINGS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_HASHED = re.compile(r"[0-9a-fA-F]{8}\.r?[0-9]+")
FOLDERS = "SSL_CERT_DIR"
"""The only setting that accepts folders alone."""


class TrustedCertificates(Struct, frozen=True):
    """Which certificates to trust.

    setting: the name of the setting that chose the certificates; empty for the system's. path: a file or folder.
    """

    setting: str = ""
    path: str = ""

    @classmethod
    def chosen(cls, environ: Mapping[str, str], *before: tuple[str, str | None]) -> "TrustedCertificates":
        """Return the first setting that is not empty.

        before: settings that take precedence over the usual ones, with their values.
        """
        usual = [(name, environ.get(name)) for name in SETTINGS]
        for setting, path in (*before, *usual):
            if path:
                return cls(setting, path)
        return cls()

    @property
    def file_setting(self) -> str:
        """The setting that a remedy names for a file: the one in use if it takes a file, or SSL_CERT_FILE."""
        return SETTINGS[0] if self.setting in ("", FOLDERS) else self.setting

    def context(self) -> ssl.SSLContext:
        """Return a context for TLS connections.

        Takes 20 ms. Raises NeedsUser if the setting names no certificates, LocalProblem if no file can be opened now.
        """
        try:
            return self._loaded()
        except (OSError, ValueError) as error:  # ssl.SSLError, for a file without certificates, is an OSError
            if problem := exhausted(error):
                raise problem from None
            if not self.setting:
                raise
            why = "it contains no certificates" if isinstance(error, ssl.SSLError) else _words(error)
            raise NeedsUser(
                f"the certificates that {self.setting} names cannot be read ({self.path!r}): {why}",
                next_step=f"set {self.file_setting} to a PEM file with your authority's certificates, or unset "
                f"{'it' if self.file_setting == self.setting else self.setting}",
                reason=Reason.CERTIFICATE,
            ) from None

    def _loaded(self) -> ssl.SSLContext:
        if not self.setting:
            return httpx2.create_ssl_context(trust_env=False)
        if self.setting == FOLDERS or Path(self.path).is_dir():
            return self._of_folders()
        return _as_lenient_as_the_systems(ssl.create_default_context(cafile=self.path))

    def _of_folders(self) -> ssl.SSLContext:
        """Load folders in OpenSSL's format. Some may be missing: one list is often used on several systems.

        OpenSSL itself ignores whatever it cannot use.
        """
        names, missing = list[str](), None
        for folder in self.path.split(os.pathsep):
            try:
                names += os.listdir(folder)
            except FileNotFoundError as error:
                missing = error
        if not any(_HASHED.fullmatch(name) for name in names):
            raise missing or OSError(0, "no file in it has a name that OpenSSL requires (openssl rehash)")
        return _as_lenient_as_the_systems(ssl.create_default_context(capath=self.path))

    def __str__(self) -> str:
        if not self.setting:
            return "the system's certificates are trusted"
        return f"the certificates that {self.setting} names are trusted ({self.path})"


def _as_lenient_as_the_systems(context: ssl.SSLContext) -> ssl.SSLContext:
    """Let a context accept what the system's accepts, and what curl and git accept.

    Python 3.13 demands that certificates have every field of RFC 5280. Those of authorities that inspect a company's
    connections often have no authority key identifier, so the setting that is the remedy for them would not help.
    """
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def nothing_trusted() -> ssl.SSLContext:
    """Return a context for clients of plain http. If one is ever used for https, it accepts no certificate."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "it cannot be opened"
