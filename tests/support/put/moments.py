"""The moments at which a put can die: around each commit, each request, each private file, each step of a folder store.

`count_moments` puts them into the running program, which then kills itself at the given one.
"""

import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import roar_publisher.planning.put.record_writer
import roar_publisher.planning.put.tags
import roar_publisher.state.paths
from roar_publisher.lineage.publication import PublicationMarks
from roar_publisher.net.exchange import Exchange
from roar_publisher.state.journal_file import JournalFile
from roar_publisher.state.paths import PublishPaths
from roar_publisher.storage.file import FileStore
from roar_publisher.storage.http import FileBody, StoreConnection, StoreRequest


class Moments:
    """Counts moments by kind, and kills its own process at one of them.

    kill_at: the kind of moment and its number from 1; None runs to the end.
    """

    def __init__(self, kill_at: tuple[str, int] | None) -> None:
        self.passed: Counter[str] = Counter()
        self._kill_at = kill_at
        self._lock = threading.Lock()  # commits happen in worker threads

    def moment(self, what: str) -> None:
        with self._lock:
            self.passed[what] += 1
            if (what, self.passed[what]) == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def count_moments(moments: Moments) -> None:
    """Count at every place in this process from now on."""
    _count_commits(moments)
    _count_registry(moments)
    _count_store(moments)
    _count_folder(moments)
    for owner, name in (
        (roar_publisher.state.paths, "write_private"),
        (PublishPaths, "forget_upload"),
        (PublishPaths, "forget_put_record"),
        (PublishPaths, "forget_session_token"),
        (roar_publisher.planning.put.record_writer, "record_put"),
        (PublicationMarks, "mark_published"),
        (roar_publisher.planning.put.tags, "make_tag"),
    ):
        _count_calls(moments, owner, name)


def _count_calls(moments: Moments, owner: Any, name: str) -> None:
    call = getattr(owner, name)

    def counted(*arguments: Any, **options: Any) -> Any:
        moments.moment(f"before {name}")
        result = call(*arguments, **options)
        moments.moment(f"after {name}")
        return result

    setattr(owner, name, counted)


def _count_commits(moments: Moments) -> None:
    transaction = JournalFile.transaction

    @contextmanager
    def counted(journal: JournalFile) -> Iterator[None]:
        if journal.db.in_transaction:  # a part of another transaction, without a commit of its own
            with transaction(journal):
                yield
            return
        method = sys._getframe(2).f_code.co_name  # the caller of `with ...transaction()`
        with transaction(journal):
            yield
            moments.moment(f"before commit of {method}")
        moments.moment(f"after commit of {method}")

    setattr(JournalFile, "transaction", counted)  # noqa: B010  mypy forbids to assign to a method


def _count_registry(moments: Moments) -> None:
    send = Exchange.send

    async def counted(exchange: Exchange, method: str, path: str, *rest: Any, **options: Any) -> Any:
        # Ids and hashes are no kinds of request.
        what = f"registry {method} {'/'.join(part for part in path.split('/') if not _is_id(part))}"
        moments.moment(f"before {what}")
        reply = await send(exchange, method, path, *rest, **options)
        moments.moment(f"after {what}")
        return reply

    setattr(Exchange, "send", counted)  # noqa: B010  as above


def _count_store(moments: Moments) -> None:
    send, read = StoreConnection.send, FileBody.read

    async def counted(wire: StoreConnection, request: StoreRequest) -> Any:
        parts = urlsplit(request.url)
        query = ",".join(sorted(name for name, _ in parse_qsl(parts.query, keep_blank_values=True)))
        what = f"store {request.method} {query} {'body' if isinstance(request.body, FileBody) else ''}".strip()
        moments.moment(f"before {what}")
        reply = await send(wire, request)
        moments.moment(f"after {what}")
        return reply

    async def cut(body: FileBody) -> AsyncGenerator[bytes, None]:
        sent, is_whole = 0, True
        async for chunk in read(body):
            yield chunk
            sent += len(chunk)
            if is_whole and sent < len(body):
                is_whole = False
                moments.moment("within a body")

    setattr(StoreConnection, "send", counted)  # noqa: B010  as above
    setattr(FileBody, "read", cut)  # noqa: B010  as above


def _count_folder(moments: Moments) -> None:
    disk = FileStore._disk

    def counted(store: FileStore, work: Callable[..., Any], *arguments: object) -> Awaitable[Any]:
        async def worked() -> Any:
            what = f"folder {work.__name__}"
            moments.moment(f"before {what}")
            result = await disk(store, work, *arguments)
            moments.moment(f"after {what}")
            return result

        return worked()

    setattr(FileStore, "_disk", counted)  # noqa: B010  as above


def _is_id(part: str) -> bool:
    return len(part) > 8 and not set(part) - set("0123456789abcdef-_")
