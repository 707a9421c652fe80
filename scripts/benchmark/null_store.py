"""An S3 server that discards what it is sent: `python -m benchmark.null_store`, until its standard input ends.

Prints its URL, and at its end its own CPU time in seconds. It answers what an upload by boto3, by the AWS Common
Runtime or by `roar put` asks, and verifies nothing. On Linux, the kernel drops the bodies without copying them.
"""

import re
import socket
import sys
from base64 import b64decode, b64encode
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from resource import RUSAGE_SELF, getrusage
from threading import Thread
from urllib.parse import parse_qs, urlsplit

DISCARDED_BYTES = 1024 * 1024
"""Bytes of a body that are discarded at once."""
DISCARD = socket.MSG_TRUNC if sys.platform == "linux" else 0
"""The flag with which the kernel drops what it has received for a TCP socket (tcp(7))."""
ETAG = '"00000000000000000000000000000000"'
CHECKSUM = re.compile(rb"<ChecksumSHA256>([^<]+)")


class NullStore(BaseHTTPRequestHandler):
    """One connection. Nothing is ever stored under any key."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._reply(200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")

    def do_HEAD(self) -> None:
        self._reply(404)

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"] or 0)
        if left:
            left -= len(self.rfile.read1(left))  # what was read ahead with the headers
        room = bytearray(min(left, DISCARDED_BYTES))
        while left and (received := self.connection.recv_into(room, min(left, DISCARDED_BYTES), DISCARD)):
            left -= received
        self._reply(200, headers={"ETag": ETAG})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if parse_qs(urlsplit(self.path).query, keep_blank_values=True).get("uploads"):
            algorithm = {"x-amz-checksum-algorithm": self.headers["x-amz-checksum-algorithm"] or ""}
            self._reply(200, _document("InitiateMultipartUploadResult", UploadId="1"), algorithm)
        else:
            self._reply(200, _document("CompleteMultipartUploadResult", ETag=ETAG, ChecksumSHA256=_composite(body)))

    def _reply(self, status: int, document: str = "", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(document))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(document.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


def _composite(completion: bytes) -> str:
    """The checksum of an object whose parts have those of a request to complete it."""
    parts = [b64decode(one) for one in CHECKSUM.findall(completion)]
    return f"{b64encode(sha256(b''.join(parts)).digest()).decode()}-{len(parts)}"


def _document(root: str, **fields: str) -> str:
    return f"<{root}>{''.join(f'<{name}>{value}</{name}>' for name, value in fields.items())}</{root}>"


def main() -> None:
    """Serve until standard input ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), NullStore)
    Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    usage = getrusage(RUSAGE_SELF)
    sys.stdout.write(f"{usage.ru_utime + usage.ru_stime}\n")


if __name__ == "__main__":
    main()
