"""The bare registry: what a publish stages, parsed and stored in SQLite, with no checks and no lineage rules.

A request is a transaction. It is what a registry can at best be as fast as.
"""

import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmark.recording import SESSIONS

SCHEMA = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE jobs (id INTEGER PRIMARY KEY, uid TEXT UNIQUE, command TEXT, step_number INTEGER, metadata TEXT);
    CREATE TABLE artifacts (id INTEGER PRIMARY KEY, digest TEXT UNIQUE, hashes TEXT, size INTEGER, metadata TEXT);
    CREATE TABLE links (
        job_uid TEXT, kind TEXT, digest TEXT, path TEXT, size INTEGER, PRIMARY KEY (job_uid, kind, digest)
    ) WITHOUT ROWID;
"""


class BareRegistry:
    """The rows of one session."""

    def __init__(self, database: Path) -> None:
        self.connection = sqlite3.connect(database)
        self.connection.executescript(SCHEMA)

    def close(self) -> None:
        """Close the database."""
        self.connection.close()

    def app(self) -> Starlette:
        """Takes the same paths as a registry, as far as staging needs them."""
        root = f"{SESSIONS}/{{session}}"
        routes = {
            SESSIONS: self._open,
            f"{root}/jobs/batch": self._jobs,
            f"{root}/artifacts/batch": self._artifacts,
            f"{root}/jobs/{{uid}}/{{kind}}": self._links,
            f"{root}/links/batch": self._links_of_many,
        }
        return Starlette(routes=[Route(path, endpoint, methods=["POST"]) for path, endpoint in routes.items()])

    async def _open(self, request: Request) -> JSONResponse:
        return JSONResponse({"registration_session_id": "one", "registration_session_token": "none"})

    async def _jobs(self, request: Request) -> JSONResponse:
        jobs = (await _body(request))["jobs"]
        rows = [(job["job_uid"], job["command"], job.get("step_number"), _text(job.get("metadata"))) for job in jobs]
        return self._insert("INSERT OR IGNORE INTO jobs VALUES (NULL, ?, ?, ?, ?)", rows)

    async def _artifacts(self, request: Request) -> JSONResponse:
        rows = [
            (item["hashes"][0]["digest"], json.dumps(item["hashes"]), item["size"], _text(item.get("metadata")))
            for item in (await _body(request))["artifacts"]
        ]
        return self._insert("INSERT OR IGNORE INTO artifacts VALUES (NULL, ?, ?, ?, ?)", rows)

    async def _links(self, request: Request) -> JSONResponse:
        uid, kind = request.path_params["uid"], request.path_params["kind"]
        return self._insert_links([{"job_uid": uid, "kind": kind, **await _body(request)}])

    async def _links_of_many(self, request: Request) -> JSONResponse:
        return self._insert_links((await _body(request))["links"])

    def _insert_links(self, entries: list[dict[str, Any]]) -> JSONResponse:
        rows = [
            (entry["job_uid"], entry["kind"], link["hash"], link["path"], link.get("size"))
            for entry in entries
            for link in entry["artifacts"]
        ]
        return self._insert("INSERT OR IGNORE INTO links VALUES (?, ?, ?, ?, ?)", rows)

    def _insert(self, statement: str, rows: list[tuple[Any, ...]]) -> JSONResponse:
        with self.connection:
            self.connection.executemany(statement, rows)
        return JSONResponse({"created": len(rows)})


async def _body(request: Request) -> Any:
    body = await request.body()
    return json.loads(gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body)


def _text(metadata: object) -> str | None:
    return metadata if metadata is None or isinstance(metadata, str) else json.dumps(metadata)
