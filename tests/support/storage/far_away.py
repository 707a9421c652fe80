"""An object store that is further away: every reply comes so much later.

`python -m tests.support.storage.far_away URL SECONDS`, a separate process, so that it takes no time from
what is measured.
"""

import asyncio
import sys
from contextlib import suppress
from urllib.parse import urlsplit

PIECE_BYTES = 1024 * 1024


async def main(target: str, seconds: float) -> None:
    """Carry connections on to `target`; its replies, small as those to uploads are, wait for `seconds`."""
    address = urlsplit(target)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, store = await asyncio.open_connection(address.hostname, address.port, limit=PIECE_BYTES)
        await asyncio.gather(_copy(reader, store, 0.0), _copy(answers, writer, seconds))

    server = await asyncio.start_server(carry, "127.0.0.1", 0, limit=PIECE_BYTES, backlog=256)
    host, port = server.sockets[0].getsockname()
    sys.stderr.write(f"far away at http://{host}:{port}\n")
    sys.stderr.flush()
    await server.serve_forever()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter, seconds: float) -> None:
    with suppress(ConnectionError):
        while piece := await source.read(PIECE_BYTES):
            await asyncio.sleep(seconds)
            sink.write(piece)
            await sink.drain()
    sink.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
