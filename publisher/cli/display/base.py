"""The base of the displays for people, and the quiet display."""

from roar_publisher.cli.display.output import Output
from roar_publisher.publishing.observer import PublishObserver
from roar_publisher.publishing.result import Result
from roar_publisher.state.record import Plan


class Display(PublishObserver):
    """A display. out: receives only the result."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def published(self, result: Result, *, again: bool = False) -> None:
        """Show the hash and the URL as the result."""
        self._out.line(result.progress.hash or "")
        if result.progress.url:
            self._out.line(result.progress.url)

    def detached(self, plan: Plan, *, resumed: bool) -> None:
        """Show the id as the result."""
        self._out.line(plan.id)


class QuietDisplay(Display):
    """Shows only the result."""
