"""The connection of one client: uvicorn's protocol with strict parsing, and with a timeout for every wait.

| the registry waits for | for | then |
| --- | --- | --- |
| the head of a request | `HEAD_SECONDS` from its first byte, or from the start of the connection | 408, or closes |
| another request | `IDLE_SECONDS` | closes |
| the rest of a body that is answered already | `DRAIN_SECONDS` | closes |
| a client that does not read its reply | `WRITE_SECONDS` for 48 KiB | aborts |

A single byte does not extend any of these. The deadline of a body that an endpoint reads is set there (`bodies`).

Pipelined requests, sent before the previous reply is complete, are served at one per `PIPELINED_SECONDS`. Usual clients
do not send them, and a flood of them would cost its sender nothing.
"""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from enum import Enum
from http import HTTPStatus
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from roar_publisher.registry.http.addresses import Network, client_of, is_in
from roar_publisher.registry.http.request_ids import HEADER, request_id_of
from roar_publisher.registry.server.connections import ConnectionTable
from roar_publisher.registry.server.http11 import StrictConnection

HEAD_SECONDS = 10
IDLE_SECONDS = 75
DRAIN_SECONDS = 10
WRITE_SECONDS = 75
PIPELINED_SECONDS = 1
RETRY_SECONDS = 5
"""`Retry-After` for a client that found no room, in seconds."""


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration with the state that all connections share.

    `proxies` are peers that stand for many clients.
    """

    def __init__(self, app: Any, *, table: ConnectionTable, proxies: Sequence[Network], **options: Any) -> None:
        super().__init__(app, http=RegistryProtocol, timeout_keep_alive=IDLE_SECONDS, **options)
        self.table = table
        self.proxies = proxies


class Phase(Enum):
    """What a connection waits for."""

    HEAD = "the head of a request"
    IDLE = "another request"
    DRAIN = "the rest of a body"
    WORK = "the registry"


_SECONDS = {Phase.HEAD: HEAD_SECONDS, Phase.IDLE: IDLE_SECONDS, Phase.DRAIN: DRAIN_SECONDS}


class RegistryProtocol(H11Protocol):
    """The connection of one client. The event loop owns it and provides its clock."""

    conn: StrictConnection

    def __init__(
        self,
        config: ServerConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = StrictConnection()
        self._table = config.table
        self._proxies = config.proxies
        self._watched: tuple[Phase, int] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None
        self._next_request: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        host = self.client[0] if self.client else ""
        if self._table.admit(self, client_of(host), bounded=not is_in(host, self._proxies)):
            self._watch()
        else:
            detail = "this registry has no room for another connection now; try again later"
            self._turn_away(HTTPStatus.SERVICE_UNAVAILABLE, detail, (b"retry-after", b"%d" % RETRY_SECONDS))

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.remove(self)
        for timer in (self._deadline, self._write_deadline, self._next_request):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        if self.conn.their_state is h11.DONE and self.conn.trailing_data[0]:
            self._next_request = self.loop.call_later(PIPELINED_SECONDS, self._go_on)
            self._watch()
        else:
            self._go_on()

    def _go_on(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._limit_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_deadline is not None and not self.transport.is_closing():
            self._write_deadline.cancel()
            self._write_deadline = None

    def send_400_response(self, msg: str) -> None:
        """Answer an invalid request. uvicorn calls this after `StrictConnection` has raised."""
        self._turn_away(*self.conn.refusal)

    def evict(self) -> None:
        """Close at once, to make room for another connection."""
        self._drop_request()
        self.transport.abort()

    def _watch(self) -> None:
        """Update the state that the connection waits in. If it is new, start its timeout."""
        if self.transport.is_closing():
            self._limit_writing()
            return
        phase = self._phase()
        if phase is Phase.WORK and self.conn.their_state is not h11.SEND_BODY:
            self._table.mark_busy(self)
        else:
            self._table.mark_waiting(self)
        if (phase, self.conn.requests) == self._watched:
            return
        self._watched = (phase, self.conn.requests)
        if self._deadline is not None:
            self._deadline.cancel()
        seconds = _SECONDS.get(phase)
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._time_is_up, phase)

    def _phase(self) -> Phase:
        if self.cycle is not None and not self.cycle.response_complete:
            return Phase.WORK
        if self.conn.their_state is not h11.IDLE:
            return Phase.DRAIN
        return Phase.HEAD if self.cycle is None or self.conn.has_partial_head else Phase.IDLE

    def _time_is_up(self, phase: Phase) -> None:
        if phase is Phase.HEAD and self.conn.has_partial_head:
            self._turn_away(HTTPStatus.REQUEST_TIMEOUT, f"a request's header must arrive within {HEAD_SECONDS} s")
        else:
            self._close()

    def _turn_away(self, status: HTTPStatus, detail: str, *headers: tuple[bytes, bytes]) -> None:
        """Close the connection, with an error reply unless a reply has begun."""
        self._drop_request()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"detail": detail}).encode("ascii")
            fields = [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                (b"connection", b"close"),
                (HEADER, request_id_of(None).encode("ascii")),
                *headers,
            ]
            head = h11.Response(status_code=status, headers=fields, reason=status.phrase.encode("ascii"))
            with contextlib.suppress(h11.LocalProtocolError):  # the reply to HEAD has no body
                for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                    self.transport.write(self.conn.send(event) or b"")
        self._close()

    def _drop_request(self) -> None:
        """Tell a running endpoint that its client has disconnected."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _close(self) -> None:
        self.transport.close()
        self._limit_writing()

    def _limit_writing(self) -> None:
        if self._write_deadline is None and self.transport.get_write_buffer_size():
            self._write_deadline = self.loop.call_later(WRITE_SECONDS, self.transport.abort)
