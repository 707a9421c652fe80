"""The bare client loop: what was recorded of a publish is sent again, with nothing around it.

    python -m benchmark.bare URL RECORDING

No plan, no journal, no retry: the same bodies, `AT_ONCE` at a time, nodes before links, labels after finalize.
It is what a resumable publisher can at best be as fast as.
"""

import json
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx2

AT_ONCE = 64
API = "/api/v1"
NODES = ("jobs/batch", "artifacts/batch", "artifacts/composites")
LINKS = ("inputs", "outputs")
LABELS = ("labels/batch",)


class Loop:
    """Sends a recording into a session of its own."""

    def __init__(self, client: httpx2.AsyncClient, recording: Path) -> None:
        self._client = client
        lines = [json.loads(line) for line in recording.read_text("utf-8").splitlines()]
        self._opening, self._requests = lines[0], lines[1:]

    async def run(self) -> str:
        """Publish, and return the hash."""
        await self._client.get(f"{API}/health")
        opened = await self._post(f"{API}/registration-sessions", self._opening_body())
        session = f"{API}/registration-sessions/{opened['registration_session_id']}"
        self._client.headers["Authorization"] = f"RegistrationSession {opened['registration_session_token']}"
        for endings in (NODES, LINKS):
            await self._send_all(list(self._of(session, endings)))
        ((path, body),) = self._of(session, ("finalize",))
        receipt = await self._post(path, body)
        await self._send_all(list(self._of(session, LABELS)))
        return str(receipt["hash"])

    def _opening_body(self) -> str:
        return json.dumps(json.loads(self._opening["body"]) | {"client_session_id": secrets.token_hex(32)})

    def _of(self, session: str, endings: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        """Path and body of the recorded requests with one of these endings, moved into `session`."""
        for request in self._requests:
            if request["path"].endswith(endings):
                ending = request["path"].removeprefix(f"{API}/registration-sessions/").partition("/")[2]
                yield f"{session}/{ending}", request["body"]

    async def _send_all(self, requests: list[tuple[str, str]]) -> None:
        queue = iter(requests)

        async def send_next() -> None:
            for path, body in queue:
                await self._post(path, body)

        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(send_next)

    async def _post(self, path: str, body: str) -> dict[str, object]:
        response = await self._client.post(path, content=body, headers={"Content-Type": "application/json"})
        response.raise_for_status()
        reply: dict[str, object] = response.json()
        return reply


async def main(url: str, recording: str) -> None:
    limits = httpx2.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=120.0, verify=False) as client:
        sys.stdout.write(await Loop(client, Path(recording)).run() + "\n")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
