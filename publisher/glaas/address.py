"""The registry's address: what is accepted, and how it is written.

The same registry has one spelling here, because it names publishes and keys the session ids.
"""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from roar_publisher.state.errors import UsageProblem


def registry_address(text: str, environ: Mapping[str, str]) -> str:
    """`text` as scheme://host[:port][/path] without a trailing slash; without `/api/v1`, too, which requests add.

    Raises UsageProblem for what is no URL, carries a user or a query, or is plain `http://` to another machine without
    `ROAR_ALLOW_HTTP=1` (protocol.md §5).
    """
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise UsageProblem("the registry's address is not a http(s) URL", next_step="--registry https://api.glaas.ai")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageProblem(
            "the registry's address carries more than a host and a path",
            next_step="give it without user, password and query; credentials have their own places",
        )
    if parts.scheme == "http" and not is_loopback(host) and environ.get("ROAR_ALLOW_HTTP") != "1":
        raise UsageProblem(
            f"http:// to {host} would send everything unencrypted",
            next_step="use https://, or set ROAR_ALLOW_HTTP=1 if you mean it",
        )
    name = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, f"{name}:{port}" if port else name, _base(parts.path), "", ""))


def _base(path: str) -> str:
    """The path below which `/api/v1` stands."""
    return path.rstrip("/").removesuffix("/api/v1").rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
