"""Which certificates are trusted: those of the first setting that names some, else the system's.

A set of certificates replaces the system's, as it does in the tools that these variables come from: `SSL_CERT_FILE` and
`SSL_CERT_DIR` (OpenSSL), `REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE` (requests, curl).  A store has settings of its own
that come first (`AWS_CA_BUNDLE`).
"""

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2

from roar_publisher.state.errors import NeedsPerson
from roar_publisher.state.reasons import Reason

SETTINGS = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_HASHED = re.compile(r"[0-9a-fA-F]{8}\.r?[0-9]+")
FOLDERS = "SSL_CERT_DIR"
"""The one setting that takes folders alone."""


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

    @property
    def file_setting(self) -> str:
        """What to set to a file of certificates: the setting that chose, or the one that comes before its folders."""
        return SETTINGS[0] if self.setting in ("", FOLDERS) else self.setting

    def context(self) -> ssl.SSLContext:
        """For connections over TLS.  Takes 20 ms.  Raises NeedsPerson where the setting names no certificates."""
        if not self.setting:
            return httpx2.create_ssl_context(trust_env=False)
        try:
            if self.setting == FOLDERS or Path(self.path).is_dir():
                return self._of_folders()
            return ssl.create_default_context(cafile=self.path)
        except (OSError, ValueError) as error:  # ssl.SSLError, for a file without certificates, is an OSError
            why = "it holds no certificates" if isinstance(error, ssl.SSLError) else _words(error)
            raise NeedsPerson(
                f"the certificates that {self.setting} names can't be read ({self.path!r}): {why}",
                next_step=f"set {self.file_setting} to a PEM file with the certificates of your authority, or unset "
                f"{'it' if self.file_setting == self.setting else self.setting}, then resume",
                reason=Reason.CERTIFICATE,
            ) from None

    def _of_folders(self) -> ssl.SSLContext:
        """Of one or more folders, as OpenSSL takes them; it says nothing of what is missing or of no use to it."""
        names = [name for folder in self.path.split(os.pathsep) for name in os.listdir(folder)]
        if not any(_HASHED.fullmatch(name) for name in names):
            raise OSError(0, "no file in it is named as OpenSSL wants it (openssl rehash)")
        return ssl.create_default_context(capath=self.path)

    def __str__(self) -> str:
        if not self.setting:
            return "trusted are the system's certificates"
        return f"trusted are the certificates that {self.setting} names ({self.path})"


def nothing_trusted() -> ssl.SSLContext:
    """For clients of plain http: should one of them ever be asked for https, no certificate will do."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _words(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or "it can't be opened"
