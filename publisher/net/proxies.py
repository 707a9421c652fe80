"""The proxy for a host, from the usual environment variables.

These are `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, and `NO_PROXY` for exceptions. Only the setting that applies to the
host is read. An invalid variable that is not needed causes no error. This machine itself is never reached through a
proxy.
"""

import os
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from roar_publisher.guarded import Guarded
from roar_publisher.net.address import is_loopback
from roar_publisher.origins import DEFAULT_PORTS
from roar_publisher.state.errors import NeedsUser
from roar_publisher.state.reasons import Reason

SCHEMES = ("http", "https", "socks5", "socks5h")
ALIASES = {"socks": "socks5h"}
"""GNOME's name, which it exports in ALL_PROXY."""
FORM = "http://host:port, https://host:port or socks5h://host:port"


class Proxy(Guarded, frozen=True):
    """A proxy. setting: the variable that names it. url: may contain a password, so it is never shown."""

    HIDDEN = ("url",)
    setting: str
    url: str

    @property
    def over_tls(self) -> bool:
        return self.url.startswith("https:")

    @property
    def has_password(self) -> bool:
        return "@" in self.url

    @property
    def is_socks(self) -> bool:
        return self.url.startswith("socks")


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy for the host of `url`, or None for a direct connection.

    Raises NeedsUser, with the variable's name and without its value, if the setting is not a proxy's address.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host):
        return None
    known = getproxies()
    scheme = next((scheme for scheme in (parts.scheme, "all") if known.get(scheme)), "")
    if not scheme or _is_bypassed(host, parts.port or DEFAULT_PORTS[parts.scheme], known.get("no", "")):
        return None
    lower = f"{scheme}_proxy"
    setting = lower if lower in os.environ else lower.upper()
    address = known[scheme].strip()
    address = address if "://" in address else f"http://{address}"
    kind, _, rest = address.partition("://")
    kind = kind.lower()
    proxy = Proxy(setting, f"{ALIASES.get(kind, kind)}://{rest}")
    _check(proxy)
    return proxy


def _check(proxy: Proxy) -> None:
    try:
        # Check with both parsers, because the library accepts ports and hosts that do not exist.
        parts, found = urlsplit(proxy.url), httpx2.URL(proxy.url)
        usable = bool(parts.hostname and found.host) and parts.scheme in SCHEMES and parts.port != 0
    except (httpx2.InvalidURL, ValueError, TypeError):
        usable = False
    if not usable:
        raise NeedsUser(
            f"{proxy.setting} is not a proxy address",
            next_step=f"set {proxy.setting} to {FORM}, or unset it",
            reason=Reason.PROXY,
        )


def _is_bypassed(host: str, port: int, exceptions: str) -> bool:
    """Return whether NO_PROXY excludes the host, as the standard library reads it, or as curl, Go and others do."""
    listed = exceptions.lower().replace(",", " ").split()
    return proxy_bypass(host) or any(
        _excludes(form, host) for exception in listed for form in (exception, exception.removesuffix(f":{port}"))
    )


def _excludes(exception: str, host: str) -> bool:
    """Return whether an exception means the host: a name, possibly after `.` or `*.`, an address or a network."""
    name = exception.removeprefix("*").removeprefix(".")
    if name and (host == name or host.endswith(f".{name}")):
        return True
    try:
        return ip_address(host) in ip_network(exception.strip("[]"), strict=False)
    except ValueError:
        return False
