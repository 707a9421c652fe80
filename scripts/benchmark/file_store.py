"""An S3 server of the files in a folder: `python -m benchmark.file_store FOLDER DELAY`, until its standard input ends.

Prints its URL.  It answers what a download by boto3 or by `roar fetch` asks, each request after DELAY seconds, and
verifies nothing. The kernel sends the bodies without copying them (sendfile), so it is no bottleneck.
"""

import os
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import sleep
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = 1000
RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class FileStore(BaseHTTPRequestHandler):
    """One connection. The first segment of a path is the bucket, and is left out."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    folder: Path
    delay: float

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        sleep(self.delay)
        parts = urlsplit(self.path)
        if parts.query:
            return self._list(parse_qs(parts.query))
        path = self.folder / unquote(parts.path).lstrip("/").partition("/")[2]
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            wanted = RANGE.fullmatch(self.headers["Range"] or "")
            begin, end = (int(wanted[1]), min(int(wanted[2]), size - 1)) if wanted else (0, size - 1)
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(end + 1 - begin))
            self.send_header("ETag", f'"{size:032x}"')
            self.send_header("Accept-Ranges", "bytes")
            if wanted:
                self.send_header("Content-Range", f"bytes {begin}-{end}/{size}")
            self.end_headers()
            while with_body and begin <= end:
                begin += os.sendfile(self.connection.fileno(), file.fileno(), begin, end + 1 - begin)

    def _list(self, query: dict[str, list[str]]) -> None:
        """Answer ListObjectsV2: a page of the files below the first folder of the prefix, in the order of names."""
        prefix, begin = query["prefix"][0], int(query.get("continuation-token", ["0"])[0])
        folder = prefix.partition("/")[0]
        names = sorted(name for name in os.listdir(self.folder / folder) if f"{folder}/{name}".startswith(prefix))
        end = begin + PAGE
        listed = "".join(self._entry(f"{folder}/{name}") for name in names[begin:end])
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
        body = f"<ListBucketResult>{listed}{more if end < len(names) else ''}</ListBucketResult>".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _entry(self, key: str) -> str:
        size = os.stat(self.folder / key).st_size
        return f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>&quot;{size:032x}&quot;</ETag></Contents>"

    def log_message(self, format: str, *args: object) -> None:
        """Write nothing."""


def main() -> None:
    """Serve until standard input ends."""
    FileStore.folder, FileStore.delay = Path(sys.argv[1]), float(sys.argv[2])
    ThreadingHTTPServer.request_queue_size = 128
    server = ThreadingHTTPServer(("127.0.0.1", 0), FileStore)
    Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
