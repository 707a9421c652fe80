"""The bare client loop: what was recorded of a publish is sent again, with nothing around it.

    main(URL, RECORDING)

No plan, no journal, no retry: the same bodies, `AT_ONCE` at a time, nodes before links, labels after finalize.
It is what a resumable publisher can at best be as fast as.
"""

import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import anyio
import httpx2

from benchmark.recording import API, Recording, Sent

AT_ONCE = 64


class Loop:
    """Sends a recording into a session of its own."""

    def __init__(self, client: httpx2.AsyncClient, recording: Recording) -> None:
        self._client = client
        self._recording = recording

    async def run(self) -> str:
        """Publish, and return the hash."""
        await self._client.get(f"{API}/health")
        opened = await self._post(own_session(self._recording.opening))
        self._client.headers["Authorization"] = f"RegistrationSession {opened['registration_session_token']}"
        session = str(opened["registration_session_id"])
        await self._send_all(session, self._recording.nodes)
        await self._send_all(session, self._recording.links)
        receipt = await self._post(self._recording.finalize.moved(session))
        await self._send_all(session, self._recording.labels)
        return str(receipt["hash"])

    async def _send_all(self, session: str, requests: Sequence[Sent]) -> None:
        queue = iter(requests)

        async def send_next() -> None:
            for sent in queue:
                await self._post(sent.moved(session))

        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(send_next)

    async def _post(self, sent: Sent) -> dict[str, object]:
        response = await self._client.post(sent.path, content=sent.body, headers=sent.headers())
        response.raise_for_status()
        reply: dict[str, object] = response.json()
        return reply


def own_session(opening: Sent) -> Sent:
    """The request that opens a session, for one that nobody else has."""
    body = json.loads(opening.body) | {"client_session_id": secrets.token_hex(32)}
    return replace(opening, body=json.dumps(body).encode())


async def main(url: str, recording: str) -> None:
    limits = httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=120.0, verify=False) as client:
        sys.stdout.write(await Loop(client, Recording.read(Path(recording))).run() + "\n")
