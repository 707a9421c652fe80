"""Publishes in real processes that kill themselves: `python -m tests.support.faults.killable` reads orders,
one JSON a line.

Each order is carried out by a fork of this process, so that a death costs milliseconds and not the imports. The fork
publishes through the real network, counts its moments (before and after each commit of its journal and each request),
and sends itself SIGKILL at the given one. The answer is one JSON line: that it was killed, or what it found.
"""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio

from roar_publisher.auth.choice import Choice, Flag
from roar_publisher.auth.keyring import Keyring
from roar_publisher.engine.run import Frontend
from roar_publisher.engine.worker import work
from roar_publisher.lineage.project import find_project
from roar_publisher.net.exchange import Exchange, Reply
from roar_publisher.planning.freezing import freeze
from roar_publisher.planning.plans import PublishRequest
from roar_publisher.state.journal import Journal
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.record import NamedBy
from tests.support.faults.mortal import commit_of
from tests.support.imported import import_program
from tests.support.send_policies import policy_for


@dataclass(frozen=True, slots=True)
class Order:
    """One life.  dies_at: the moment, from 1; None lives to the end.  result: the file for what a survivor found."""

    project: str
    state: str
    registry: str
    result: str
    dies_at: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """How a life ended.  moments: what a survivor passed; empty for the dead."""

    killed: bool
    hash: str | None = None
    state: str = ""
    resumed: bool = False
    moments: tuple[str, ...] = ()


class Moments:
    """Counts, and kills this very process at one of them."""

    def __init__(self, dies_at: int | None) -> None:
        self.passed: list[str] = []
        self._dies_at = dies_at
        self._lock = threading.Lock()  # commits happen in a worker thread

    def moment(self, what: str) -> None:
        with self._lock:
            self.passed.append(what)
            if len(self.passed) == self._dies_at:
                os.kill(os.getpid(), signal.SIGKILL)


def count_commits(moments: Moments) -> None:
    transaction = Journal.transaction

    @contextmanager
    def counted(journal: Journal) -> Iterator[None]:
        if journal.db.in_transaction:  # a part of another transaction, without a commit of its own
            with transaction(journal):
                yield
            return
        commit = commit_of(sys._getframe(2))
        with transaction(journal):
            yield
            moments.moment(f"before {commit}")
        moments.moment(f"after {commit}")

    setattr(Journal, "transaction", counted)  # noqa: B010  mypy forbids to assign to a method


def count_requests(moments: Moments) -> None:
    send = Exchange.send

    async def counted(
        exchange: Exchange, method: str, path: str, body: bytes | None, authorization: str | None, **options: Any
    ) -> Reply:
        moments.moment(f"before {method} {path}")
        reply = await send(exchange, method, path, body, authorization, **options)
        moments.moment(f"after {method} {path}")
        return reply

    setattr(Exchange, "send", counted)  # noqa: B010  as above


async def yes(choice: Choice) -> bool:
    return True


def live(order: Order) -> Answer:
    """Publish the project, or go on with the publish that an earlier life left."""
    moments = Moments(order.dies_at)
    count_commits(moments)
    count_requests(moments)
    folder, project = StateFolder(Path(order.state)), find_project(Path(order.project))
    request = PublishRequest(project, None, project.root, order.registry, Flag.PUBLIC, NamedBy.OPTION)
    frozen = freeze(request, folder, clock=time.time)

    async def publish() -> Answer:
        progress = await work(
            frozen.publish,
            folder,
            Frontend(report=lambda report: None, confirm=yes),
            stop=anyio.Event(),
            keyring=Keyring({}, folder.root, policy_for(order.registry, home=folder.root), clock=time.time),
        )
        return Answer(False, progress.hash, progress.state, frozen.resumed, tuple(moments.passed))

    return anyio.run(publish)


def run_publish(order: Order) -> Answer:
    """Fork, live in the child, and tell how that ended."""
    child = os.fork()
    if child == 0:
        try:
            Path(order.result).write_text(json.dumps(asdict(live(order))))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Answer(killed=os.WTERMSIG(status) == signal.SIGKILL)
    return Answer(**json.loads(Path(order.result).read_text()))


def main() -> None:
    import_program()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(asdict(run_publish(Order(**json.loads(line))))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
