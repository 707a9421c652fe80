"""Addresses at which a test starts a server, stops it, and starts it again, or at which it never starts one."""

import socket

_reserved: list[socket.socket] = []


def reserved_port() -> int:
    """A port of loopback on which nothing listens, and which nobody is given who asks the system for any free port.

    A server that names the port gets it, because it allows the reuse of addresses, as all do here. The port stays
    reserved when that server ends: other tests run at the same time, and a server of theirs would answer in its place.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    _reserved.append(reserved)  # until this process ends
    port: int = reserved.getsockname()[1]
    return port
