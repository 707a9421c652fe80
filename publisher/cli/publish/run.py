"""Carries out the command line of `roar publish` or `roar put`: a display, the user's answers, and signals."""

import os
import sys
from contextlib import closing

from roar_publisher.cli.publish.displays import choose_display
from roar_publisher.cli.publish.options import Options
from roar_publisher.cli.publish.prompts import Prompter
from roar_publisher.cli.publish.signals import SignalRunner, stop_by_exception
from roar_publisher.exit_codes import ExitCode
from roar_publisher.lineage.project import current_folder
from roar_publisher.publishing.publish import Publishing
from roar_publisher.state.descriptors import raise_limit


def run(options: Options) -> int:
    """Carry out a `publish` command line and return its exit code. Errors are raised as PublisherError.

    Running the same command again resumes the publish. SIGINT and SIGTERM stop cleanly: with KeyboardInterrupt or
    Interrupted before anything is kept, with Unfinished afterwards.
    """
    stop_by_exception()
    raise_limit()
    order = options.order(current_folder())
    if options.dry_run:
        from roar_publisher.cli.publish.dryrun import show
        from roar_publisher.publishing.request import put_request, read_request

        request = read_request(order, os.environ)
        put = put_request(order.put, request, follow_links=order.follow_links) if order.put else None
        return show(request, put, as_json=options.as_json, quiet=options.quiet)
    with closing(choose_display(options)) as display:
        prompter = Prompter(present=_user_present() and not options.as_json, yes=options.yes, display=display)
        Publishing(order, display, prompter, SignalRunner(display, prompter)).run()
    return ExitCode.PUBLISHED


def _user_present() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
