"""Which certificates are trusted: those of the first setting that names some, else the system's.

A set of certificates replaces the system's, as it does in the tools that these variables come from: `SSL_CERT_FILE` and
`SSL_CERT_DIR` (OpenSSL), `REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE` (requests, curl).  A store has settings of its own
that come first (`AWS_CA_BUNDLE`).
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2

from roar_publisher.state.errors import NeedsPerson
from roar_publisher.state.reasons import Reason

SETTINGS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
NEXT = "set {} to a PEM file with the certificates of your authority, or unset it; then resume"


@dataclass(frozen=True, slots=True)
class Trust:
    """setting: what chose the certificates, as a person knows it; empty for the system's.  path: a file or folder."""

    setting: str = ""
    path: str = ""

    @classmethod
    def chosen(cls, environ: Mapping[str, str], *before: tuple[str, str | None]) -> "Trust":
        """By the first setting that is not empty.  before: settings that come before the usual ones, with values."""
        usual = [(name, environ.get(name)) for name in SETTINGS]
        for setting, path in (*before, *usual):
            if path:
                return cls(setting, path)
        return cls()

    def context(self) -> ssl.SSLContext:
        """For connections over TLS.  Takes 20 ms.  Raises NeedsPerson where the setting names no certificates."""
        if not self.setting:
            return httpx2.create_ssl_context(trust_env=False)
        try:
            # A list of folders is what OpenSSL takes for SSL_CERT_DIR; it says nothing of one that is missing.
            folders = [folder for folder in self.path.split(os.pathsep) if Path(folder).is_dir()]
            if folders and (self.setting == "SSL_CERT_DIR" or len(folders) == 1):
                return ssl.create_default_context(capath=os.pathsep.join(folders))
            return ssl.create_default_context(cafile=self.path)
        except (OSError, ValueError) as error:  # ssl.SSLError, for a file without certificates, is an OSError
            why = "it holds no certificates" if isinstance(error, ssl.SSLError) else _words(error)
            raise NeedsPerson(
                f"the certificates that {self.setting} names can't be read ({self.path!r}): {why}",
                next_step=NEXT.format(self.setting),
                reason=Reason.CERTIFICATE,
            ) from None

    def __str__(self) -> str:
        if not self.setting:
            return "trusted are the system's certificates"
        return f"trusted are the certificates that {self.setting} names ({self.path})"


def nothing_trusted() -> ssl.SSLContext:
    """For clients of plain http: should one of them ever be asked for https, no certificate will do."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "it can't be opened"
