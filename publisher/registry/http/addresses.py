"""Clients by their address: what is shared out per client is shared out by this, and whose word on it counts."""

import ipaddress
from collections.abc import Sequence

IPV6_PREFIX = 64
"""Bits of an IPv6 address that name one client: whoever has one address has all that begin alike."""
LONGEST_NAME = 64
"""Characters that are kept of an address that is none."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_of(host: str) -> str:
    """The client that an address belongs to: an IPv4 address itself, the /64 of an IPv6 address.

    What is no address is a client of its own.
    """
    address = _address(host)
    if address is None:
        return host[:LONGEST_NAME]
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX), strict=False))


def networks(text: str) -> list[Network]:
    """The networks in a list of addresses and networks, parted by commas.  Raises ValueError for anything else."""
    return [ipaddress.ip_network(part.strip(), strict=False) for part in text.split(",")]


def is_in(host: str, trusted: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks."""
    address = _address(host)
    return address is not None and any(address in network for network in trusted)


def plain_address(host: str) -> str:
    """An address as people write it: an IPv4 address that an IPv6 socket shows becomes one again."""
    address = _address(host)
    return host if address is None else str(address)


def is_loopback(host: str) -> bool:
    """Whether an address is one of this machine alone; False for what is no address."""
    address = _address(host)
    return address is not None and address.is_loopback


def spellings(trusted: Sequence[Network]) -> list[str]:
    """The networks as text, those of IPv4 also as a socket for both versions shows them (`::ffff:192.0.2.1`)."""
    mapped = [
        f"::ffff:{network.network_address}/{96 + network.prefixlen}"
        for network in trusted
        if isinstance(network, ipaddress.IPv4Network)
    ]
    return [str(network) for network in trusted] + mapped


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
