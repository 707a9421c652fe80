"""The names that a registry is served under: which `Host` it answers, and which hosts a signature may be made for."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from roar_publisher.glaas.signature import signature_host
from roar_publisher.registry.http.addresses import is_loopback

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Names:
    """What this registry is called.

    host: the address or name that it listens on.  port: where.  public: the origins that clients reach it under, as
    `origin_of` returns them; empty: those of the socket.  machine: this machine's name; empty: none.  proxied: whether
    clients come through a proxy.
    """

    host: str
    port: int
    public: Sequence[str] = ()
    machine: str = ""
    proxied: bool = False

    @classmethod
    def of_listener(cls, host: str, listener: socket.socket, public: Sequence[str], *, proxied: bool) -> "Names":
        """The names of a listening socket that was bound to `host`."""
        return cls(host, listener.getsockname()[1], public, socket.gethostname().lower(), proxied)

    @property
    def knows_its_own(self) -> bool:
        """Whether `is_own` can tell: behind a proxy the socket's names are not those that clients use."""
        return bool(self.public) or not self.proxied

    def is_served(self, authority: str) -> bool:
        """Whether a request to this authority (a `Host` header) is meant for this registry.

        A page that had its own name point to this machine (DNS rebinding) sends that name.  An address can't be made to
        point elsewhere, nor can `localhost`, so each is answered, on whichever port: it may be a tunnel's.
        """
        name = host_in(authority)
        if name is None:
            return False
        known = {"localhost", self.host.lower(), self.machine, *(host_in(urlsplit(url).netloc) for url in self.public)}
        return _is_address(name) or name in known - {""}

    def is_own(self, host: str, reached_at: str) -> bool:
        """Whether a signature made for this host (`glaas.signature`) was made for this registry.

        reached_at: the address of ours that the client, or the proxy before us, has connected to.  It counts, and
        `localhost` with it, only where nobody has said what this registry is called: behind a proxy every client seems
        to come from this machine.
        """
        if self.public or self.proxied:
            return host in {signature_host(url) for url in self.public}
        names = {self.host.lower(), reached_at, *(_LOOPBACK if is_loopback(reached_at) else (self.machine,))}
        return host in {
            signature_host(f"http://{_bracketed(name)}:{self.port}") for name in names if _can_be_called(name)
        }

    def scheme_of(self, authority: str) -> str | None:
        """The scheme of the public origin that has this authority; None where none has."""
        schemes = (urlsplit(url).scheme for url in self.public if signature_host(url) == authority.lower())
        return next(schemes, None)


def origin_of(url: str) -> str:
    """A public URL as an origin: `scheme://host[:port]`.  Raises ValueError for what is none, or is more than one."""
    parts = urlsplit(url.strip())
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.port == 0:
        raise ValueError("it is not a http:// or https:// URL")
    if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("it has more than a host and a port")
    host = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode("ascii")
    return f"{parts.scheme}://{_bracketed(host)}" + ("" if parts.port is None else f":{parts.port}")


def host_in(authority: str) -> str | None:
    """The host of an authority, without its port, in lower case; None for what is no authority."""
    try:
        parts = urlsplit(f"//{authority}")
        _ = parts.port  # raises for what is none
    except ValueError:
        return None
    if not parts.hostname or parts.netloc != authority or "@" in authority:
        return None
    return parts.hostname.removesuffix(".")


def _can_be_called(name: str) -> bool:
    """Whether a client can use the name: nobody calls all addresses at once, to which a socket may be bound."""
    return bool(name) and not (_is_address(name) and ip_address(name).is_unspecified)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
