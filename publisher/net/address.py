"""The registry's address: validation and normalisation.

Each registry has one spelling here, because the address names publishes, keys the session ids, and decides which
credential may be sent there.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit, urlunsplit

from roar_publisher.origins import DEFAULT_PORTS, authority, host_name
from roar_publisher.state.errors import UsageProblem

_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))(?:[A-Za-z0-9._~:@+=,-]|%[0-9A-Fa-f]{2})+)*")
"""A path that is sent as it is signed, and that is a word of a shell: an address is part of commands to type."""
_EXAMPLE = "give a URL such as https://registry.example"


def registry_address(text: str, environ: Mapping[str, str]) -> str:
    """Return `text` as scheme://host[:port][/path], without a trailing slash and without `/api/v1`, which requests add.

    The host is in lower case and ASCII form (IDNA), an IP address in its shortest form. The scheme's default port is
    omitted. Raises UsageProblem if `text` is not a URL, contains a user, a query or a path that needs to be quoted, or
    is plain `http://` to another machine without `ROAR_ALLOW_HTTP=1` (protocol.md §5).
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise _no_url(text) from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise _no_url(text)
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageProblem(
            "the registry's address contains more than a host and a path",
            next_step="give it without user, password and query; credentials are configured separately",
        )
    host = _host(parts.hostname)
    if parts.scheme == "http" and not is_loopback(host) and environ.get("ROAR_ALLOW_HTTP") != "1":
        raise UsageProblem(
            f"http:// to {host} would send all data unencrypted",
            next_step="use https://, or set ROAR_ALLOW_HTTP=1 to allow it",
        )
    return urlunsplit((parts.scheme, authority(parts.scheme, host, port), _base(parts), "", ""))


def origin(address: str) -> str:
    """Return scheme://host[:port] of an address that `registry_address` returned."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def origin_of(text: str) -> str | None:
    """Return the origin of any http(s) URL in the spelling of `registry_address`, or None if it is not one."""
    try:
        return origin(registry_address(text, {"ROAR_ALLOW_HTTP": "1"}))
    except UsageProblem:
        return None


def _no_url(text: str) -> UsageProblem:
    """Return the error for what is no URL, with the URL that is probably meant. It is never another host than typed."""
    meant = ""
    if "://" not in text:  # a host, as in localhost:8123
        with suppress(ValueError, UsageProblem):
            host = urlsplit(f"https://{text.strip()}").hostname or ""
            meant = registry_address(f"{'http' if is_loopback(host) else 'https'}://{text.strip()}", {})
    what = "the registry's address is not an http(s) URL"
    return UsageProblem(what, next_step=f"write it as {meant}" if meant else _EXAMPLE)


def _host(name: str) -> str:
    """Return the normal form of a host. Raises UsageProblem if it is not a host name."""
    try:
        return host_name(name)
    except ValueError:
        raise UsageProblem("the host in the registry's address is not a host name", next_step=_EXAMPLE) from None


def _base(parts: SplitResult) -> str:
    """Return the path that `/api/v1` is appended to. Raises UsageProblem if it needs to be quoted."""
    base = parts.path.rstrip("/").removesuffix("/api/v1").rstrip("/")
    if not _PATH.fullmatch(base):
        raise UsageProblem(
            "the path in the registry's address has characters that have to be escaped in a URL or a shell",
            next_step="give it percent-encoded, without '.', '..' and empty segments",
        )
    return base


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
