r"""The SSH signature of a request (protocol.md §3): its payload, its framing and its header.

The client signs with this module and the registry verifies with it. The frame is OpenSSH's SSHSIG (PROTOCOL.sshsig).
Its namespace prevents a signature made for one purpose from being accepted for another.

There are two forms:

- Without a host, which every registry understands: the payload is `{ts}\n{METHOD}\n{path}`, the header `Signature
  keyid="…" ts="…" sig="…"`. It does not name its registry, so a registry that receives it can forward it to another one
  that knows the same key, within the time window of the timestamp.
- With a host, for a registry whose `GET /health` contains `features.ssh_signature_host: true`: the payload is
  `{ts}\n{METHOD}\n{path}\n{host}`, the header `Signature keyid="…", ts="…", host="…", sig="…"`.

In both forms, `\n{sha256 hex of the body}` follows if there is a body. `host` is the authority of the registry's origin
as in a `Host` header (RFC 9110 §7.2): lower case, IDNA form, with its port unless that is the scheme's default
(`signature_host`). A host name cannot look like a SHA-256 (a label has at most 63 characters), so neither form can be
read as the other. The parameters stand in this order; a reader accepts commas, white space or both between them.

A registry that advertises the second form compares `host` with its configured names. The `Host` header of the request
proves nothing, because a server that forwards a signature can set it, too.
"""

import hashlib
from base64 import b64encode
from urllib.parse import urlsplit

from roar_publisher.origins import authority

NAMESPACE = b"glaas"
SCHEME = "Signature "
_MAGIC = b"SSHSIG"
_VERSION = (1).to_bytes(4, "big")
_RESERVED = b""
_HASH = b"sha512"


def ssh_string(data: bytes) -> bytes:
    """Return SSH's `string`: a length of four bytes, then the bytes (RFC 4251 §5)."""
    return len(data).to_bytes(4, "big") + data


def signing_payload(ts: int, method: str, path: str, body: bytes | None, host: str | None = None) -> bytes:
    """Return the payload of a request's signature.

    ts: Unix seconds. path: with its query, as on the request line. An empty body counts as none.
    host: `signature_host` of the registry; None for the form without a host.
    """
    place = f"\n{host}" if host is not None else ""
    digest = f"\n{hashlib.sha256(body).hexdigest()}" if body else ""
    return f"{ts}\n{method}\n{path}{place}{digest}".encode()


def signature_host(address: str) -> str:
    """Return the `host` of a signature for the registry at this URL, in the form of a `Host` header.

    address: as `net.address.registry_address` returns it.
    """
    parts = urlsplit(address)
    return authority(parts.scheme, parts.hostname or "", parts.port)


def framed(payload: bytes, namespace: bytes = NAMESPACE) -> bytes:
    """Return the bytes that the key itself signs."""
    return _MAGIC + _purpose(namespace) + ssh_string(hashlib.sha512(payload).digest())


def sshsig(public: bytes, signature: bytes, namespace: bytes = NAMESPACE) -> bytes:
    """Return the SSHSIG blob that `ssh-keygen -Y sign` writes in base64 between its armor lines.

    public: the key's public blob. signature: of the `framed` bytes, in SSH's own encoding.
    """
    return _MAGIC + _VERSION + ssh_string(public) + _purpose(namespace) + ssh_string(signature)


def _purpose(namespace: bytes) -> bytes:
    return b"".join(map(ssh_string, (namespace, _RESERVED, _HASH)))


def fingerprint(public: bytes) -> str:
    """Return the `keyid`: `SHA256:…` of a public blob, as `ssh-keygen -l` shows it."""
    return "SHA256:" + b64encode(hashlib.sha256(public).digest()).decode("ascii").rstrip("=")


def authorization(keyid: str, ts: int, blob: bytes, host: str | None = None) -> str:
    """Return the `Authorization` header of a signed request. host: as in `signing_payload`."""
    sig = f'sig="{b64encode(blob).decode("ascii")}"'
    if host is None:
        return f'{SCHEME}keyid="{keyid}" ts="{ts}" {sig}'
    return f'{SCHEME}keyid="{keyid}", ts="{ts}", host="{host}", {sig}'


def has_signature(header: str) -> bool:
    """Return whether an `Authorization` header is that of a signed request."""
    return header.startswith(SCHEME)
