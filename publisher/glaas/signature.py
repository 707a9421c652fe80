"""The SSH signature of one request (protocol.md §3): what is signed, how it is framed, how it stands in the header.

The client signs with this and the registry checks with it.  The frame is OpenSSH's SSHSIG (PROTOCOL.sshsig), which
keeps a signature made for one purpose, the namespace, from passing for another.
"""

import hashlib
from base64 import b64encode

NAMESPACE = b"glaas"
_MAGIC = b"SSHSIG"
_VERSION = (1).to_bytes(4, "big")
_RESERVED = b""
_HASH = b"sha512"


def ssh_string(data: bytes) -> bytes:
    """SSH's `string`: a length of four bytes, then the bytes (RFC 4251 §5)."""
    return len(data).to_bytes(4, "big") + data


_PURPOSE = b"".join(map(ssh_string, (NAMESPACE, _RESERVED, _HASH)))


def signing_payload(ts: int, method: str, path: str, body: bytes | None) -> bytes:
    """What a request's signature speaks of.

    ts: Unix seconds.  path: with its query, as on the request line.  An empty body counts as none.
    """
    digest = f"\n{hashlib.sha256(body).hexdigest()}" if body else ""
    return f"{ts}\n{method}\n{path}{digest}".encode()


def framed(payload: bytes) -> bytes:
    """The bytes that the key itself signs."""
    return _MAGIC + _PURPOSE + ssh_string(hashlib.sha512(payload).digest())


def sshsig(public: bytes, signature: bytes) -> bytes:
    """The SSHSIG blob: what `ssh-keygen -Y sign` writes between its armor lines, before base64.

    public: the key's public blob.  signature: of `framed` bytes, in SSH's own encoding.
    """
    return _MAGIC + _VERSION + ssh_string(public) + _PURPOSE + ssh_string(signature)


def fingerprint(public: bytes) -> str:
    """`SHA256:…` of a public blob, as `ssh-keygen -l` shows it: the `keyid`."""
    return "SHA256:" + b64encode(hashlib.sha256(public).digest()).decode("ascii").rstrip("=")


def authorization(keyid: str, ts: int, blob: bytes) -> str:
    """The `Authorization` header of a signed request."""
    return f'Signature keyid="{keyid}" ts="{ts}" sig="{b64encode(blob).decode("ascii")}"'
