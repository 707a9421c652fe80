"""HTTP/1.1 parsing: h11 without the leniency that enables request smuggling.

A server and a proxy before it must agree where each request ends. h11 accepts forms that other parsers read
differently. They are refused here: line ends without CR, folded headers, several lengths, a length together with
`Transfer-Encoding`, and chunks in HTTP/1.0. The size of a head, its number of fields, and a body's number of chunks are
bounded.
"""

import re
from http import HTTPStatus

import h11

MAX_HEAD_BYTES = 32 * 1024
"""Maximum bytes of a request line and its header fields together."""
MAX_FIELDS = 100
"""Maximum header fields of one request."""
MAX_CHUNKS = 4096
"""Maximum chunks of one body. Each costs the server the same, regardless of its size."""
MAX_BODY_BYTES = 4 * 1024 * 1024
"""Maximum bytes of a body that are read. The limit of the endpoints is much lower."""
_LONE_NEWLINE = re.compile(rb"(?<!\r)\n")
_FOLDED = re.compile(rb"\r\n[ \t]")
_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


class StrictConnection(h11.Connection):
    """The server's side of a connection.

    `refusal` is the status and the sentence for the client, after `next_event` has raised. `requests` counts the heads
    that were read.
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD_BYTES)
        self.refusal = (HTTPStatus.BAD_REQUEST, "this is not an HTTP request")
        self.requests = 0
        self._chunks = 0
        self._body_bytes = 0

    @property
    def has_partial_head(self) -> bool:
        """Whether a request has begun and its head is incomplete."""
        return self.their_state is h11.IDLE and bool(self.trailing_data[0])

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event, like h11.

        Also raises `h11.RemoteProtocolError` for what is refused here; then the connection must be closed.
        """
        if self.their_state is h11.IDLE:
            self._check_head(self.trailing_data[0])
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.requests += 1
            self._chunks = self._body_bytes = 0
        elif isinstance(event, h11.Data):
            self._check_data(event)
        return event

    def _check_head(self, received: bytes) -> None:
        end = received.find(b"\r\n\r\n")
        head = received if end < 0 else received[:end]
        if len(head) > MAX_HEAD_BYTES:
            raise self._refused(f"the header of this request exceeds {MAX_HEAD_BYTES} bytes", _TOO_LARGE)
        if _LONE_NEWLINE.search(head):
            raise self._refused("the lines of a request end with CR LF")
        if _FOLDED.search(head):
            raise self._refused("header fields may not be folded")
        if end >= 0:
            self._check_fields(head.split(b"\r\n"))

    def _check_fields(self, lines: list[bytes]) -> None:
        if len(lines) - 1 > MAX_FIELDS:
            raise self._refused(f"this request has more than {MAX_FIELDS} header fields", _TOO_LARGE)
        fields = [line.partition(b":") for line in lines[1:]]
        lengths = [value for name, _, value in fields if name.strip().lower() == b"content-length"]
        chunked = any(name.strip().lower() == b"transfer-encoding" for name, _, _ in fields)
        if len(lengths) > 1 or any(b"," in length for length in lengths):
            raise self._refused("a request has one Content-Length at most")
        if lengths and chunked:
            raise self._refused("a request has either Content-Length or Transfer-Encoding")
        if not lines[0].endswith((b" HTTP/1.1", b" HTTP/1.0")):
            raise self._refused("this registry speaks HTTP/1.1")
        if chunked and not lines[0].endswith(b" HTTP/1.1"):
            raise self._refused("Transfer-Encoding needs HTTP/1.1")

    def _check_data(self, data: h11.Data) -> None:
        self._chunks += data.chunk_start
        self._body_bytes += len(data.data)
        if self._chunks > MAX_CHUNKS:
            raise self._refused("the chunks of this body are too small")
        if self._body_bytes > MAX_BODY_BYTES:
            raise self._refused("this body is too large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def _refused(self, detail: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> h11.RemoteProtocolError:
        self.refusal = (status, detail)
        return h11.RemoteProtocolError(detail, error_status_hint=status)
