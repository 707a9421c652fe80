"""The requests of a publish, in a file: one JSON line each, in the order of arrival."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

API = "/api/v1"
SESSIONS = f"{API}/registration-sessions"
NODES = ("jobs/batch", "artifacts/batch", "artifacts/composites")
LABELS = ("labels/batch",)
FINALIZE = ("finalize",)


@dataclass(frozen=True, slots=True)
class Sent:
    """A POST: its path, its body as it was sent, and the `Content-Encoding` of that; empty if there was none."""

    path: str
    body: bytes
    encoding: str

    def to_line(self) -> str:
        """As a line of the file."""
        body = base64.b64encode(self.body).decode()
        return json.dumps({"path": self.path, "body": body, "encoding": self.encoding}) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Self:
        """The reverse."""
        fields = json.loads(line)
        return cls(fields["path"], base64.b64decode(fields["body"]), fields["encoding"])

    def moved(self, session: str) -> Self:
        """The same request to another registration session."""
        ending = self.path.removeprefix(f"{SESSIONS}/").partition("/")[2]
        return type(self)(f"{SESSIONS}/{session}/{ending}", self.body, self.encoding)

    def headers(self) -> dict[str, str]:
        """What describes the body."""
        encoding = {"Content-Encoding": self.encoding} if self.encoding else {}
        return {"Content-Type": "application/json"} | encoding


@dataclass(frozen=True, slots=True)
class Recording:
    """One publish. Nodes must be sent before links, and both before `finalize`; labels follow."""

    opening: Sent
    nodes: list[Sent]
    links: list[Sent]
    finalize: Sent
    labels: list[Sent]

    @classmethod
    def read(cls, path: Path) -> Self:
        """From the file of a whole publish."""
        opening, *rest = read_sent(path)
        groups: dict[tuple[str, ...], list[Sent]] = {NODES: [], FINALIZE: [], LABELS: []}
        links: list[Sent] = []
        for sent in rest:
            group = next((found for endings, found in groups.items() if sent.path.endswith(endings)), links)
            group.append(sent)
        (finalize,) = groups[FINALIZE]
        return cls(opening, groups[NODES], links, finalize, groups[LABELS])


def read_sent(path: Path) -> Iterator[Sent]:
    """Every request."""
    with path.open(encoding="utf-8") as lines:
        yield from map(Sent.from_line, lines)
