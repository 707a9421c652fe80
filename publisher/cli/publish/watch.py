"""`roar publish --watch`: follows a publish that another process works on, or will work on."""

import os
from contextlib import closing

from roar_publisher.cli.publish.displays import choose_display
from roar_publisher.cli.publish.options import Options
from roar_publisher.cli.publish.signals import stop_by_exception
from roar_publisher.exit_codes import ExitCode
from roar_publisher.lineage.project import current_folder
from roar_publisher.publishing.plan_check import contradiction_error, differences
from roar_publisher.publishing.watching import PublishWatch, newest_live
from roar_publisher.state.paths import StateFolder
from roar_publisher.state.status_poller import StatusPoller


def watch(options: Options) -> int:
    """Follow the publish that `options.watch` names to its end. Returns or raises the same as publishing it would.

    Raises UsageProblem if there is none or it contradicts the other options, WatchStopped when asked to stop, and
    Halted if no process will continue it.
    """
    stop_by_exception()
    folder = StateFolder.from_environment(os.environ)
    cwd = current_folder()
    paths = folder.find(options.watch) if options.watch else newest_live(folder, cwd)
    with closing(choose_display(options)) as display, StatusPoller(paths) as poller:
        if found := differences(options.order(cwd), poller.plan(), paths):
            raise contradiction_error(poller.plan(), found, verb="--watch")
        PublishWatch(poller, display).run()
    return ExitCode.PUBLISHED
