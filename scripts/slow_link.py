"""A slow line to a registry on this machine: what clients send goes through in single file, with a pause each time.

    python scripts/slow_link.py http://127.0.0.1:PORT SECONDS

Prints its own address as the first line, and runs until it is killed.
"""

import sys
from contextlib import aclosing
from urllib.parse import urlsplit

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, SocketStream


async def main(target: str, pause: float) -> None:
    """Accept connections on a free port of loopback and carry each on to `target`."""
    address = urlsplit(target)
    line = anyio.Lock()

    async def carry(client: SocketStream) -> None:
        try:
            server = await anyio.connect_tcp(str(address.hostname), int(address.port or 80))
        except OSError:
            await client.aclose()
            return
        async with client, server, anyio.create_task_group() as tasks:
            tasks.start_soon(_copy, server, client)
            await _copy(client, server, line, pause)
            tasks.cancel_scope.cancel()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with aclosing(listener):
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        sys.stdout.write(f"http://127.0.0.1:{port}\n")
        sys.stdout.flush()
        await listener.serve(carry)


async def _copy(
    source: ByteReceiveStream, sink: ByteSendStream, line: anyio.Lock | None = None, pause: float = 0.0
) -> None:
    """Copy until one side is gone. With a `line`, each piece has it for `pause` seconds."""
    try:
        async for piece in source:
            if line is not None:
                async with line:
                    await anyio.sleep(pause)
            await sink.send(piece)
        await sink.aclose()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        pass


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], float(sys.argv[2]))
