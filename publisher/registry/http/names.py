"""The names that a registry is served under: accepted `Host` values, and hosts that a signature may name."""

import socket
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from msgspec import Struct

from roar_publisher.glaas.signature import signature_host
from roar_publisher.origins import DEFAULT_PORTS, authority, host_name
from roar_publisher.registry.http.addresses import is_loopback

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Names(Struct, frozen=True):
    """The names of this registry.

    `host` and `port` are what it listens on. `public` are the origins that clients use, as `origin_of` returns them; if
    empty, clients use the names of the socket. `machine` is this machine's name, or empty. `proxied` says whether
    clients connect through a proxy. `scheme` is that of the socket.
    """

    host: str
    port: int
    public: Sequence[str] = ()
    machine: str = ""
    proxied: bool = False
    scheme: str = "http"

    @classmethod
    def of_listener(
        cls, host: str, listener: socket.socket, public: Sequence[str], *, proxied: bool, scheme: str
    ) -> "Names":
        """Return the names of a listening socket that was bound to `host`."""
        return cls(host, listener.getsockname()[1], public, socket.gethostname().lower(), proxied, scheme)

    @property
    def knows_signature_hosts(self) -> bool:
        """Whether `is_signature_host` can decide. Behind a proxy, clients do not use the socket's names."""
        return bool(self.public) or not self.proxied

    def is_accepted_host(self, authority: str) -> bool:
        """Return whether a request to this authority (a `Host` header) is meant for this registry.

        A page whose host name was pointed to this machine (DNS rebinding) sends that name. Addresses and `localhost`
        cannot be pointed elsewhere, so they are accepted, with any port, which may be that of a tunnel.
        """
        name = host_in(authority)
        if name is None:
            return False
        known = {"localhost", self.host.lower(), self.machine, *(host_in(urlsplit(url).netloc) for url in self.public)}
        return _is_address(name) or name in known - {""}

    def is_signature_host(self, host: str, reached_at: str) -> bool:
        """Return whether a signature for this host (`glaas.signature`) was made for this registry.

        `reached_at` is our address that the client, or the proxy before us, connected to. It and `localhost` are
        accepted only if no public origin is configured and there is no proxy, because all clients of a proxy seem to
        come from this machine.
        """
        if self.public or self.proxied:
            return host in {signature_host(url) for url in self.public}
        names = {self.host.lower(), reached_at, *(_LOOPBACK if is_loopback(reached_at) else ())}
        if not is_loopback(self.host):  # the machine's name may stand for its loopback address, too
            names.add(self.machine)
        return host in {authority(self.scheme, name, self.port) for name in names if _can_be_called(name)}

    def scheme_of(self, authority: str) -> str | None:
        """Return the scheme of the public origin with this authority; None if there is none."""
        schemes = (urlsplit(url).scheme for url in self.public if signature_host(url) == authority.lower())
        return next(schemes, None)


def origin_of(url: str) -> str:
    """Return a public URL as an origin: `scheme://host[:port]`, in the spelling that clients use.

    Raises ValueError if it is invalid or has other parts.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.port == 0:
        raise ValueError("it is not an http:// or https:// URL")
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("it has more than a host and a port")
    return f"{parts.scheme}://{authority(parts.scheme, host_name(parts.hostname), parts.port)}"


def host_in(authority: str) -> str | None:
    """Return the host of an authority, without its port, in lower case; None if the authority is invalid."""
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port  # raises if it is invalid
    except ValueError:
        return None
    if not parts.hostname or parts.netloc != authority or "@" in authority:
        return None
    return parts.hostname.removesuffix(".")


def _can_be_called(name: str) -> bool:
    """Return whether clients can use the name.

    A socket may be bound to the unspecified address, but clients do not use it.
    """
    return bool(name) and not (_is_address(name) and ip_address(name).is_unspecified)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
