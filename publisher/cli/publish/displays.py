"""Chooses the display for a run, and imports no other."""

import sys
import time

from roar_publisher.cli.display.base import QuietDisplay
from roar_publisher.cli.display.output import Output
from roar_publisher.cli.display.streams import can_draw
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
    if can_draw(sys.stderr):
        from roar_publisher.cli.display.live import LiveDisplay
        from roar_publisher.cli.display.terminal import terminal

        return LiveDisplay(out, terminal(), time.monotonic, verbose=options.verbose)
    from roar_publisher.cli.display.plain import PlainDisplay

    return PlainDisplay(out, Output(sys.stderr), time.monotonic, verbose=options.verbose)
