"""Chooses the display for a run, and imports no other."""

import os
import sys
import time

from roar_publisher.cli.display.base import QuietDisplay
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.streams import DUMB_TERMINALS
from roar_publisher.cli.publish.options import Options
from roar_publisher.publishing.observer import PublishObserver


def choose_display(options: Options) -> PublishObserver:
    """Return a display: JSON lines, none, live or plain lines, as requested or as stderr permits."""
    out = Output(sys.stdout)
    if options.as_json:
        from roar_publisher.cli.display.jsonlines import JsonDisplay

        return JsonDisplay(out, time.monotonic)
    if options.quiet:
        return QuietDisplay(out)
    if sys.stderr.isatty() and os.environ.get("TERM", "") not in DUMB_TERMINALS:
        from roar_publisher.cli.display.live import LiveDisplay
        from roar_publisher.cli.display.terminal import terminal

        return LiveDisplay(out, terminal(), time.monotonic, verbose=options.verbose)
    from roar_publisher.cli.display.plain import PlainDisplay

    return PlainDisplay(out, Output(sys.stderr), time.monotonic, verbose=options.verbose)
