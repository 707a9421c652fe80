"""Client addresses: the client that an address belongs to, and lists of trusted networks."""

import ipaddress
import re
from collections.abc import Sequence

IPV6_PREFIX = 64
"""Bits of an IPv6 address that identify a client, because a client usually controls a whole /64."""
LONGEST_NAME = 64
"""Maximum characters that are kept of a client name that is not an address."""
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::\d+)?|([\d.]+):\d+")
"""An address as some proxies write it into `X-Forwarded-For`, and older releases of uvicorn pass it on."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_of(host: str) -> str:
    """Return the key of an address's client: an IPv4 address itself, or the /64 of an IPv6 address.

    Any other text is a client by itself.
    """
    address = _address(host)
    if address is None:
        return host[:LONGEST_NAME]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX), strict=False))


def networks(text: str) -> list[Network]:
    """Parse a comma-separated list of addresses and networks. Raises ValueError for anything else."""
    return [ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",")]


def is_in(host: str, trusted: Sequence[Network]) -> bool:
    """Return whether an address is in one of the networks."""
    address = _address(host)
    return address is not None and any(address in network for network in trusted)


def plain_address(host: str) -> str:
    """Return an address in its usual form. An IPv4-mapped IPv6 address becomes an IPv4 address."""
    address = _address(host)
    return host if address is None else str(address)


def is_loopback(host: str) -> bool:
    """Return whether an address is a loopback address. False for any other text."""
    address = _address(host)
    return address is not None and address.is_loopback


def spellings(trusted: Sequence[Network]) -> list[str]:
    """Return the networks as text.

    Those of IPv4 are also returned in IPv4-mapped form (`::ffff:192.0.2.1`), as a dual-stack socket reports them.
    """
    mapped = [
        f"::ffff:{network.network_address}/{96 + network.prefixlen}"
        for network in trusted
        if isinstance(network, ipaddress.IPv4Network)
    ]
    return [str(network) for network in trusted] + mapped


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    if with_port := _WITH_PORT.fullmatch(host):
        host = with_port[1] or with_port[2]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
