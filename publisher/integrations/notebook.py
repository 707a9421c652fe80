"""A publish in a notebook's cell: `roar_publisher.publish(…, on_progress=ProgressBar())`.

It is an output of the cell that is replaced as the publish goes on, by IPython alone: no widgets are needed, and the
last state stays in the saved notebook.
"""

from html import escape

from roar_publisher.events import Event, NoteEvent, PlannedEvent, ProgressEvent, Published, StateEvent, WaitingEvent
from roar_publisher.state.errors import UsageProblem
from roar_publisher.text import count, size, span


class ProgressBar:
    """Shows the events that it is called with below the current cell. Raises UsageProblem outside of IPython."""

    def __init__(self) -> None:
        try:
            from IPython.display import display
        except ImportError:
            raise UsageProblem(
                "a progress bar is shown by IPython, which is not installed",
                next_step="pass a function of your own as on_progress",
            ) from None
        self._label = "planning"
        self._done, self._total = 0, 0
        self._link = ""
        self._notes: list[str] = []
        self._output = display(self, display_id=True)

    def __call__(self, event: Event) -> None:
        """Show an event. Called with others than those of a publish, it shows nothing new."""
        match event:
            case PlannedEvent(jobs=jobs, registry=registry):
                self._label = f"{count(jobs, 'job')} to {registry}"
            case StateEvent(state=state):
                self._label, self._done, self._total = state, 0, 0
            case ProgressEvent():
                self._label, self._done, self._total = _progress(event), event.done, event.total
            case WaitingEvent(reason=reason, seconds=seconds):
                self._label = f"waiting at most {span(seconds)}: {reason}"
            case NoteEvent(text=text):
                self._notes.append(text)
            case Published(hash=lineage, url=url):
                self._label, self._link = f"published {lineage}", url or ""
                self._done = self._total = 1
            case _:
                return
        if self._output is not None:
            self._output.update(self)

    def __repr__(self) -> str:
        return "\n".join([f"roar: {self._label}", *filter(None, [self._link]), *self._notes])

    def _repr_html_(self) -> str:
        position = f'value="{self._done}" max="{self._total}"' if self._total else ""
        text = escape(self._label)
        if self._link.startswith(("http://", "https://")):
            text = f'<a href="{escape(self._link)}">{text}</a>'
        notes = "".join(f"<br>{escape(note)}" for note in self._notes)
        return f"<progress {position}></progress> {text}{notes}"


def _progress(event: ProgressEvent) -> str:
    if event.unit == "bytes":
        done = f"{event.state}: {size(event.done)} of {size(event.total)}"
    else:
        done = f"{event.state}: {event.done:,} of {event.total:,} {event.unit}"
    return done if event.seconds_left is None else f"{done}, {span(event.seconds_left)} left"
