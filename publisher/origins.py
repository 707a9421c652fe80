"""The one spelling of an origin: clients and registries compare the texts, so both make them here."""

import re
from ipaddress import ip_address

DEFAULT_PORTS = {"http": 80, "https": 443}
"""The schemes of origins, with the ports that are omitted."""
_NAME = re.compile(r"[a-z0-9_]([a-z0-9._-]*[a-z0-9_.])?")
_ADDRESS = re.compile(r"[0-9a-f.:]+(%[A-Za-z0-9._-]+)?")
"""An IP address. `ipaddress` takes any text as the name of a zone."""


def host_name(text: str) -> str:
    """Return the normal form of a host in lower case: ASCII (IDNA), an IP address in its shortest form.

    Raises ValueError if it is not a host name.
    """
    try:
        address = str(ip_address(text))
    except ValueError:
        address = ""
    if address and _ADDRESS.fullmatch(address):
        return address
    name = text
    if not name.isascii():
        import idna  # rarely needed

        name = idna.encode(name, uts46=True).decode("ascii")
    if not _NAME.fullmatch(name):
        raise ValueError("it is not a host name")
    return name


def authority(scheme: str, host: str, port: int | None) -> str:
    """Return `host[:port]` as in a URL, without the scheme's default port."""
    name = f"[{host}]" if ":" in host else host
    return name if port in (None, DEFAULT_PORTS.get(scheme)) else f"{name}:{port}"
