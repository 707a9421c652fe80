"""`roar publish` from beginning to end: freeze or find the publish, drive it, say how it ended."""

import functools
import os
import signal
import sys
import time
from contextlib import closing
from pathlib import Path

import anyio

from publisher.auth.choice import Choice
from publisher.cli.consent import Person
from publisher.cli.display import choose_display
from publisher.cli.failure import Failed, Unfinished
from publisher.cli.options import Options
from publisher.cli.request import read_request, refuse_hopeless
from publisher.cli.resuming import find_publish
from publisher.cli.watcher import Watcher
from publisher.plans import Frozen, freeze
from publisher.report import Noted
from publisher.worker import work
from state.errors import ExitCode, PublisherError
from state.machine import State
from state.paths import StateFolder
from state.publish import OwnedPublish
from state.record import Progress

TICK_SECONDS = 0.1
"""How often a display may move."""
STOPPING = (signal.SIGINT, signal.SIGTERM)


def run(options: Options) -> int:
    """Carry a `publish` command line out and return its exit code; what goes wrong is raised as PublisherError.

    Repeating resumes.  SIGINT and SIGTERM stop cleanly: KeyboardInterrupt before anything is kept, Interrupted after.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if options.dry_run:
        from publisher.cli.dryrun import show

        request = read_request(options, Path.cwd(), os.environ)
        return show(request, as_json=options.as_json, quiet=options.quiet)
    folder = StateFolder.from_environment(os.environ)
    with closing(choose_display(options)) as display:
        person = Person(present=_somebody_there() and not options.as_json, yes=options.yes, display=display)
        frozen = _obtain(options, folder, display, person)
        if isinstance(frozen, Progress):
            return ExitCode.PUBLISHED
        with frozen.publish:
            display.planned(frozen.plan, resumed=frozen.resumed)
            progress = _drive(frozen, folder, display, person)
        if progress.state is not State.DONE:
            raise Failed(frozen.plan.id, progress.detail, reason=progress.reason)
        display.published(frozen.plan, progress)
    return ExitCode.PUBLISHED


def _obtain(options: Options, folder: StateFolder, display: Watcher, person: Person) -> Frozen | Progress:
    """The publish to work on; Progress where it was published already, which is then told again."""
    if options.resume is None:
        request = read_request(options, Path.cwd(), os.environ)
        refuse_hopeless(request)
        display.planning()
        return freeze(request, folder, clock=time.time, consent=person.accept_redactions)
    found = find_publish(options.resume, folder, Path.cwd())
    if found.progress.state is State.DONE:
        display.published(found.plan, found.progress)
        return found.progress
    return Frozen(OwnedPublish.open(found.paths), found.plan, resumed=True)


def _drive(frozen: Frozen, folder: StateFolder, display: Watcher, person: Person) -> Progress:
    try:
        return anyio.run(functools.partial(_work, frozen.publish, folder, display, person))
    except PublisherError as error:
        raise Unfinished(error, frozen.plan.id) from error


async def _work(owned: OwnedPublish, folder: StateFolder, display: Watcher, person: Person) -> Progress:
    """Work on the publish while the display moves and signals are listened to; raises what `work` raises, unwrapped."""
    stop = anyio.Event()
    progress: Progress | None = None
    failure: PublisherError | None = None

    async def confirm(choice: Choice) -> bool:
        if choice.note:
            display.report(Noted(choice.note))
        return await person.confirm(choice, stop)

    async with anyio.create_task_group() as tasks:
        await tasks.start(_listen_to_signals, stop)
        tasks.start_soon(_tick, display)
        try:
            progress = await work(owned, folder, report=display.report, confirm=confirm, stop=stop)
        except PublisherError as error:
            failure = error
        tasks.cancel_scope.cancel()
    if progress is None:
        assert failure is not None
        raise failure
    return progress


async def _listen_to_signals(stop: anyio.Event, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    """Set `stop` at the first signal; further ones do no more, and no harm."""
    with anyio.open_signal_receiver(*STOPPING) as signals:
        task_status.started()
        async for _signal in signals:
            stop.set()


async def _tick(display: Watcher) -> None:
    while True:
        await anyio.sleep(TICK_SECONDS)
        display.tick()


def _somebody_there() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
